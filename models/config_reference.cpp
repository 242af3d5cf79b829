#include "models/config_reference.h"

#include <cctype>

#include "models/config.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

std::string code(const std::string& text) { return "`" + text + "`"; }

std::string sentence(std::string text) {
  text[0] = char(std::toupper(static_cast<unsigned char>(text[0])));
  return text + ".";
}

struct Section {
  ComponentKind kind;
  std::string title, about;
};

const std::vector<Section>& sections() {
  static const std::vector<Section> list = {
      {ComponentKind::kData, "Data", "What a flow takes: the key `data`."},
      {ComponentKind::kDequantization, "Dequantization",
       "How 8-bit images become real numbers: the key `dequantization`, `\"uniform\"` if it is left out. Other data "
       "have none."},
      {ComponentKind::kLayer, "Layers", "The list `layers`, in the order from data to latents."},
      {ComponentKind::kTransformer, "Transformers",
       "What a coupling does to each element that its mask does not let through."},
      {ComponentKind::kConditioner, "Conditioners", "The networks of couplings."},
      {ComponentKind::kBase, "Bases",
       "The density of what comes out of the last layer: the key `base`, `\"standard_normal\"` if it is left out."},
  };
  return list;
}

std::string link_to(ComponentKind kind) {
  for (const Section& section : sections()) {
    if (section.kind != kind) continue;
    std::string anchor = section.title;
    for (char& c : anchor) c = char(std::tolower(static_cast<unsigned char>(c)));
    return "[" + component_kind_name(kind) + "](#" + anchor + ")";
  }
  return component_kind_name(kind);
}

std::string choices_of(const Key& key) {
  std::vector<std::string> choices;
  for (const std::string& choice : key.choices) choices.push_back(code(choice));
  return choices_text(choices);
}

std::string values_of(const Key& key) {
  switch (key.type) {
    case Key::Type::kInteger:
      return "whole number, " + range_text(key);
    case Key::Type::kNumber:
      return "number, " + range_text(key);
    case Key::Type::kFlag:
      return "true or false";
    case Key::Type::kText:
      return "text";
    case Key::Type::kChoice:
      return choices_of(key);
    case Key::Type::kMask:
      return choices_of(key) + "; or a list of 0 and 1";
    case Key::Type::kIntegers:
      return "list of whole numbers, " + range_text(key);
    case Key::Type::kComponent:
      return "a " + link_to(key.kind);
    case Key::Type::kLayers:
      return "list of [layers](#layers)";
  }
  return {};
}

std::string table_of(const std::vector<Key>& keys) {
  if (keys.empty()) return "";
  std::string table = "\n| key | default | values | meaning |\n|---|---|---|---|\n";
  for (const Key& key : keys) {
    table += "| " + code(key.name) + " | " + (key.fallback ? code(*key.fallback) : "must be given") + " | " +
             values_of(key) + " | " + key.meaning + " |\n";
  }
  return table;
}

}  // namespace

std::string config_reference() {
  std::string text;
  for (const Section& section : sections()) {
    text += "\n## " + section.title + "\n\n" + section.about + "\n";
    const std::vector<Key> common = common_keys(section.kind);
    if (!common.empty()) text += "\nAll of them have\n" + table_of(common);
    for (const ComponentType* const type : component_types(section.kind)) {
      text += "\n### " + type->name + "\n\n" + sentence(type->summary) + "\n" + table_of(type->keys);
    }
  }
  text += "\n## Training\n\nHow the model is trained unless somebody says otherwise: the key `training`.\n" +
          table_of(training_keys());
  return text;
}

}  // namespace flowsmith::core
