#include "engine/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

#include "engine/file.h"
#include "engine/file_kind.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian elements");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the Hugging Face reader
constexpr std::size_t kMaxRank = 32;
constexpr std::string_view kMetadataKey = "__metadata__";

template <class T>
std::string_view dtype_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
  if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
  if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
  if constexpr (std::is_same_v<T, float>) return "F32";
  if constexpr (std::is_same_v<T, double>) return "F64";
}

struct HeaderEntry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;
  std::set<std::string> fields;  // those seen, so that none comes twice or is missing
};

// Takes the header's JSON as the parser meets it and accepts only the one shape it may have. No JSON tree is built, so
// deep nesting or millions of stray values cost nothing: the first one out of place ends the parse.
class HeaderParser : public nlohmann::json_sax<Json> {
 public:
  std::map<std::string, std::string> metadata;
  std::vector<HeaderEntry> entries;
  std::string problem;  // empty while all is well

  bool start_object(std::size_t) override {
    if (state_ == State::kStart) return go(State::kTop);
    if (state_ == State::kTopValue) return go(key_ == kMetadataKey ? State::kMetadata : State::kTensor);
    return misplaced("an object");
  }
  bool end_object() override { return go(state_ == State::kTop ? State::kDone : State::kTop); }

  bool key(std::string& name) override {
    key_ = name;
    switch (state_) {
      case State::kTop:
        if (!names_.insert(name).second) return refuse("the name " + in_quotes(name) + " comes twice");
        if (name != kMetadataKey) entries.emplace_back().name = name;
        return go(State::kTopValue);
      case State::kMetadata:
        if (metadata.contains(name)) return refuse("metadata " + in_quotes(name) + " comes twice");
        return go(State::kMetadataValue);
      default:
        if (name != "dtype" && name != "shape" && name != "data_offsets") {
          return refuse(where() + " has the unknown field " + in_quotes(name));
        }
        if (!entries.back().fields.insert(name).second) return refuse(where() + " has its " + name + " twice");
        return go(State::kField);
    }
  }

  bool string(std::string& text) override {
    if (state_ == State::kMetadataValue) {
      metadata[key_] = text;
      return go(State::kMetadata);
    }
    if (state_ == State::kField && key_ == "dtype") {
      entries.back().dtype = text;
      return go(State::kTensor);
    }
    return misplaced("a string");
  }

  bool start_array(std::size_t) override {
    if (state_ == State::kField && key_ != "dtype") return go(State::kNumbers);
    return misplaced("a list");
  }
  bool end_array() override { return go(State::kTensor); }

  bool number_unsigned(std::uint64_t value) override {
    if (state_ != State::kNumbers) return misplaced("a number");
    auto& list = key_ == "shape" ? entries.back().shape : entries.back().offsets;
    if (list.size() == kMaxRank) return refuse(where() + " has more than 32 numbers in its " + key_);
    list.push_back(value);
    return true;
  }
  bool number_integer(std::int64_t) override { return misplaced("a negative number"); }
  bool number_float(double, const std::string&) override {
    return misplaced("a number that is too large or not whole");
  }
  bool null() override { return misplaced("null"); }
  bool boolean(bool) override { return misplaced("true or false"); }
  bool binary(Json::binary_t&) override { return misplaced("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    return refuse("it is not valid JSON at byte " + std::to_string(position));
  }

 private:
  enum class State { kStart, kTop, kTopValue, kMetadata, kMetadataValue, kTensor, kField, kNumbers, kDone };

  bool go(State next) {
    state_ = next;
    return true;
  }
  bool refuse(std::string why) {
    problem = std::move(why);
    return false;
  }
  std::string where() const { return "tensor " + in_quotes(entries.back().name); }
  bool misplaced(const std::string& what) {
    if (state_ == State::kMetadataValue) {
      return refuse("metadata " + in_quotes(key_) + " holds " + what + " instead of a string");
    }
    if (state_ == State::kStart || state_ == State::kTopValue) {
      return refuse("it holds " + what + (key_.empty() ? "" : " under " + in_quotes(key_)) + " instead of an object");
    }
    return refuse(where() + " holds " + what + " in its " + key_);
  }

  State state_ = State::kStart;
  std::string key_;
  std::set<std::string> names_;
};

struct PlacedTensor {
  NamedTensor tensor;  // with no bytes yet
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

PlacedTensor checked_tensor(const std::string& file, HeaderEntry& entry) {
  const std::string what = "cannot read " + file + ": tensor " + in_quotes(entry.name);
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!entry.fields.contains(field)) throw Error(what + " has no " + field + "; write the file again");
  }
  const std::size_t size = dtype_size(entry.dtype);
  if (size == 0) {
    throw Error(what + " has the dtype " + in_quotes(entry.dtype) +
                "; convert it to one of BOOL, U8 to U64, I8 to I64, F16, BF16, F32, F64");
  }
  if (entry.offsets.size() != 2 || entry.offsets[0] > entry.offsets[1]) {
    throw Error(what + " has data_offsets that are no [begin, end]; write the file again");
  }
  PlacedTensor placed{{std::move(entry.name), std::move(entry.dtype), {}, {}}, entry.offsets[0], entry.offsets[1]};
  for (const std::uint64_t dimension : entry.shape) {
    // Past 63 bits a dimension turns negative here, which element_count refuses.
    placed.tensor.shape.push_back(static_cast<std::int64_t>(dimension));
  }
  const auto count = static_cast<std::uint64_t>(element_count(placed.tensor.shape, what));
  const std::uint64_t bytes = placed.end - placed.begin;
  if (bytes % size != 0 || bytes / size != count) {
    throw Error(what + " has " + std::to_string(bytes) + " bytes, not those of " + placed.tensor.dtype + " " +
                shape_text(placed.tensor.shape) + "; write the file again");
  }
  return placed;
}

// Every byte of the data belongs to exactly one tensor.
void check_layout(const std::string& file, const std::vector<PlacedTensor>& tensors, std::uint64_t data_size) {
  std::uint64_t end = 0;
  for (const PlacedTensor& placed : tensors) {
    const std::string what = "cannot read " + file + ": tensor " + in_quotes(placed.tensor.name);
    if (placed.begin < end) throw Error(what + " overlaps the tensor before it; write the file again");
    if (placed.begin > end) throw Error(what + " leaves a hole before it; write the file again");
    if (placed.end > data_size) {
      throw Error(what + " ends at byte " + std::to_string(placed.end) + " of " + std::to_string(data_size) +
                  ": the file is cut off; copy or write it again");
    }
    end = placed.end;
  }
  if (end != data_size) {
    throw Error("cannot read " + file + ": " + std::to_string(data_size - end) +
                " bytes follow its last tensor; write the file again");
  }
}

std::string json_string(const std::string& text, const std::string& path) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    throw Error("cannot write " + in_quotes(path) + ": the name or metadata " + in_quotes(text) +
                " is not UTF-8; rename it");
  }
}

std::string header_text(const std::string& path, const SafetensorsFile& content) {
  std::string header = "{";
  if (!content.metadata.empty()) {
    header += json_string(std::string(kMetadataKey), path) + ":{";
    for (const auto& [key, value] : content.metadata) {
      if (header.back() != '{') header += ',';
      header += json_string(key, path) + ':' + json_string(value, path);
    }
    header += '}';
  }
  std::set<std::string_view> names = {kMetadataKey};
  std::uint64_t offset = 0;
  for (const NamedTensor& tensor : content.tensors) {
    const std::string what = "cannot write " + in_quotes(path) + ": tensor " + in_quotes(tensor.name);
    if (!names.insert(tensor.name).second) throw Error(what + " has a name that is taken; rename it");
    const std::size_t size = dtype_size(tensor.dtype);
    if (size == 0) throw Error(what + " has the unknown dtype " + in_quotes(tensor.dtype) + "; use F32 or F64");
    const auto count = static_cast<std::uint64_t>(element_count(tensor.shape, what));
    if (tensor.data.size() % size != 0 || tensor.data.size() / size != count) {
      throw Error(what + " has " + std::to_string(tensor.data.size()) + " bytes, not those of " + tensor.dtype + " " +
                  shape_text(tensor.shape) + "; give it the bytes of its shape");
    }
    if (header.size() > 1) header += ',';
    header += json_string(tensor.name, path) + ":{\"dtype\":\"" + tensor.dtype + "\",\"shape\":[";
    for (const std::int64_t dimension : tensor.shape) {
      if (header.back() != '[') header += ',';
      header += std::to_string(dimension);
    }
    header += "],\"data_offsets\":[" + std::to_string(offset) + ',';
    offset += tensor.data.size();
    header += std::to_string(offset) + "]}";
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

}  // namespace

std::size_t dtype_size(std::string_view dtype) {
  if (dtype == "BOOL" || dtype == "U8" || dtype == "I8") return 1;
  if (dtype == "U16" || dtype == "I16" || dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U32" || dtype == "I32" || dtype == "F32") return 4;
  if (dtype == "U64" || dtype == "I64" || dtype == "F64") return 8;
  return 0;
}

namespace {

template <class T, class Convert>
std::vector<double> converted(std::span<const std::byte> data, Convert&& convert) {
  std::vector<double> numbers(data.size() / sizeof(T));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    T element;
    std::memcpy(&element, data.data() + i * sizeof(T), sizeof(T));
    numbers[i] = double(convert(element));
  }
  return numbers;
}

/// IEEE 754's binary16: a sign, 5 bits of exponent, 10 of mantissa.
double from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

}  // namespace

std::vector<double> numbers_of(std::string_view dtype, std::span<const std::byte> data) {
  const auto same = [](auto element) { return element; };
  if (dtype == "BOOL") return converted<std::uint8_t>(data, [](std::uint8_t element) { return element != 0; });
  if (dtype == "U8") return converted<std::uint8_t>(data, same);
  if (dtype == "I8") return converted<std::int8_t>(data, same);
  if (dtype == "U16") return converted<std::uint16_t>(data, same);
  if (dtype == "I16") return converted<std::int16_t>(data, same);
  if (dtype == "U32") return converted<std::uint32_t>(data, same);
  if (dtype == "I32") return converted<std::int32_t>(data, same);
  if (dtype == "U64") return converted<std::uint64_t>(data, same);
  if (dtype == "I64") return converted<std::int64_t>(data, same);
  if (dtype == "F16") return converted<std::uint16_t>(data, from_half);
  if (dtype == "BF16") {
    return converted<std::uint16_t>(data,
                                    [](std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t(bits) << 16); });
  }
  if (dtype == "F32") return converted<float>(data, same);
  if (dtype != "F64") throw Error("elements of the unknown dtype " + in_quotes(dtype) + " are no numbers");
  return converted<double>(data, same);
}

std::int64_t element_count(std::span<const std::int64_t> shape, std::string_view what) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(count, dimension, &count)) {
      throw Error(std::string(what) + " has the impossible shape " + shape_text(shape) + "; write the file again");
    }
  }
  return count;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (const std::int64_t dimension : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dimension);
  return text + ")";
}

template <class T>
NamedTensor NamedTensor::of(std::string name, std::vector<std::int64_t> shape, std::span<const T> values) {
  NamedTensor tensor{std::move(name), std::string(dtype_of<T>()), std::move(shape), {}};
  const std::string what = "tensor " + in_quotes(tensor.name);
  if (static_cast<std::uint64_t>(element_count(tensor.shape, what)) != values.size()) {
    throw Error(what + " is given " + std::to_string(values.size()) + " values for the shape " +
                shape_text(tensor.shape) + "; give one per element");
  }
  const auto bytes = std::as_bytes(values);
  tensor.data.assign(bytes.begin(), bytes.end());
  return tensor;
}

template <class T>
std::span<const T> NamedTensor::as() const {
  if (dtype != dtype_of<T>()) {
    throw Error("tensor " + in_quotes(name) + " is " + in_quotes(dtype) + " where " + std::string(dtype_of<T>()) +
                " is needed; convert it");
  }
  // A vector's bytes come from operator new, which aligns them for every T here.
  return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
}

template NamedTensor NamedTensor::of(std::string, std::vector<std::int64_t>, std::span<const std::uint8_t>);
template NamedTensor NamedTensor::of(std::string, std::vector<std::int64_t>, std::span<const std::int32_t>);
template NamedTensor NamedTensor::of(std::string, std::vector<std::int64_t>, std::span<const std::int64_t>);
template NamedTensor NamedTensor::of(std::string, std::vector<std::int64_t>, std::span<const float>);
template NamedTensor NamedTensor::of(std::string, std::vector<std::int64_t>, std::span<const double>);
template std::span<const std::uint8_t> NamedTensor::as() const;
template std::span<const std::int32_t> NamedTensor::as() const;
template std::span<const std::int64_t> NamedTensor::as() const;
template std::span<const float> NamedTensor::as() const;
template std::span<const double> NamedTensor::as() const;

const NamedTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

SafetensorsFile read_safetensors(const std::string& path) {
  InputFile input(path);
  return read_safetensors(input);
}

SafetensorsFile read_safetensors(InputFile& input) {
  const std::string& path = input.path();
  const std::string file = in_quotes(path);
  std::uint64_t header_size = 0;
  if (const std::string kind = known_kind(path); !kind.empty()) {
    throw Error("cannot read " + file + ": it is no safetensors file but " + kind);
  }
  if (input.size() < kLengthBytes) {
    throw Error("cannot read " + file + ": it is too short for a safetensors file; copy or write it again");
  }
  input.read_exactly(std::as_writable_bytes(std::span(&header_size, 1)));
  if (header_size > input.size() - kLengthBytes || header_size > kMaxHeader) {
    throw Error("cannot read " + file + ": it claims a header of " + std::to_string(header_size) +
                " bytes: it is cut off or no safetensors file; check the file");
  }
  std::string header(header_size, '\0');
  input.read_exactly(std::as_writable_bytes(std::span(header)));

  HeaderParser parser;
  // The JSON parser takes a zero byte for the end of its input and would not see what follows it.
  if (header.find('\0') != std::string::npos) parser.problem = "it holds a zero byte";
  if (!parser.problem.empty() || !Json::sax_parse(header, &parser)) {
    throw Error("cannot read " + file + ": bad safetensors header: " + parser.problem + "; write the file again");
  }
  std::vector<PlacedTensor> placed;
  placed.reserve(parser.entries.size());
  for (HeaderEntry& entry : parser.entries) placed.push_back(checked_tensor(file, entry));
  std::stable_sort(placed.begin(), placed.end(), [](const PlacedTensor& a, const PlacedTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_layout(file, placed, input.size() - kLengthBytes - header_size);

  SafetensorsFile content{std::move(parser.metadata), {}};
  content.tensors.reserve(placed.size());
  for (PlacedTensor& each : placed) {
    each.tensor.data.resize(each.end - each.begin);
    input.read_exactly(each.tensor.data);
    content.tensors.push_back(std::move(each.tensor));
  }
  return content;
}

void write_safetensors(const std::string& path, const SafetensorsFile& content) {
  const std::string header = header_text(path, content);
  if (header.size() > kMaxHeader) {
    throw Error("cannot write " + in_quotes(path) + ": its header would exceed 100 MB; shorten names or metadata");
  }
  const std::uint64_t header_size = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_size, 1)));
  file.write(header);
  for (const NamedTensor& tensor : content.tensors) file.write(tensor.data);
  file.commit();
}

}  // namespace flowsmith::core
