#include "models/files/weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/file.h"
#include "engine/version.h"
#include "models/files/tutorial_files.h"

namespace flowsmith::core {

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
constexpr const char* kConfigKey = "config";
constexpr const char* kInitializedKey = "data_initialized";  // layers that look at data have done so

void require_mask(const NamedMask& info, const NamedTensor& tensor, const std::string& path) {
  const MapShape& s = info.shape;
  const bool checkerboard = info.mask.kind == MaskKind::kCheckerboard;
  const std::vector<std::int64_t> shape =
      checkerboard ? std::vector<std::int64_t>{1, 1, s.h, s.w} : std::vector<std::int64_t>{1, s.c, 1, 1};
  bool right = tensor.shape == shape;
  if (right) {
    const std::vector<double> values = numbers_of(tensor.dtype, tensor.data);
    for (std::size_t e = 0; e < values.size(); ++e) {
      const bool one = checkerboard ? mask_value(info.mask, int(e / s.w), int(e % s.w), 0, s)
                                    : mask_value(info.mask, 0, 0, int(e), s);
      right = right && values[e] == (one ? 1.0 : 0.0);
    }
  }
  if (!right)
    throw Error(path + ": tensor " + tensor.name + " is not the mask of this model: the weights belong to another one");
}

/// The numbers of a tensor in one of `dtypes`, the first of which is what we write.
std::vector<double> required_numbers(const SafetensorsFile& file, const std::string& name,
                                     std::initializer_list<std::string_view> dtypes,
                                     const std::vector<std::int64_t>& shape, const std::string& path) {
  const NamedTensor* const tensor = file.find(name);
  if (tensor == nullptr) throw Error(path + ": tensor " + name + " is missing: give the weights of the right model");
  if (std::find(dtypes.begin(), dtypes.end(), tensor->dtype) == dtypes.end() || tensor->shape != shape) {
    throw Error(path + ": tensor " + name + " is " + tensor->dtype + " " + shape_text(tensor->shape) + ", expected " +
                std::string(*dtypes.begin()) + " " + shape_text(shape) + ": give the weights of the right model");
  }
  const std::vector<double> numbers = numbers_of(tensor->dtype, tensor->data);
  if (!std::all_of(numbers.begin(), numbers.end(), [](double value) { return std::isfinite(value); })) {
    throw Error(path + ": tensor " + name + " has values that are not finite: use an earlier checkpoint");
  }
  return numbers;
}

}  // namespace

FlowConfig config_of(const SafetensorsFile& file, const std::string& path) {
  const auto config = file.metadata.find(kConfigKey);
  if (config != file.metadata.end()) return FlowConfig::parse(config->second, path + ": metadata 'config'");
  return tutorial_config(file, path);
}

void set_origin(SafetensorsFile& file, const Origin& origin) {
  file.metadata["data"] = origin.data;
  file.metadata["seed"] = std::to_string(origin.seed);
  file.metadata["version"] = version();
}

std::optional<Origin> origin_of(const SafetensorsFile& file) {
  const auto data = file.metadata.find("data"), seed = file.metadata.find("seed");
  if (data == file.metadata.end() || seed == file.metadata.end()) return std::nullopt;
  Origin origin{data->second, 0};
  const char* const end = seed->second.data() + seed->second.size();
  const auto [rest, error] = std::from_chars(seed->second.data(), end, origin.seed);
  if (error != std::errc() || rest != end) return std::nullopt;
  return origin;
}

std::map<std::string, std::string> config_metadata(const FlowConfig& config) { return {{kConfigKey, config.line()}}; }

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
    const std::vector<double> numbers =
        required_numbers(file, name, {"F32", "F64", "F16", "BF16"}, parameters[i].file_shape, path);
    const std::vector<float> values(numbers.begin(), numbers.end());
    if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
      throw Error(path + ": tensor " + name + " has values beyond those of a float: use an earlier checkpoint");
    }
    parameters.from_file_order(span, i, values.data());
  }
}

std::vector<NamedTensor> export_states(const Parameters& parameters) {
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < parameters.state_count(); ++i) {
    const std::vector<double> values = download<double>(parameters.device(), parameters.state_values(i));
    tensors.push_back(NamedTensor::of<double>(parameters.state(i).name, parameters.state(i).file_shape, values));
  }
  return tensors;
}

void import_states(Parameters& parameters, const SafetensorsFile& file, const std::string& path) {
  for (int i = 0; i < parameters.state_count(); ++i) {
    const State& state = parameters.state(i);
    parameters.set_state(i, required_numbers(file, state.name, {"F64"}, state.file_shape, path));
  }
}

void load_weights(Flow& flow, const SafetensorsFile& file, const std::string& path,
                  std::span<const std::string_view> ignored) {
  Parameters& parameters = flow.parameters();
  const std::vector<NamedMask> masks = flow.masks();
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
    for (int i = 0; i < parameters.state_count() && !known; ++i) known = parameters.state(i).name == tensor.name;
    if (!known) {
      throw Error(path + ": tensor " + tensor.name + " is not part of model " + flow.config().name() +
                  ": give the weights of the right model");
    }
  }
  import_parameters(parameters, parameters.values(), file, path);
  import_states(parameters, file, path);
  try {
    flow.weights_changed();
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
  flow.set_data_initialized(file.metadata.contains(kInitializedKey));
}

Flow flow_for(const FlowConfig& config, const SafetensorsFile& file, const std::string& path, Device device) {
  constexpr std::size_t kFewParameters = 1 << 24;  // whatever the file holds: loading then says which tensor is missing
  std::size_t held = 0;
  for (const NamedTensor& tensor : file.tensors) held += tensor.data.size() / sizeof(float);
  try {
    return Flow(config, device, DType::kF32, std::max(held, kFewParameters));
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

Flow flow_for(const SafetensorsFile& file, const std::string& path, Device device) {
  return flow_for(config_of(file, path), file, path, device);
}

Flow Flow::load(const std::string& path, Device device) { return from_file(read_safetensors(path), path, device); }

Flow Flow::from_file(const SafetensorsFile& file, const std::string& path, Device device) {
  Flow flow = flow_for(file, path, device);
  load_weights(flow, file, path);
  flow.origin_ = origin_of(file);
  return flow;
}

SafetensorsFile weights_file(const Flow& flow) {
  SafetensorsFile file{config_metadata(flow.config()),
                       export_parameters(flow.parameters(), flow.parameters().values())};
  for (NamedTensor& state : export_states(flow.parameters())) file.tensors.push_back(std::move(state));
  if (flow.is_data_initialized()) file.metadata[kInitializedKey] = "yes";
  return file;
}

void Flow::save(const std::string& path) const { write_safetensors(path, weights_file(*this)); }

}  // namespace flowsmith::core
