#include "models/config.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/file.h"
#include "kernels/error.h"
#include "kernels/grey_levels.h"
#include "models/component.h"
#include "models/json.h"
#include "models/named_configs.h"

namespace flowsmith::core {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kLargestFile = 1 << 20;
constexpr int kMostEpochs = 1'000'000;
constexpr int kMostNumbers = 1 << 24;  ///< in an example

/// Layers with their repetitions, counted in double: a file may ask for more than an integer holds. A sequence counts
/// even if nothing is in it: somebody goes through it.
double count_layers(const Json& layers) {
  double count = 0;
  for (const Json& layer : layers) {
    const double inside = layer.contains("layers") ? count_layers(layer.at("layers")) : 1;
    count += layer.at("repeat").get<double>() * std::max(inside, 1.0);
  }
  return count;
}

/// Throws Error if the layers of a component are too many.
void require_few_layers(const Json& component, const std::string& path) {
  if (!component.contains("layers") || count_layers(component.at("layers")) <= FlowConfig::kMostLayers) return;
  throw Error(path + ": with their repetitions they are more than " + std::to_string(FlowConfig::kMostLayers));
}

/// Throws Error if an example is so large that numbers of its elements, times those of a network, could overflow.
void require_small(const Json& data) {
  double numbers = 1;
  for (const char* const side : {"height", "width", "channels", "dims"}) {
    if (data.contains(side)) numbers *= data.at(side).get<double>();
  }
  if (numbers > kMostNumbers)
    throw Error("data: an example has more than " + std::to_string(kMostNumbers) + " numbers");
}

Json check_config(const Json& given) {
  if (!given.is_object()) throw Error("a flow is described by a JSON object with the keys data, layers and base");
  Json rest = given, checked = Json::object();
  const auto take = [&](const char* key) {
    Json value = rest.contains(key) ? rest.at(key) : Json();
    rest.erase(key);
    return value;
  };
  const auto text_or = [&](const char* key, const std::string& fallback) -> Json {
    return check_keys(rest.contains(key) ? Json{{key, take(key)}} : Json::object(), {text_key(key, fallback, "")}, "")
        .at(key);
  };
  checked["name"] = text_or("name", "custom");
  checked["description"] = text_or("description", "");
  const Json data = take("data"), dequantization = take("dequantization"), layers = take("layers"), base = take("base"),
             training = take("training");
  for (const auto& item : rest.items()) {
    throw Error("unknown key " + in_quotes(item.key(), 40) +
                ": choose name, description, data, dequantization, layers, base or training");
  }
  if (data.is_null()) throw Error("the key 'data' is missing: say what the flow takes");
  if (layers.is_null()) throw Error("the key 'layers' is missing: give a list of layers");
  checked["data"] = check_component(data, ComponentKind::kData, "data");
  require_small(checked["data"]);
  if (checked["data"]["type"] == "image8") {
    if (checked["data"]["channels"] == 2)
      throw Error("data.channels: images have 1 channel (grey) or 3 (colour), not 2");
    if (!is_grey_level_count(checked["data"]["levels"].get<int>())) {
      throw Error("data.levels: must be a power of two from 2 to 256, not " + checked["data"]["levels"].dump());
    }
    checked["dequantization"] = check_component(dequantization.is_null() ? Json("uniform") : dequantization,
                                                ComponentKind::kDequantization, "dequantization");
    require_few_layers(checked["dequantization"], "dequantization.layers");
  } else if (!dequantization.is_null()) {
    throw Error("dequantization: is for 8-bit images only: leave it out");
  }
  checked.update(check_keys({{"layers", layers}}, {layers_key("layers", "")}, ""));
  checked["base"] = check_component(base.is_null() ? Json("standard_normal") : base, ComponentKind::kBase, "base");
  checked["training"] = check_keys(training.is_null() ? Json::object() : training, training_keys(), "training");
  require_few_layers(checked, "layers");
  return checked;
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The member `part` of an object or a list.
Json& member(Json& json, const std::string& part, const std::string& path) {
  if (json.is_array()) {
    std::size_t i = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), i);
    if (error == std::errc() && end == part.data() + part.size() && i < json.size()) return json[i];
    throw Error(path + ": there is no item " + in_quotes(part, 40) + " in a list of " + std::to_string(json.size()) +
                ", counted from 0");
  }
  if (json.is_object() && json.contains(part)) return json[part];
  std::vector<std::string> names;
  if (json.is_object()) {
    for (const auto& item : json.items()) names.push_back(item.key());
  }
  throw Error(path + ": there is no key " + in_quotes(part, 40) +
              (names.empty() ? "" : ": choose " + choices_text(names)));
}

/// Calls fn(layer) for each layer that is a coupling, those inside sequences included; `times` is how often the
/// sequences around it are repeated.
template <class Fn>
void for_each_coupling(Json& layers, int times, Fn&& fn) {
  for (Json& layer : layers) {
    if (layer.contains("layers")) {
      for_each_coupling(layer["layers"], times * layer["repeat"].get<int>(), fn);
    } else if (layer["type"] == "coupling") {
      fn(layer, times);
    }
  }
}

/// What somebody wrote for `old`: JSON, or a text without its quotes. What is a text stays one, also "2022".
Json value_of(const std::string& text, const Json& old) {
  try {
    const Json value = parse_json(text);
    if (!old.is_string() || !value.is_primitive() || value.is_string()) return value;
  } catch (const Error&) {  // it is no JSON
  }
  return text;
}

}  // namespace

const std::vector<Key>& training_keys() {
  static const std::vector<Key> keys = {
      text_key("data", "mnist", "the dataset"),
      integer_key("epochs", 200, 1, kMostEpochs, "passes over the training set"),
      integer_key("batch_size", 128, 1, 65536, "examples per step"),
      number_key("lr", 1e-3, kMoreThanZero, kNoLimit, "Adam's learning rate in the first epoch"),
      number_key("lr_decay", 0.99, kMoreThanZero, kNoLimit, "factor on the learning rate per epoch"),
      number_key("clip_norm", 1, 0, kNoLimit, "largest norm of the gradient; 0: no clipping"),
  };
  return keys;
}

FlowConfig::FlowConfig(const Json& checked) : json_(std::make_shared<const Json>(checked)) {}

FlowConfig FlowConfig::parse(std::string_view text, const std::string& where) {
  try {
    if (text.size() > kLargestFile) throw Error("is larger than 1 MiB: no flow needs so much");
    return FlowConfig(check_config(parse_json(text)));
  } catch (const Error& error) {
    throw Error(where + ": " + error.what());
  }
}

FlowConfig FlowConfig::read(const std::string& path) { return parse(read_text_file(path, kLargestFile), path); }

FlowConfig FlowConfig::named(std::string_view name) {
  for (const NamedConfig& config : named_configs()) {
    if (config.name == name) return parse(config.text, std::string(name));
  }
  throw Error("unknown model " + in_quotes(name, 40) + ": choose " + choices_text(names()));
}

std::vector<std::string> FlowConfig::names() {
  std::vector<std::string> names;
  for (const NamedConfig& config : named_configs()) names.emplace_back(config.name);
  return names;
}

FlowConfig FlowConfig::with(const std::string& path, const std::string& value) const {
  Json json = *json_;
  std::vector<std::string> parts = parts_of(path);
  const std::string last = parts.back();
  parts.pop_back();
  Json* place = &json;
  for (const std::string& part : parts) place = &member(*place, part, path);
  Json& old_value = member(*place, last, path);
  const Json new_value = value_of(value, old_value);
  if (last == "type" && place->is_object()) {
    Json component = {{"type", new_value}};
    if (place->contains("repeat")) component["repeat"] = place->at("repeat");
    *place = component;
  } else {
    old_value = new_value;
  }
  try {
    return FlowConfig(check_config(json));
  } catch (const Error& error) {
    throw Error(name() + ": " + error.what());
  }
}

FlowConfig FlowConfig::with_shape(int height, int width, int channels) const {
  Json json = *json_;
  Json& data = json["data"];
  if (data["type"] == "vector") {
    if (height != 1 || width != 1) throw Error("model " + name() + " takes vectors of numbers, not images");
    data["dims"] = channels;
  } else {
    data["height"] = height;
    data["width"] = width;
    data["channels"] = channels;
  }
  return FlowConfig(check_config(json));
}

int FlowConfig::couplings() const {
  Json layers = json_->at("layers");
  int count = 0;
  for_each_coupling(layers, 1, [&](Json& layer, int times) { count += times * layer["repeat"].get<int>(); });
  return count;
}

FlowConfig FlowConfig::with_couplings(int wanted) const {
  const int now = couplings();
  if (wanted == now) return *this;
  Json json = *json_;
  bool fits = wanted >= 1 && now > 0;
  int unit = now;  // what all repetitions can be divided by
  for_each_coupling(json["layers"], 1, [&](Json& layer, int) {
    const std::int64_t repeat = std::int64_t{layer["repeat"].get<int>()} * wanted;
    unit = std::gcd(unit, layer["repeat"].get<int>());
    fits = fits && repeat % now == 0;
    if (fits) layer["repeat"] = repeat / now;
  });
  if (!fits) {
    if (now > 0 && unit == now) throw Error("a flow needs at least one coupling, not " + std::to_string(wanted));
    throw Error(now == 0 ? "model " + name() + " has no couplings"
                         : "model " + name() + " shares its " + std::to_string(now) +
                               " couplings out over its scales, so their number must be a multiple of " +
                               std::to_string(now / std::max(unit, 1)) + ", not " + std::to_string(wanted));
  }
  return FlowConfig(check_config(json));
}

std::string FlowConfig::text() const { return json_->dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }
std::string FlowConfig::line() const { return json_->dump(-1, ' ', false, Json::error_handler_t::replace); }
std::string FlowConfig::name() const { return json_->at("name").get<std::string>(); }
std::string FlowConfig::description() const { return json_->at("description").get<std::string>(); }
Settings FlowConfig::data() const { return {json_->at("data"), "data"}; }
Settings FlowConfig::dequantization() const { return {json_->at("dequantization"), "dequantization"}; }
Settings FlowConfig::base() const { return {json_->at("base"), "base"}; }

std::vector<Settings> FlowConfig::layers() const {
  std::vector<Settings> list;
  for (const Json& layer : json_->at("layers")) list.emplace_back(layer, "layers." + std::to_string(list.size()));
  return list;
}

TrainingDefaults FlowConfig::training() const {
  const Settings s(json_->at("training"), "training");
  return {s.text("data"), s.integer("epochs"),  s.integer("batch_size"),
          s.number("lr"), s.number("lr_decay"), s.number("clip_norm")};
}

int FlowConfig::pad() const { return takes_images() ? data().integer("pad") : 0; }

bool FlowConfig::transposes() const { return takes_images() && data().flag("transpose"); }

bool FlowConfig::standardizes() const { return data().type() == "vector" && data().flag("standardize"); }

bool FlowConfig::takes_images() const { return data().type() == "image8"; }

MapShape FlowConfig::data_shape() const {
  const Settings settings = data();
  if (settings.type() == "vector") return {1, 1, 1, settings.integer("dims")};
  return {1, settings.integer("height"), settings.integer("width"), settings.integer("channels")};
}

bool FlowConfig::operator==(const FlowConfig& other) const {
  const auto flow = [](const FlowConfig& config) {
    Json json = *config.json_;
    for (const char* const key : {"name", "description", "training"}) json.erase(key);
    return json;
  };
  return flow(*this) == flow(other);
}

}  // namespace flowsmith::core
