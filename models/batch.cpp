#include "models/batch.h"

#include <algorithm>
#include <cstring>

#include "engine/device_memory.h"
#include "engine/dispatch.h"

namespace flowsmith::core {

Batch Batch::slice(std::size_t size, int begin, int count) const {
  return {pixels == nullptr ? nullptr : pixels + begin * size, index + begin, count,
          values == nullptr ? nullptr : values + begin * size};
}

DequantizationNoise DequantizationNoise::slice(std::size_t size, int begin) const {
  return {stream, values == nullptr ? nullptr : values + begin * size};
}

BatchTensors BatchLayout::place(void* memory) const {
  constexpr std::size_t kAlignment = 64;
  require(shape.n > 0, "a pass needs at least one example");
  const auto base = reinterpret_cast<std::uintptr_t>(memory);
  std::size_t size = 0;
  const auto next = [&](DType type, const Shape& of) {
    const Tensor tensor(reinterpret_cast<void*>(base + size), type, of);
    size += (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    return tensor;
  };
  BatchTensors tensors;
  tensors.data = next(images ? DType::kU8 : path, shape);
  tensors.index = next(DType::kU32, Shape{shape.n});
  tensors.stream = next(DType::kU8, Shape{int(sizeof(NoiseStream))});
  if (given_noise) tensors.noise = next(path, shape);
  tensors.block = Tensor(memory, DType::kU8, Shape{int(size)});
  return tensors;
}

void BatchLayout::write(void* memory, Batch batch, DequantizationNoise noise) const {
  const BatchTensors tensors = place(memory);
  const auto fill = [](const Tensor& to, const auto* from) {
    dispatch_path(Device::kReference, to.dtype(),
                  [&](auto, auto zero) { std::copy_n(from, to.size(), to.data<decltype(zero)>()); });
  };
  require(images ? batch.pixels != nullptr : batch.values != nullptr,
          images ? "this flow takes 8-bit images" : "this flow takes numbers, not 8-bit images");
  if (images) {
    std::memcpy(tensors.data.raw(), batch.pixels, tensors.data.bytes());
  } else {
    fill(tensors.data, batch.values);
  }
  std::memcpy(tensors.index.raw(), batch.index, tensors.index.bytes());
  std::memcpy(tensors.stream.raw(), &noise.stream, sizeof noise.stream);
  if (given_noise) fill(tensors.noise, noise.values);
}

void BatchLayout::upload(Device device, const BatchTensors& tensors, Batch batch, DequantizationNoise noise) const {
  if (is_host(device)) return write(tensors.block.raw(), batch, noise);
  std::vector<std::byte> block(tensors.block.size());
  write(block.data(), batch, noise);
  core::upload(device, tensors.block.raw(), block.data(), block.size());
}

}  // namespace flowsmith::core
