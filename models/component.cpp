#include "models/component.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "kernels/error.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestList = 4096;
constexpr int kDeepest = 8;  ///< layers inside layers
constexpr std::size_t kLongestText = 1000;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error((path.empty() ? "" : path + ": ") + what);
}

/// A value as people may read it in one line.
std::string shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  return in_quotes(value.dump(-1, ' ', false, Json::error_handler_t::replace), 40);
}

/// The same of what should have been a name.
std::string shown_name(const Json& value) {
  return value.is_string() ? in_quotes(value.get<std::string>(), 40) : shown(value);
}

std::string number_text(double value) {
  Json json = value;
  if (value == std::floor(value) && std::abs(value) < 1e15) json = std::int64_t(value);
  return json.dump();
}

Json checked_number(const Json& value, const Key& key, bool whole, const std::string& path) {
  const bool right_type = value.is_number() && (!whole || value.is_number_integer() ||
                                                value.get<double>() == std::floor(value.get<double>()));
  if (!right_type || !(value.get<double>() >= key.least && value.get<double>() <= key.most)) {
    fail(path, std::string("must be a ") + (whole ? "whole number" : "number") + " of " + range_text(key) + ", not " +
                   shown(value));
  }
  if (whole) return Json(std::int64_t(value.get<double>()));
  return Json(value.get<double>());
}

Json checked_list(const Json& value, const Key& key, const std::string& path) {
  if (!value.is_array() || value.size() > kLongestList) {
    fail(path, "must be a list of at most " + std::to_string(kLongestList) + " whole numbers, not " +
                   (value.is_array() ? std::to_string(value.size()) + " of them" : shown(value)));
  }
  Json list = Json::array();
  for (const Json& item : value) {
    list.push_back(checked_number(item, key, true, path + "." + std::to_string(list.size())));
  }
  return list;
}

Json checked_choice(const Json& value, const Key& key, const std::string& path) {
  if (value.is_string() &&
      std::find(key.choices.begin(), key.choices.end(), value.get<std::string>()) != key.choices.end()) {
    return value;
  }
  fail(path, "unknown value " + shown_name(value) + ": choose " + choices_text(key.choices) +
                 (key.type == Key::Type::kMask ? ", or give a list of 0 and 1" : ""));
}

/// Names stand in messages of one line.
Json checked_text(const Json& value, const std::string& path) {
  if (!value.is_string()) fail(path, "must be a text, not " + shown(value));
  const auto& text = value.get_ref<const std::string&>();
  const bool one_line = std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 127; });
  if (text.size() <= kLongestText && one_line) return value;
  fail(path, "must be a text of one line and at most " + std::to_string(kLongestText) + " bytes");
}

Json checked_layers(const Json& value, const std::string& path) {
  if (!value.is_array()) fail(path, "must be a list of layers, not " + shown(value));
  if (value.size() > kLongestList) fail(path, "has more than " + std::to_string(kLongestList) + " layers");
  if (std::count(path.begin(), path.end(), '.') > 2 * kDeepest) {
    fail(path, "layers are nested more than " + std::to_string(kDeepest) + " deep");
  }
  Json list = Json::array();
  for (const Json& item : value) {
    list.push_back(check_component(item, ComponentKind::kLayer, path + "." + std::to_string(list.size())));
  }
  return list;
}

Json checked_value(const Json& value, const Key& key, const std::string& path) {
  switch (key.type) {
    case Key::Type::kInteger:
      return checked_number(value, key, true, path);
    case Key::Type::kNumber:
      return checked_number(value, key, false, path);
    case Key::Type::kFlag:
      if (!value.is_boolean()) fail(path, "must be true or false, not " + shown(value));
      return value;
    case Key::Type::kText:
      return checked_text(value, path);
    case Key::Type::kChoice:
      return checked_choice(value, key, path);
    case Key::Type::kMask:
      return value.is_array() ? checked_list(value, key, path) : checked_choice(value, key, path);
    case Key::Type::kIntegers:
      return checked_list(value, key, path);
    case Key::Type::kComponent:
      return check_component(value, key.kind, path);
    case Key::Type::kLayers:
      return checked_layers(value, path);
  }
  fail(path, "has a key of an unknown type");
}

Key key_of(std::string name, Key::Type type, std::string meaning) {
  Key key;
  key.name = std::move(name);
  key.type = type;
  key.meaning = std::move(meaning);
  return key;
}

}  // namespace

std::vector<Key> common_keys(ComponentKind kind) {
  if (kind != ComponentKind::kLayer) return {};
  return {integer_key("repeat", 1, 1, 4096, "so many of them in a row")};
}

std::vector<Key> keys_of(ComponentKind kind, const ComponentType& type) {
  std::vector<Key> keys = common_keys(kind);
  keys.insert(keys.end(), type.keys.begin(), type.keys.end());
  return keys;
}

std::string component_kind_name(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::kData:
      return "data";
    case ComponentKind::kDequantization:
      return "dequantization";
    case ComponentKind::kLayer:
      return "layer";
    case ComponentKind::kTransformer:
      return "transformer";
    case ComponentKind::kConditioner:
      return "conditioner";
    case ComponentKind::kBase:
      return "base";
  }
  throw Error("unknown kind of component");
}

Key integer_key(std::string name, std::optional<int> fallback, int least, int most, std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kInteger, std::move(meaning));
  if (fallback) key.fallback = std::to_string(*fallback);
  key.least = least;
  key.most = most;
  return key;
}

Key number_key(std::string name, std::optional<double> fallback, double least, double most, std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kNumber, std::move(meaning));
  if (fallback) key.fallback = Json(*fallback).dump();
  key.least = least;
  key.most = most;
  return key;
}

Key flag_key(std::string name, bool fallback, std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kFlag, std::move(meaning));
  key.fallback = fallback ? "true" : "false";
  return key;
}

Key text_key(std::string name, std::string fallback, std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kText, std::move(meaning));
  key.fallback = Json(fallback).dump();
  return key;
}

Key choice_key(std::string name, std::optional<std::string> fallback, std::vector<std::string> choices,
               std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kChoice, std::move(meaning));
  if (fallback) key.fallback = Json(*fallback).dump();
  key.choices = std::move(choices);
  return key;
}

Key mask_key(std::string name, std::string fallback, std::vector<std::string> choices, std::string meaning) {
  Key key = choice_key(std::move(name), std::move(fallback), std::move(choices), std::move(meaning));
  key.type = Key::Type::kMask;
  key.most = 1;
  return key;
}

Key integers_key(std::string name, std::string fallback, int least, int most, std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kIntegers, std::move(meaning));
  key.fallback = std::move(fallback);
  key.least = least;
  key.most = most;
  return key;
}

Key component_key(std::string name, std::optional<std::string> fallback, ComponentKind kind, std::string meaning) {
  Key key = key_of(std::move(name), Key::Type::kComponent, std::move(meaning));
  key.fallback = std::move(fallback);
  key.kind = kind;
  return key;
}

Key layers_key(std::string name, std::string meaning) {
  return key_of(std::move(name), Key::Type::kLayers, std::move(meaning));
}

Json check_component(const Json& given, ComponentKind kind, const std::string& path) {
  const Json object = given.is_string() ? Json{{"type", given}} : given;
  const std::string what = component_kind_name(kind);
  if (!object.is_object()) fail(path, "must be an object that describes a " + what + ", not " + shown(given));
  std::vector<std::string> names;
  for (const ComponentType* type : component_types(kind)) names.push_back(type->name);
  if (!object.contains("type")) fail(path, "the key 'type' is missing: choose " + choices_text(names));
  const Json& name = object.at("type");
  for (const ComponentType* type : component_types(kind)) {
    if (name != type->name) continue;
    Json rest = object;
    rest.erase("type");
    Json checked = {{"type", type->name}};
    checked.update(check_keys(rest, keys_of(kind, *type), path));
    return checked;
  }
  fail(path, "unknown " + what + " " + shown_name(name) + ": choose " + choices_text(names));
}

Json check_keys(const Json& given, const std::vector<Key>& keys, const std::string& path) {
  if (!given.is_object()) fail(path, "must be an object, not " + shown(given));
  std::vector<std::string> names;
  for (const Key& key : keys) names.push_back(key.name);
  for (const auto& [name, value] : given.items()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    fail(path, "unknown key " + in_quotes(name, 40) +
                   (names.empty() ? ": it has none but 'type'" : ": choose " + choices_text(names)));
  }
  Json checked = Json::object();
  const std::string before = path.empty() ? "" : path + ".";
  for (const Key& key : keys) {
    if (given.contains(key.name)) {
      checked[key.name] = checked_value(given.at(key.name), key, before + key.name);
    } else if (key.fallback) {
      checked[key.name] = checked_value(Json::parse(*key.fallback), key, before + key.name);
    } else {
      fail(path, "the key '" + key.name + "' is missing: " + key.meaning);
    }
  }
  return checked;
}

std::string range_text(const Key& key) {
  if (key.most == kNoLimit) return key.least == kMoreThanZero ? "more than 0" : number_text(key.least) + " or more";
  return number_text(key.least) + " to " + number_text(key.most);
}

std::string choices_text(const std::vector<std::string>& choices) {
  std::string text;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + choices[i];
  }
  return text;
}

}  // namespace flowsmith::core
