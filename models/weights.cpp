#include "models/weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/file.h"

namespace flowsmith {

template <class T>
T metadata_number(const SafetensorsFile& file, const std::string& key, const std::string& path) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) throw Error(path + ": metadata '" + key + "' is missing");
  const std::string& text = found->second;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(double(value))) {
    throw Error(path + ": metadata '" + key + "' is not a number: " + in_quotes(text));
  }
  return value;
}

template int metadata_number(const SafetensorsFile&, const std::string&, const std::string&);
template std::int64_t metadata_number(const SafetensorsFile&, const std::string&, const std::string&);
template double metadata_number(const SafetensorsFile&, const std::string&, const std::string&);

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

namespace {

constexpr std::string_view kMaskSuffix = ".mask";

/// The size of the images: from the metadata, else from the mask of the first coupling, else MNIST's.
void find_image_size(ModelSpec& spec, const SafetensorsFile& file, const std::string& path) {
  if (file.metadata.contains("height") && file.metadata.contains("width")) {
    spec.height = metadata_number<int>(file, "height", path);
    spec.width = metadata_number<int>(file, "width", path);
    return;
  }
  for (const char* const name : {"flows.1.mask", "flows.0.flows.0.mask"}) {
    const NamedTensor* const mask = file.find(name);
    if (mask == nullptr || mask->shape.size() != 4) continue;
    spec.height = int(std::clamp<std::int64_t>(mask->shape[2], 0, 1 << 20));
    spec.width = int(std::clamp<std::int64_t>(mask->shape[3], 0, 1 << 20));
    return;
  }
}

/// The number of couplings, from the largest number of a layer that is one; the tutorial's if there is none. Throws
/// Error if the file is too small for so many: what a name says must not decide how much memory is taken.
void find_couplings(ModelSpec& spec, const SafetensorsFile& file, const std::string& path) {
  constexpr std::string_view kBefore = "flows.", kAfter = ".scaling_factor";
  constexpr std::size_t kSmallestCoupling = 40'000;  // parameters
  constexpr int kOtherLayers = 3;                    // of multiscale, in front of its last coupling
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
  const bool multiscale = spec.architecture == Architecture::kMultiscale;
  const int couplings = multiscale ? last - kOtherLayers : last;
  // What fits no flow of this architecture is left to loading, which names a tensor.
  if (couplings < 1 || (multiscale && couplings % 4 != 0)) return;
  spec.couplings = couplings;
  if (spec.couplings > ModelSpec{}.couplings && elements / kSmallestCoupling < std::size_t(spec.couplings)) {
    throw Error(path + ": there is a layer flows." + std::to_string(last) +
                ", but too few weights for so many: the file is damaged or not a weight file");
  }
}

void require_valid_in(const ModelSpec& spec, const std::string& path) {
  try {
    require_valid(spec);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

/// The first parameter that the file lacks or has in another shape; nullptr if all fit.
const Parameter* first_misfit(const Parameters& parameters, const SafetensorsFile& file) {
  for (int i = 0; i < parameters.count(); ++i) {
    const NamedTensor* const tensor = file.find(parameters[i].name);
    if (tensor == nullptr || tensor->shape != parameters[i].file_shape) return &parameters[i];
  }
  return nullptr;
}

void require_mask(const Flow::MaskInfo& info, const NamedTensor& tensor, const std::string& path) {
  const MapShape& s = info.shape;
  const bool checkerboard = info.mask.kind == MaskKind::kCheckerboard;
  const std::vector<std::int64_t> shape =
      checkerboard ? std::vector<std::int64_t>{1, 1, s.h, s.w} : std::vector<std::int64_t>{1, s.c, 1, 1};
  bool right = tensor.shape == shape && tensor.dtype == "F32";
  if (right) {
    const std::span<const float> values = tensor.as<float>();
    for (std::size_t e = 0; e < values.size(); ++e) {
      const bool one = checkerboard ? mask_value(info.mask, int(e / s.w), int(e % s.w), 0, 1)
                                    : mask_value(info.mask, 0, 0, int(e), s.c);
      right = right && values[e] == (one ? 1.0f : 0.0f);
    }
  }
  if (!right)
    throw Error(path + ": tensor " + tensor.name + " is not the mask of this model: the weights belong to another one");
}

}  // namespace

ModelSpec recognise_model(const SafetensorsFile& file, const std::string& path) {
  const auto model = file.metadata.find("model"), edition = file.metadata.find("edition");
  ModelSpec spec;
  if (model != file.metadata.end() && edition != file.metadata.end()) {
    try {
      spec.architecture = parse_architecture(model->second);
      spec.edition = parse_edition(edition->second);
    } catch (const Error& error) {
      throw Error(path + ": " + error.what());
    }
    find_image_size(spec, file, path);
    find_couplings(spec, file, path);
    require_valid_in(spec, path);
    return spec;
  }
  for (const Edition e : {Edition::k2024, Edition::k2022}) {
    // From the largest to the smallest: every name of simple also stands in vardeq.
    for (const Architecture a : {Architecture::kMultiscale, Architecture::kVardeq, Architecture::kSimple}) {
      spec = {a, e};
      find_couplings(spec, file, path);
      require_valid_in(spec, path);
      if (first_misfit(Flow(spec).parameters(), file) != nullptr) continue;
      find_image_size(spec, file, path);
      require_valid_in(spec, path);
      return spec;
    }
  }
  throw Error(path +
              ": its tensors are not those of simple, vardeq or multiscale in the 2024 or 2022 edition: give a "
              "weight file of one of these");
}

std::map<std::string, std::string> model_metadata(const ModelSpec& spec) {
  return {{"model", architecture_name(spec.architecture)},
          {"edition", edition_name(spec.edition)},
          {"height", std::to_string(spec.height)},
          {"width", std::to_string(spec.width)}};
}

std::vector<NamedTensor> export_parameters(const Parameters& parameters, const Tensor& span,
                                           const std::string& prefix) {
  std::vector<NamedTensor> tensors;
  std::vector<float> values;
  for (int i = 0; i < parameters.count(); ++i) {
    values.resize(parameters[i].shape.size());
    parameters.to_file_order(span, i, values.data());
    tensors.push_back(NamedTensor::of<float>(prefix + parameters[i].name, parameters[i].file_shape, values));
  }
  return tensors;
}

void import_parameters(const Parameters& parameters, const Tensor& span, const SafetensorsFile& file,
                       const std::string& path, const std::string& prefix) {
  for (int i = 0; i < parameters.count(); ++i) {
    const std::string name = prefix + parameters[i].name;
    const NamedTensor* const tensor = file.find(name);
    if (tensor == nullptr) throw Error(path + ": tensor " + name + " is missing: give the weights of the right model");
    if (tensor->dtype != "F32" || tensor->shape != parameters[i].file_shape) {
      throw Error(path + ": tensor " + name + " is " + tensor->dtype + " " + shape_text(tensor->shape) +
                  ", expected F32 " + shape_text(parameters[i].file_shape) + ": give the weights of the right model");
    }
    const std::span<const float> values = tensor->as<float>();
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
      throw Error(path + ": tensor " + name + " has values that are not finite: use an earlier checkpoint");
    }
    parameters.from_file_order(span, i, values.data());
  }
}

void load_weights(Flow& flow, const SafetensorsFile& file, const std::string& path,
                  std::span<const std::string_view> ignored) {
  const Parameters& parameters = flow.parameters();
  const std::vector<Flow::MaskInfo> masks = flow.masks();
  for (const NamedTensor& tensor : file.tensors) {
    if (tensor.name.starts_with("adam.")) continue;
    if (std::find(ignored.begin(), ignored.end(), tensor.name) != ignored.end()) continue;
    if (tensor.name.ends_with(kMaskSuffix)) {
      const auto mask = std::find_if(masks.begin(), masks.end(), [&](const auto& m) { return m.name == tensor.name; });
      if (mask != masks.end()) {
        require_mask(*mask, tensor, path);
        continue;
      }
    }
    bool known = false;
    for (int i = 0; i < parameters.count() && !known; ++i) known = parameters[i].name == tensor.name;
    if (!known) {
      throw Error(path + ": tensor " + tensor.name + " is not part of the " +
                  architecture_name(flow.spec().architecture) + " model, edition " + edition_name(flow.spec().edition) +
                  ": give the weights of the right model");
    }
  }
  import_parameters(parameters, parameters.values(), file, path);
}

Flow Flow::load(const std::string& path, Device device) {
  const SafetensorsFile file = read_safetensors(path);
  Flow flow(recognise_model(file, path), device);
  load_weights(flow, file, path);
  return flow;
}

void Flow::save(const std::string& path) const {
  write_safetensors(path, {model_metadata(spec_), export_parameters(parameters_, parameters_.values())});
}

}  // namespace flowsmith
