#include "data/flax_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <set>
#include <span>

#define MSGPACK_NO_BOOST
#include <msgpack.hpp>

#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kMaxDepth = 32, kMaxName = 500, kMaxArrays = 20'000, kMaxRank = 16;
/// Of the extensions that Flax defines.
constexpr char kArrayType = 1, kScalarType = 3;

using Path = std::vector<std::string>;

std::string joined(std::span<const std::string> path) {
  std::string text;
  for (const std::string& part : path) text += (text.empty() ? "" : ".") + part;
  return text;
}

/// Walks over the file and calls `on_array` with the place and the bytes of each array.
template <class OnArray>
class TreeVisitor : public msgpack::null_visitor {
 public:
  TreeVisitor(std::string what, OnArray on_array) : what_(std::move(what)), on_array_(on_array) {}

  bool start_map(std::uint32_t) { return enter(); }
  bool end_map() { return leave(); }
  bool start_map_key() {
    in_key_ = true;
    return true;
  }
  bool end_map_key() {
    if (in_key_) fail("has a key that is no name");
    return true;
  }
  bool end_map_value() {
    path_.pop_back();
    return true;
  }
  bool start_array(std::uint32_t) {
    index_.push_back(0);
    return enter();
  }
  bool start_array_item() {
    push(std::to_string(index_.back()++));
    return true;
  }
  bool end_array_item() { return end_map_value(); }
  bool end_array() {
    index_.pop_back();
    return leave();
  }
  bool visit_str(const char* text, std::uint32_t size) {
    if (!in_key_) return true;
    in_key_ = false;
    if (std::string_view(text, size) == "__msgpack_chunked_array__") fail("has an array of more than 1 GiB, in pieces");
    push({text, size});
    return true;
  }
  bool visit_ext(const char* bytes, std::uint32_t size) {
    if (in_key_) return true;  // end_map_key refuses it
    if (size > 0 && (bytes[0] == kArrayType || bytes[0] == kScalarType)) {
      on_array_(path_, std::string_view(bytes + 1, size - 1));
    }
    return true;
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw Error(what_ + ": it " + why + "; write it again with flax.serialization.to_bytes");
  }

 private:
  bool enter() {
    if (in_key_) fail("has a key that is no name");
    if (++depth_ > kMaxDepth) fail("nests more than " + std::to_string(kMaxDepth) + " deep");
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }
  void push(std::string part) {
    path_.push_back(std::move(part));
    std::size_t size = path_.size();
    for (const std::string& one : path_) size += one.size();
    if (size > kMaxName) fail("has a name of more than " + std::to_string(kMaxName) + " characters");
  }

  std::string what_;
  OnArray on_array_;
  Path path_;
  std::vector<std::size_t> index_;
  std::size_t depth_ = 0;
  bool in_key_ = false;
};

/// What an array's extension holds: ((2, 3), "float32", its bytes).
struct ArrayVisitor : msgpack::null_visitor {
  std::vector<std::uint64_t> shape;
  std::string_view dtype, data;
  std::size_t depth = 0, item = 0;
  bool right = true;

  bool start_array(std::uint32_t size) {
    right = right && (depth == 0 ? size == 3 : depth == 1 && item == 0 && size <= kMaxRank);
    ++depth;
    return right;
  }
  bool end_array() {
    --depth;
    return true;
  }
  bool end_array_item() {
    if (depth == 1) ++item;
    return true;
  }
  bool visit_positive_integer(std::uint64_t value) {
    shape.push_back(value);
    return right = right && depth == 2;
  }
  bool visit_str(const char* text, std::uint32_t size) {
    dtype = {text, size};
    return right = right && depth == 1 && item == 1;
  }
  bool visit_bin(const char* bytes, std::uint32_t size) {
    data = {bytes, size};
    return right = right && depth == 1 && item == 2;
  }
  bool start_map(std::uint32_t) { return right = false; }
};

/// NumPy's name of a type as safetensors has it; empty for what weights cannot be.
std::string_view dtype_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"float32", "F32"}, {"float16", "F16"}, {"bfloat16", "BF16"}, {"float64", "F64"}};
  for (const auto& [numpy, ours] : kTypes) {
    if (name == numpy) return ours;
  }
  return "";
}

/// The N of prefix + N, or -1.
int numbered(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return -1;
  int number = -1;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + prefix.size(), end, number);
  return error == std::errc() && stop == end && number >= 0 ? number : -1;
}

struct Array {
  Path path;  ///< below its set
  NamedTensor tensor;
};

/// (height, width, in, out) to (out, in, height, width).
void to_oihw(NamedTensor& kernel) {
  const std::vector<std::int64_t> s = kernel.shape;
  const std::size_t size = dtype_size(kernel.dtype);
  const std::size_t taps = std::size_t(s[0] * s[1]), in = std::size_t(s[2]), out = std::size_t(s[3]);
  std::vector<std::byte> data(kernel.data.size());
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < in; ++i) {
      for (std::size_t tap = 0; tap < taps; ++tap) {
        std::memcpy(data.data() + ((o * in + i) * taps + tap) * size,
                    kernel.data.data() + ((tap * in + i) * out + o) * size, size);
      }
    }
  }
  kernel.data = std::move(data);
  kernel.shape = {s[3], s[2], s[0], s[1]};
}

/// Gives an array the name and layout of the tutorial's PyTorch edition. `norms` are the modules that have a scale.
void rename(Array& array, const std::set<std::string>& norms) {
  const std::string module = joined(std::span(array.path).first(array.path.size() - 1));
  Path names;
  for (const std::string& part : array.path) {
    int number = -1;
    if ((number = numbered(part, "flows_")) >= 0 || (number = numbered(part, "var_flows_")) >= 0) {
      names.insert(names.end(), {"flows", std::to_string(number)});
    } else if ((number = numbered(part, "layers_")) >= 0) {
      names.push_back(std::to_string(number));
    } else if (part == "Conv_0" || part == "Conv_1") {
      names.insert(names.end(), {"net", part == "Conv_0" ? "1" : "3"});  // behind an ELU-concat each
    } else {
      names.push_back(part);
    }
  }
  std::string& last = names.back();
  if (last == "kernel" && array.tensor.shape.size() == 4) {
    last = "weight";
    to_oihw(array.tensor);
  } else if (norms.contains(module) && (last == "scale" || last == "bias") && array.tensor.shape.size() == 1) {
    last = last == "scale" ? "gamma" : "beta";
    array.tensor.shape = {1, array.tensor.shape[0], 1, 1};
  }
  array.tensor.name = joined(names);
}

class FlaxReader {
 public:
  explicit FlaxReader(InputFile& file) : what_("cannot read " + in_quotes(file.path())) {
    if (file.size() > kMaxCheckpointBytes) throw Error(what_ + ": it has more than 1 GiB");
    bytes_.resize(file.size());
    file.read_exactly(bytes_);
    const auto keep = [this](const Path& path, std::string_view payload) { add(path, payload); };
    TreeVisitor<decltype(keep)> visitor(what_, keep);
    std::size_t end = 0;
    const char* const text = reinterpret_cast<const char*>(bytes_.data());
    if (!msgpack::parse(text, bytes_.size(), end, visitor)) visitor.fail("is cut off or damaged");
    if (end != bytes_.size()) visitor.fail("goes on behind its end");
  }

  Checkpoint read(const std::string& key) {
    Checkpoint result;
    result.edition = "jax";
    result.key = chosen(key);
    for (const auto& [place, arrays] : sets_) {
      if (place != result.key && !of_optimizer(place)) result.others.push_back(place);
    }
    std::vector<Array>& arrays = sets_[result.key];
    std::set<std::string> norms;
    for (const Array& array : arrays) {
      if (array.path.back() == "scale") norms.insert(joined(std::span(array.path).first(array.path.size() - 1)));
    }
    std::set<std::string> names;
    for (Array& array : arrays) {
      rename(array, norms);
      if (!names.insert(array.tensor.name).second) {
        throw Error(what_ + ": it has " + in_quotes(array.tensor.name) + " twice");
      }
      result.tensors.push_back(std::move(array.tensor));
    }
    return result;
  }

 private:
  void add(const Path& path, std::string_view payload) {
    const auto flows =
        std::find_if(path.begin(), path.end(), [](const std::string& part) { return numbered(part, "flows_") >= 0; });
    if (first_.empty()) first_ = joined(path);
    if (flows == path.end()) return;
    const std::string name = joined(path);
    if (++count_ > kMaxArrays) throw Error(what_ + ": it has more than " + std::to_string(kMaxArrays) + " arrays");
    ArrayVisitor array;
    std::size_t end = 0;
    if (!msgpack::parse(payload.data(), payload.size(), end, array) || !array.right || array.item != 3 ||
        end != payload.size()) {
      fail(name, "is not described the way Flax describes an array");
    }
    const std::string_view dtype = dtype_of(array.dtype);
    if (dtype.empty()) fail(name, "is of type " + in_quotes(array.dtype, 40) + ", not floats");
    NamedTensor tensor{name, std::string(dtype), {}, {}};
    for (const std::uint64_t size : array.shape) {
      if (size > kMaxCheckpointBytes) fail(name, "has a dimension of " + std::to_string(size));
      tensor.shape.push_back(std::int64_t(size));
    }
    const std::int64_t elements = element_count(tensor.shape, what_ + ": " + in_quotes(name));
    if (array.data.size() % dtype_size(dtype) != 0 || array.data.size() / dtype_size(dtype) != std::size_t(elements)) {
      fail(name, "has " + std::to_string(array.data.size()) + " bytes, which is not what its shape " +
                     shape_text(tensor.shape) + " takes");
    }
    const auto* const data = reinterpret_cast<const std::byte*>(array.data.data());
    tensor.data.assign(data, data + array.data.size());
    sets_[joined(std::span(path).first(std::size_t(flows - path.begin())))].push_back(
        {Path(flows, path.end()), std::move(tensor)});
  }

  [[noreturn]] void fail(const std::string& name, const std::string& why) const {
    throw Error(what_ + ": array " + in_quotes(name) + " " + why);
  }

  static bool of_optimizer(const std::string& place) { return place.starts_with("opt_state"); }

  std::string chosen(const std::string& key) const {
    if (sets_.empty()) {
      throw Error(what_ + ": it is a file of Flax without flows of the tutorial" +
                  (first_.empty() ? "" : ": its first array is " + in_quotes(first_)) + ", and flows_0 is expected");
    }
    if (key.empty()) {
      for (const char* const usual : {"params", ""}) {
        if (sets_.contains(usual)) return usual;
      }
      for (const auto& [place, arrays] : sets_) {
        if (!of_optimizer(place)) return place;
      }
      return sets_.begin()->first;
    }
    if (sets_.contains(key)) return key;
    std::string all;
    for (const auto& [place, arrays] : sets_) all += (all.empty() ? "" : ", ") + in_quotes(place);
    throw Error(what_ + ": there are no weights under " + in_quotes(key) + "; there are some under " + all);
  }

  std::string what_;
  std::vector<std::byte> bytes_;
  std::map<std::string, std::vector<Array>> sets_;  ///< by the names that lead to their flows
  std::string first_;                               ///< place of the first array, whatever it is
  std::size_t count_ = 0;
};

}  // namespace

Checkpoint read_flax_checkpoint(InputFile& file, const std::string& key) { return FlaxReader(file).read(key); }

}  // namespace flowsmith::core
