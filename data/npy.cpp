#include "data/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <type_traits>

#include "data/zip_file.h"
#include "engine/file.h"
#include "engine/file_kind.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::string_view kZipMagic = "PK\x03\x04";
constexpr std::uint64_t kMaxUnpacked = std::uint64_t{4} << 30;  // bytes of the array of a .npz file, in memory at once
constexpr std::size_t kMaxHeader = 65536;                       // of a plain array it has about 60 bytes
constexpr std::size_t kMaxRank = 32;                            // NumPy's own limit
constexpr std::size_t kAlignment = 64;

[[noreturn]] void fail(const std::string& path, const std::string& why, const std::string& remedy) {
  throw Error("cannot read " + in_quotes(path) + ": " + why + "; " + remedy);
}

// The header is a Python dict with the three keys descr, fortran_order and shape, such as
// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }. This reads exactly that much of Python.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) { parse(); }

  std::string descr() const { return *descr_; }
  bool fortran_order() const { return *fortran_order_; }
  const std::vector<std::int64_t>& shape() const { return *shape_; }

 private:
  void parse() {
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !descr_) {
        descr_ = descr_value();
      } else if (key == "fortran_order" && !fortran_order_) {
        fortran_order_ = boolean();
      } else if (key == "shape" && !shape_) {
        shape_ = tuple();
      } else {
        bad();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (!descr_ || !fortran_order_ || !shape_ || text_ != "\n") bad();
  }

  [[noreturn]] void bad() const { fail(path_, "its header is not one of a .npy array", "save it with numpy.save"); }

  void skip_spaces() {
    while (text_.starts_with(' ')) text_.remove_prefix(1);
  }
  bool accept(char c) {
    skip_spaces();
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad();
  }

  std::string string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const std::size_t end = text_.find_first_of("'\"\\\n");
    if (end == std::string_view::npos || text_[end] != quote) bad();
    const std::string value(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return value;
  }

  std::string descr_value() {
    skip_spaces();
    if (text_.starts_with('[')) fail(path_, "it holds records, not numbers", "save a plain array");
    return string();
  }

  bool boolean() {
    skip_spaces();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return value;
      }
    }
    bad();
  }

  // (), (2,) or (2, 3) with or without a comma at the end; (2) would be a number, not a tuple.
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> items;
    bool comma = true;
    expect('(');
    while (!accept(')')) {
      if (!comma || items.size() == kMaxRank) bad();
      skip_spaces();
      std::int64_t item = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), item);
      if (error != std::errc() || item < 0) bad();
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      items.push_back(item);
      comma = accept(',');
    }
    if (items.size() == 1 && !comma) bad();
    return items;
  }

  std::string_view text_;
  const std::string& path_;
  std::optional<std::string> descr_;
  std::optional<bool> fortran_order_;
  std::optional<std::vector<std::int64_t>> shape_;
};

/// "<f4" is "F32"; `swapped`: whether its bytes are in the other order than this machine's.
std::string dtype_of_descr(const std::string& path, const std::string& descr, bool& swapped) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"b1", "BOOL"}, {"u1", "U8"},  {"i1", "I8"},  {"u2", "U16"}, {"i2", "I16"}, {"u4", "U32"},
      {"i4", "I32"},  {"u8", "U64"}, {"i8", "I64"}, {"f2", "F16"}, {"f4", "F32"}, {"f8", "F64"}};
  const char order = descr.empty() ? ' ' : descr[0];
  for (const auto& [code, dtype] : kTypes) {
    if (descr.substr(descr.empty() ? 0 : 1) != code || std::string_view("<>=|").find(order) == std::string_view::npos) {
      continue;
    }
    swapped = order == '>' && dtype_size(dtype) > 1;
    return std::string(dtype);
  }
  fail(path, "its elements are " + in_quotes(descr),
       "convert it with .astype() to numbers, such as 'float32' or 'uint8'");
}

}  // namespace

NpyFile::NpyFile(const std::string& path) : file_(path) {
  std::array<char, 8> start = {};
  std::size_t got = file_.read(std::as_writable_bytes(std::span(start)));
  if (std::string_view(start.data(), got).starts_with(kZipMagic)) {
    unpack();
    got = std::min(unpacked_->size(), start.size());
    take(std::as_writable_bytes(std::span(start).first(got)));
  }
  if (got < start.size() || std::string_view(start.data(), kMagic.size()) != kMagic) {
    const std::string kind = known_kind(path);
    fail(path, kind.empty() ? "it is not a .npy file" : "it is not a .npy file but " + kind,
         "save the array with numpy.save");
  }
  const int version = start[6];
  if (version < 1 || version > 3 || start[7] != 0) {
    fail(path, "its format version is none of 1.0, 2.0 and 3.0", "save it with numpy.save");
  }
  std::array<std::uint8_t, 4> length = {};
  take(std::as_writable_bytes(std::span(length).first(version == 1 ? 2 : 4)));
  const std::size_t header_size =
      length[0] | std::size_t{length[1]} << 8 | std::size_t{length[2]} << 16 | std::size_t{length[3]} << 24;
  if (header_size > kMaxHeader) fail(path, "its header is too long", "save a plain array of numbers");
  std::string header(header_size, '\0');
  take(std::as_writable_bytes(std::span(header)));

  const HeaderParser parsed(header, path);
  dtype_ = dtype_of_descr(path, parsed.descr(), swapped_);
  shape_ = parsed.shape();
  const auto count = static_cast<std::uint64_t>(element_count(shape_, "cannot read " + in_quotes(path) + ": it"));
  bytes_ = (unpacked_ ? unpacked_->size() : file_.size()) - start.size() - (version == 1 ? 2 : 4) - header_size;
  if (bytes_ % dtype_size(dtype_) != 0 || bytes_ / dtype_size(dtype_) != count) {
    fail(path, "it has " + std::to_string(bytes_) + " bytes of data, not those of " + dtype_ + " " + shape_text(shape_),
         "copy or save it again");
  }
  // One dimension or none has only one order, which NumPy may call either.
  if (parsed.fortran_order() && shape_.size() > 1) reorder();
}

void NpyFile::take(std::span<std::byte> bytes) {
  if (!unpacked_) return file_.read_exactly(bytes);
  if (bytes.size() > unpacked_->size() - taken_) fail(file_.path(), "its array ends too early", "save it again");
  std::copy_n(unpacked_->begin() + std::ptrdiff_t(taken_), bytes.size(), bytes.begin());
  taken_ += bytes.size();
}

void NpyFile::unpack() {
  const ZipFile zip(file_);
  std::vector<std::string> names = zip.names();
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(".npy"); });
  if (names.size() != 1) {
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? ": " : ", ") + in_quotes(name);
    fail(file_.path(), "it is a zip file with " + std::to_string(names.size()) + " arrays" + all,
         "save the one that is meant with numpy.save");
  }
  unpacked_ = zip.entry(names[0], kMaxUnpacked);
}

void NpyFile::reorder() {
  std::vector<std::byte> data(bytes_);
  take(data);
  const std::size_t size = dtype_size(dtype_), count = bytes_ / size, rank = shape_.size();
  reordered_.resize(bytes_);
  std::vector<std::int64_t> at(rank, 0);  // the indices of element i in Fortran order: the first one runs fastest
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t to = 0;
    for (std::size_t axis = 0; axis < rank; ++axis) to = to * std::size_t(shape_[axis]) + std::size_t(at[axis]);
    std::memcpy(&reordered_[to * size], &data[i * size], size);
    for (std::size_t axis = 0; axis < rank && ++at[axis] == shape_[axis]; ++axis) at[axis] = 0;
  }
}

void NpyFile::read(std::span<std::byte> bytes) {
  if (reordered_.empty()) {
    take(bytes);
  } else {
    if (bytes.size() > reordered_.size() - given_) throw Error("there are not so many elements left to read");
    std::copy_n(reordered_.begin() + std::ptrdiff_t(given_), bytes.size(), bytes.begin());
    given_ += bytes.size();
  }
  const std::size_t size = dtype_size(dtype_);
  for (std::size_t i = 0; swapped_ && i + size <= bytes.size(); i += size) {
    std::reverse(bytes.begin() + std::ptrdiff_t(i), bytes.begin() + std::ptrdiff_t(i + size));
  }
}

NamedTensor read_npy(const std::string& path) {
  NpyFile file(path);
  NamedTensor array{std::filesystem::path(path).filename().string(), file.dtype(), file.shape(), {}};
  array.data.resize(file.bytes());
  file.read(array.data);
  return array;
}

template <class T>
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const T> values) {
  const std::string what = "cannot write " + in_quotes(path) + ": the array";
  if (static_cast<std::uint64_t>(element_count(shape, what)) != values.size()) {
    throw Error(what + " has " + std::to_string(values.size()) + " values for the shape " + shape_text(shape) +
                "; give one per element");
  }
  const std::string descr = std::is_same_v<T, std::uint8_t> ? "|u1" : std::is_same_v<T, float> ? "<f4" : "<f8";
  const std::string tuple = shape.size() == 1 ? "(" + std::to_string(shape[0]) + ",)" : shape_text(shape);
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + tuple + ", }";
  const std::size_t before = kMagic.size() + 4;  // two bytes of version, two of length
  while ((before + header.size() + 1) % kAlignment != 0) header += ' ';
  header += '\n';
  AtomicFile file(path);
  file.write(kMagic);
  const std::array<std::uint8_t, 4> version_and_length = {1, 0, static_cast<std::uint8_t>(header.size() & 0xff),
                                                          static_cast<std::uint8_t>(header.size() >> 8)};
  file.write(std::as_bytes(std::span(version_and_length)));
  file.write(header);
  file.write(std::as_bytes(values));
  file.commit();
}

template void write_npy(const std::string&, std::span<const std::int64_t>, std::span<const std::uint8_t>);
template void write_npy(const std::string&, std::span<const std::int64_t>, std::span<const float>);
template void write_npy(const std::string&, std::span<const std::int64_t>, std::span<const double>);

}  // namespace flowsmith::core
