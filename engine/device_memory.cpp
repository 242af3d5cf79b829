#include "engine/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "engine/dispatch.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kHugePage = 2u << 20;  // a step walks over gigabytes

}  // namespace

void* allocate_memory(Device device, std::size_t bytes) {
  void* memory = nullptr;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      memory = GpuRuntime<Stream>::allocate(bytes);
    } else {
      bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
      memory = std::aligned_alloc(kHugePage, bytes);
      // Advice only: without it the step is slower, not wrong.
      if (memory != nullptr) madvise(memory, bytes, MADV_HUGEPAGE);
    }
  });
  return memory;
}

void free_memory(Device device, void* memory) noexcept {
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      GpuRuntime<Stream>::release(memory);
    } else {
      std::free(memory);
    }
  });
}

std::size_t available_memory(Device device) {
  std::size_t bytes = 0;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      bytes = GpuRuntime<Stream>::info().free_memory;
    } else {
      bytes = std::size_t(sysconf(_SC_AVPHYS_PAGES)) * std::size_t(sysconf(_SC_PAGESIZE));
    }
  });
  return bytes;
}

void synchronize(Device device) {
  dispatch_device(device, [](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) GpuRuntime<Stream>::synchronize();
  });
}

void upload(Device device, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      GpuRuntime<Stream>::upload(to, from, bytes);
    } else {
      std::memcpy(to, from, bytes);
    }
  });
}

void download(Device device, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      GpuRuntime<Stream>::download(to, from, bytes);
    } else {
      std::memcpy(to, from, bytes);
    }
  });
}

void copy(Device device, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      GpuRuntime<Stream>::copy(to, from, bytes);
    } else {
      std::memcpy(to, from, bytes);
    }
  });
}

void fill_zero(Device device, void* memory, std::size_t bytes) {
  if (bytes == 0) return;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      GpuRuntime<Stream>::fill_zero(memory, bytes);
    } else {
      std::memset(memory, 0, bytes);
    }
  });
}

std::vector<double> to_doubles(const Tensor& tensor, Device device) {
  if (tensor.dtype() == DType::kF64) return download<double>(device, tensor);
  const std::vector<float> values = download<float>(device, tensor);
  return {values.begin(), values.end()};
}

}  // namespace flowsmith::core
