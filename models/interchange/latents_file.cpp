#include "models/interchange/latents_file.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/event_file.h"
#include "models/files/weights.h"

namespace flowsmith::core {
namespace {

constexpr const char* kChecksumKey = "weights_crc32c";

std::string weights_checksum(const Flow& flow) {
  const std::vector<float> values = download<float>(flow.device(), flow.parameters().values());
  char text[16];
  std::snprintf(text, sizeof text, "%08x", unsigned(crc32c(std::as_bytes(std::span(values)))));
  return text;
}

/// Calls fn(NCHW index, NHWC index) for every element of n latents of this shape.
template <class Fn>
void for_each_element(MapShape shape, Fn&& fn) {
  std::size_t nhwc = 0;
  for (int n = 0; n < shape.n; ++n) {
    for (std::size_t p = 0; p < shape.pixels(); ++p) {
      for (int c = 0; c < shape.c; ++c, ++nhwc) fn((std::size_t(n) * shape.c + c) * shape.pixels() + p, nhwc);
    }
  }
}

}  // namespace

SafetensorsFile latents_to_file(const Flow& flow, const Latents& latents, int n) {
  SafetensorsFile file{config_metadata(flow.config()), {}};
  file.metadata[kChecksumKey] = weights_checksum(flow);
  for (const Latent& z : latents) {
    std::vector<double> values(z.values.size());
    for_each_element({n, z.h, z.w, z.c}, [&](std::size_t nchw, std::size_t nhwc) { values[nchw] = z.values[nhwc]; });
    file.tensors.push_back(NamedTensor::of<double>(z.name, {n, z.c, z.h, z.w}, values));
  }
  return file;
}

LatentBatch latents_from_file(const Flow& flow, const SafetensorsFile& file, const std::string& path) {
  const auto checksum = file.metadata.find(kChecksumKey);
  if (checksum != file.metadata.end() && checksum->second != weights_checksum(flow)) {
    throw Error(path + ": these latents were encoded with other weights: give the weight file that made them");
  }
  LatentBatch batch;
  for (const auto& [name, shape] : flow.latent_shapes()) {
    const NamedTensor* const tensor = file.find(name);
    if (tensor == nullptr) throw Error(path + ": latent " + name + " is missing: this flow needs all of its latents");
    const std::int64_t n = batch.latents.empty() && !tensor->shape.empty() ? tensor->shape[0] : batch.n;
    const std::vector<std::int64_t> expected{n, shape.c, shape.h, shape.w};
    if (tensor->dtype != "F64" || tensor->shape != expected || n > (1 << 30)) {
      throw Error(path + ": latent " + name + " is " + tensor->dtype + " " + shape_text(tensor->shape) +
                  ", expected F64 [N, " + std::to_string(shape.c) + ", " + std::to_string(shape.h) + ", " +
                  std::to_string(shape.w) + "] with the same N for all latents");
    }
    if (n < 1) throw Error(path + ": latent " + name + " holds no images: encode at least one");
    batch.n = int(n);
    Latent z{name, shape.h, shape.w, shape.c, std::vector<double>(shape.size() * n)};
    const std::span<const double> values = tensor->as<double>();
    if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) {
      throw Error(path + ": latent " + name + " has values that are not finite: encode the images again");
    }
    for_each_element({batch.n, shape.h, shape.w, shape.c},
                     [&](std::size_t nchw, std::size_t nhwc) { z.values[nhwc] = values[nchw]; });
    batch.latents.push_back(std::move(z));
  }
  return batch;
}

}  // namespace flowsmith::core
