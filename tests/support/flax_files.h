// Checkpoints as flax.serialization.to_bytes writes them, made by hand: MessagePack.
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/safetensors.h"

namespace flowsmith::core::flax {

inline std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xff);
  return text;
}
inline std::string text(std::string_view value) { return "\xd9" + big_endian(value.size(), 1) + std::string(value); }
inline std::string bytes(std::string_view value) { return "\xc6" + big_endian(value.size(), 4) + std::string(value); }
inline std::string integer(std::uint64_t value) { return "\xcf" + big_endian(value, 8); }
inline std::string extension(char type, std::string_view value) {
  return "\xc9" + big_endian(value.size(), 4) + type + std::string(value);
}
inline std::string list(const std::vector<std::string>& items) {
  std::string all = "\xdd" + big_endian(items.size(), 4);
  for (const std::string& item : items) all += item;
  return all;
}
/// Short names are written as to_bytes writes them.
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string all =
      items.size() < 16 ? std::string(1, char(0x80 + items.size())) : "\xde" + big_endian(items.size(), 2);
  for (const auto& [name, value] : items) {
    all += (name.size() < 32 ? char(0xa0 + name.size()) + name : text(name)) + value;
  }
  return all;
}
inline std::string array(const std::vector<std::int64_t>& shape, std::string_view dtype, std::string_view data) {
  std::vector<std::string> sizes;
  for (const std::int64_t size : shape) sizes.push_back(integer(std::uint64_t(size)));
  return extension(1, list({list(sizes), text(dtype), bytes(data)}));
}

/// A tree of dicts with arrays at its ends.
struct Tree {
  std::map<std::string, Tree> children;
  std::string value;  ///< where there are no children

  std::string packed() const {
    if (children.empty()) return value;
    std::vector<std::pair<std::string, std::string>> items;
    for (const auto& [name, child] : children) items.emplace_back(name, child.packed());
    return dict(items);
  }
};

/// The parameters of a flow of the tutorial as its JAX edition saves them, from a weight file's F32 tensors.
inline std::string checkpoint(const SafetensorsFile& weights) {
  Tree root;
  for (const NamedTensor& tensor : weights.tensors) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= tensor.name.size();) {
      const std::size_t end = std::min(tensor.name.find('.', begin), tensor.name.size());
      parts.push_back(tensor.name.substr(begin, end - begin));
      begin = end + 1;
    }
    Tree* node = &root;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      std::string part = parts[i];
      if (part == "flows") {
        part = i == 0 ? "flows_" : "var_flows_";
        part += parts[++i];
      }
      if (part == "net") part = parts[++i] == "1" ? "Conv_0" : "Conv_1";
      if (part == "nn") {
        node = &node->children["nn"];
        part = "layers_" + parts[++i];
      }
      if (part == "weight") part = "kernel";
      if (part == "gamma") part = "scale";
      if (part == "beta") part = "bias";
      node = &node->children[part];
    }
    std::vector<std::int64_t> shape = tensor.shape;
    std::string_view data(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
    std::string hwio;
    if (tensor.name.ends_with("gamma") || tensor.name.ends_with("beta")) {
      shape = {tensor.shape[1]};
    } else if (shape.size() == 4) {
      const std::int64_t o = shape[0], i = shape[1], taps = shape[2] * shape[3];
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        for (std::int64_t k = 0; k < i; ++k) {
          for (std::int64_t n = 0; n < o; ++n) hwio += data.substr(std::size_t(4 * ((n * i + k) * taps + tap)), 4);
        }
      }
      shape = {shape[2], shape[3], i, o};
      data = hwio;
    }
    node->value = array(shape, "float32", data);
  }
  return root.packed();
}

}  // namespace flowsmith::core::flax
