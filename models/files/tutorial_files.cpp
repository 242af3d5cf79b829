#include "models/files/tutorial_files.h"

#include <algorithm>
#include <charconv>

#include "engine/file.h"
#include "models/files/weights.h"

namespace flowsmith::core {
namespace {

/// Runs `work`, whose errors then begin with `path`.
template <class Work>
FlowConfig in_file(const std::string& path, Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

/// The size of the images: from the metadata, else from the mask of the first coupling, else MNIST's.
FlowConfig with_image_size(const FlowConfig& config, const SafetensorsFile& file, const std::string& path) {
  if (file.metadata.contains("height") && file.metadata.contains("width")) {
    const int height = metadata_number<int>(file, "height", path), width = metadata_number<int>(file, "width", path);
    return in_file(path, [&] { return config.with_shape(height, width, 1); });
  }
  for (const char* const name : {"flows.1.mask", "flows.0.flows.0.mask"}) {
    const NamedTensor* const mask = file.find(name);
    if (mask == nullptr || mask->shape.size() != 4) continue;
    const auto side = [&](int i) { return int(std::clamp<std::int64_t>(mask->shape[i], 0, 1 << 20)); };
    return in_file(path, [&] { return config.with_shape(side(2), side(3), 1); });
  }
  return config;
}

/// The number of couplings, from the largest number of a layer that is one; the tutorial's if there is none. Throws
/// Error if the file is too small for so many: what a name says must not decide how much memory is taken.
FlowConfig with_couplings_of(const FlowConfig& config, const SafetensorsFile& file) {
  constexpr std::string_view kBefore = "flows.", kAfter = ".scaling_factor";
  constexpr std::size_t kSmallestCoupling = 40'000;  // parameters
  int last = 0;
  std::size_t elements = 0;
  for (const NamedTensor& tensor : file.tensors) {
    elements += tensor.data.size() / sizeof(float);
    const std::string_view name = tensor.name;
    if (!name.starts_with(kBefore) || !name.ends_with(kAfter)) continue;
    const char* const digits_end = name.data() + name.size() - kAfter.size();
    int number = 0;
    const auto [end, error] = std::from_chars(name.data() + kBefore.size(), digits_end, number);
    if (error == std::errc() && end == digits_end) last = std::max(last, number);
  }
  const bool multiscale = config.layers().size() > 1;
  constexpr int kOtherLayers = 3;  // of multiscale, in front of its last coupling
  const int couplings = multiscale ? last - kOtherLayers : last;
  // What fits no flow of this architecture is left to loading, which names a tensor.
  if (couplings < 1 || (multiscale && couplings % 4 != 0)) return config;
  if (couplings > config.couplings() && elements / kSmallestCoupling < std::size_t(couplings)) {
    throw Error("there is a layer flows." + std::to_string(last) +
                ", but too few weights for so many: the file is damaged or not a weight file");
  }
  return config.with_couplings(couplings);
}

/// Whether the file has every parameter in its shape.
bool has_all_parameters(const SafetensorsFile& file, const Parameters& parameters) {
  for (int i = 0; i < parameters.count(); ++i) {
    const NamedTensor* const tensor = file.find(parameters[i].name);
    if (tensor == nullptr || tensor->shape != parameters[i].file_shape) return false;
  }
  return true;
}

}  // namespace

FlowConfig tutorial_config(const std::string& model, const std::string& edition) {
  if (model != "simple" && model != "vardeq" && model != "multiscale") {
    throw Error("unknown model " + in_quotes(model, 40) + ": choose simple, vardeq or multiscale");
  }
  if (edition != "2024" && edition != "2022" && edition != "jax") {
    throw Error("unknown edition " + in_quotes(edition, 40) + ": choose 2024, 2022 or jax");
  }
  return FlowConfig::named(edition == "2024" ? model : model + "_" + edition);
}

FlowConfig tutorial_config(const SafetensorsFile& file, const std::string& path) {
  const auto model = file.metadata.find("model"), edition = file.metadata.find("edition");
  if (model != file.metadata.end() && edition != file.metadata.end()) {
    const FlowConfig config =
        in_file(path, [&] { return with_couplings_of(tutorial_config(model->second, edition->second), file); });
    return with_image_size(config, file, path);
  }
  for (const std::string e : {"2024", "2022", "jax"}) {
    // Names and shapes of the JAX edition are those of 2024: only a file that says so is of that one.
    if (edition != file.metadata.end() ? edition->second != e : e == "jax") continue;
    // From the largest to the smallest: every name of simple also stands in vardeq.
    for (const char* const m : {"multiscale", "vardeq", "simple"}) {
      const FlowConfig config = in_file(path, [&] { return with_couplings_of(tutorial_config(m, e), file); });
      if (has_all_parameters(file, Flow(config).parameters())) return with_image_size(config, file, path);
    }
  }
  throw Error(path +
              ": its tensors are not those of simple, vardeq or multiscale in the 2024, 2022 or JAX edition: give a "
              "weight file of one of these");
}

}  // namespace flowsmith::core
