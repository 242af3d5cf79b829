// What a configuration may say. Every kind of layer, network and base describes its keys; a description checks what a
// file holds, fills in defaults, and is what docs/config.md is generated from.
#pragma once

#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace flowsmith::core {

/// What a component is for. Each has its own list of types (models/registry.h).
enum class ComponentKind { kData, kDequantization, kLayer, kTransformer, kConditioner, kBase };

std::string component_kind_name(ComponentKind kind);  ///< "layer"

/// One key of a component. The functions below make them.
struct Key {
  enum class Type { kInteger, kNumber, kFlag, kText, kChoice, kMask, kIntegers, kComponent, kLayers };

  std::string name;
  Type type = Type::kInteger;
  std::string meaning;                         ///< one line for people
  std::optional<std::string> fallback;         ///< the default as JSON text; none: the key must be given
  double least = 0, most = 0;                  ///< of a number, or of each number in a list
  std::vector<std::string> choices = {};       ///< of kChoice and kMask
  ComponentKind kind = ComponentKind::kLayer;  ///< of kComponent
};

Key integer_key(std::string name, std::optional<int> fallback, int least, int most, std::string meaning);
Key number_key(std::string name, std::optional<double> fallback, double least, double most, std::string meaning);
Key flag_key(std::string name, bool fallback, std::string meaning);
Key text_key(std::string name, std::string fallback, std::string meaning);
Key choice_key(std::string name, std::optional<std::string> fallback, std::vector<std::string> choices,
               std::string meaning);
/// One of the choices, or a list of 0 and 1.
Key mask_key(std::string name, std::string fallback, std::vector<std::string> choices, std::string meaning);
/// A list of whole numbers. `fallback` is JSON text.
Key integers_key(std::string name, std::string fallback, int least, int most, std::string meaning);
/// An object with a type of this kind, or only the name of its type. `fallback` is JSON text.
Key component_key(std::string name, std::optional<std::string> fallback, ComponentKind kind, std::string meaning);
/// A list of layers.
Key layers_key(std::string name, std::string meaning);

/// For number_key(): the least of what must be more than 0, and the most of what has no limit.
inline constexpr double kMoreThanZero = 1e-300;
inline constexpr double kNoLimit = std::numeric_limits<double>::max();

struct ComponentType {
  std::string name;     ///< "affine", the value of the key `type`
  std::string summary;  ///< one line for people
  std::vector<Key> keys;
};

/// The keys that all types of this kind have.
std::vector<Key> common_keys(ComponentKind kind);
/// All keys of a type: those, and its own.
std::vector<Key> keys_of(ComponentKind kind, const ComponentType& type);

/// A checked copy of `given`, an object or the name of a type: every key of its type in the order of its description,
/// defaults filled in. `path` names it in errors. Throws Error for a type or key that is not known, a key that is
/// missing, and a value of another type or out of range.
nlohmann::ordered_json check_component(const nlohmann::ordered_json& given, ComponentKind kind,
                                       const std::string& path);

/// The same for an object without a type.
nlohmann::ordered_json check_keys(const nlohmann::ordered_json& given, const std::vector<Key>& keys,
                                  const std::string& path);

/// What numbers a key takes: "1 to 4096", "0 or more", "more than 0".
std::string range_text(const Key& key);

/// "a, b or c"
std::string choices_text(const std::vector<std::string>& choices);

}  // namespace flowsmith::core
