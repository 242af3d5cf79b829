#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <span>

#include "engine/file.h"
#include "engine/file_kind.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 30;
// Deflate cannot pack tighter than this: a file that claims more is lying, and no memory is taken for its claim.
constexpr std::uint64_t kMaxDeflateRatio = 1032;

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw Error("cannot read " + in_quotes(path) + ": " + why + "; download or write the file again");
}

// The file's bytes in order, unpacked if they are gzip. zlib's own gzFile would ignore bytes after the gzip stream.
class ByteStream {
 public:
  explicit ByteStream(const std::string& path) : file_(path) {
    refill();
    packed_ = zlib_.avail_in >= 2 && buffer_[0] == std::byte{0x1f} && buffer_[1] == std::byte{0x8b};
    if (packed_ && inflateInit2(&zlib_, 16 + MAX_WBITS) != Z_OK) throw Error("zlib does not start; check its version");
  }
  ~ByteStream() {
    if (packed_) inflateEnd(&zlib_);
  }
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  /// No more bytes than this can come out.
  std::uint64_t most_bytes() const { return file_.size() * (packed_ ? kMaxDeflateRatio : 1); }

  /// Exactly out.size() bytes.
  void read(std::span<std::uint8_t> out) {
    if (read_some(out) != out.size()) fail(file_.path(), "it is cut off");
  }

  /// Checks that nothing is left; for gzip this also checks the checksum, which stands at its end.
  void finish() {
    std::array<std::uint8_t, 1> extra = {};
    if (read_some(extra) != 0 || (zlib_.avail_in == 0 && refill() != 0) || zlib_.avail_in != 0) {
      fail(file_.path(), "bytes follow the data that its header announces");
    }
    if (packed_ && !ended_) fail(file_.path(), "it is cut off");
  }

 private:
  std::size_t refill() {
    const std::size_t got = file_.read(buffer_);
    zlib_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    zlib_.avail_in = static_cast<uInt>(got);
    return got;
  }

  std::size_t read_some(std::span<std::uint8_t> out) {
    std::size_t total = 0;
    while (total < out.size() && !ended_) {
      if (zlib_.avail_in == 0 && refill() == 0) break;
      const std::size_t room = std::min<std::size_t>(out.size() - total, UINT_MAX);
      total += packed_ ? inflate_some(out.subspan(total, room)) : copy_some(out.subspan(total, room));
    }
    return total;
  }

  std::size_t copy_some(std::span<std::uint8_t> out) {
    const std::size_t n = std::min<std::size_t>(out.size(), zlib_.avail_in);
    std::copy_n(zlib_.next_in, n, out.data());
    zlib_.next_in += n;
    zlib_.avail_in -= static_cast<uInt>(n);
    return n;
  }

  std::size_t inflate_some(std::span<std::uint8_t> out) {
    zlib_.next_out = out.data();
    zlib_.avail_out = static_cast<uInt>(out.size());
    const int code = inflate(&zlib_, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      ended_ = true;
    } else if (code == Z_MEM_ERROR) {
      throw Error("cannot read " + in_quotes(file_.path()) + ": out of memory; free some");
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      fail(file_.path(), "its gzip data is damaged");
    }
    return out.size() - zlib_.avail_out;
  }

  InputFile file_;
  std::array<std::byte, 1 << 16> buffer_;
  z_stream zlib_ = {};  // its next_in and avail_in are the unread part of buffer_, also for a plain file
  bool packed_ = false;
  bool ended_ = false;
};

std::uint32_t read_word(ByteStream& stream) {
  std::array<std::uint8_t, 4> b = {};
  stream.read(b);
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

// A magic number: two zero bytes, the type of the elements, the number of dimensions.
struct Magic {
  std::uint8_t type = 0;
  int dimensions = 0;
};

constexpr std::uint8_t kBytes = 0x08, kSignedBytes = 0x09, kShorts = 0x0b, kInts = 0x0c, kFloats = 0x0d,
                       kDoubles = 0x0e;

std::size_t element_size(std::uint8_t type) {
  if (type == kBytes || type == kSignedBytes) return 1;
  if (type == kShorts) return 2;
  return type == kInts || type == kFloats ? 4 : type == kDoubles ? 8 : 0;
}

// Throws unless it is one of IDX with so many dimensions, or one less or more where `most` says so.
Magic read_magic(ByteStream& stream, const std::string& path, int least, int most, const std::string& kind) {
  const std::uint32_t word = read_word(stream);
  const Magic magic{std::uint8_t(word >> 8), int(word & 0xff)};
  const bool is_idx = word >> 16 == 0 && element_size(magic.type) > 0;
  if (is_idx && magic.dimensions >= least && magic.dimensions <= most) return magic;
  const std::string other = known_kind(path);
  const bool gzip = other.find("gzip") != std::string::npos;  // then what is packed is no IDX file
  throw Error("cannot read " + in_quotes(path) + ": it is not an IDX file of " + kind +
              (is_idx                    ? ", but of " + std::to_string(magic.dimensions) + " dimension(s)"
               : !other.empty() && !gzip ? " but " + other
                                         : "") +
              "; give the file whose name ends in " + kind + "-idx" + std::to_string(least) +
              "-ubyte, as it is or with .gz");
}

// The sizes of the dimensions, whose product is within kMaxBytes and within what the file can hold.
std::vector<int> read_sizes(ByteStream& stream, const std::string& path, Magic magic) {
  std::vector<int> sizes;
  std::uint64_t total = element_size(magic.type);
  for (int i = 0; i < magic.dimensions; ++i) {
    const std::uint32_t size = read_word(stream);
    if (size == 0) fail(path, "it holds nothing: one of its sizes is 0");
    if (size > INT_MAX || total * size > kMaxBytes) fail(path, "its header announces more than 4 GiB");
    total *= size;
    sizes.push_back(static_cast<int>(size));
  }
  if (total > stream.most_bytes()) fail(path, "it is cut off");
  return sizes;
}

// `count` whole numbers of 0 to 255.
std::vector<std::uint8_t> read_bytes(ByteStream& stream, const std::string& path, std::uint8_t type,
                                     std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  if (type == kBytes) {
    stream.read(bytes);
    return bytes;
  }
  const std::size_t size = element_size(type);
  if (type == kFloats || type == kDoubles) {
    throw Error("cannot read " + in_quotes(path) + ": its elements are floating-point numbers; convert them to bytes");
  }
  std::array<std::uint8_t, 4> element = {};
  for (std::size_t i = 0; i < count; ++i) {
    const std::span<std::uint8_t> part = std::span(element).first(size);
    stream.read(part);
    // Big-endian: whatever stands before the last byte has to be 0, and a signed byte positive.
    const bool fits = std::all_of(part.begin(), part.end() - 1, [](std::uint8_t byte) { return byte == 0; });
    if (!fits || (type == kSignedBytes && part.back() > 127)) {
      throw Error("cannot read " + in_quotes(path) + ": element " + std::to_string(i) +
                  " is no whole number of 0 to 255; convert the file to bytes");
    }
    bytes[i] = part.back();
  }
  return bytes;
}

}  // namespace

IdxImages read_idx_images(const std::string& path) {
  ByteStream stream(path);
  const Magic magic = read_magic(stream, path, 3, 3, "images");
  const std::vector<int> sizes = read_sizes(stream, path, magic);
  const std::size_t count = std::size_t(sizes[0]) * std::size_t(sizes[1]) * std::size_t(sizes[2]);
  IdxImages images{sizes[0], sizes[1], sizes[2], read_bytes(stream, path, magic.type, count)};
  stream.finish();
  return images;
}

std::vector<std::uint8_t> read_idx_labels(const std::string& path) {
  ByteStream stream(path);
  const Magic magic = read_magic(stream, path, 1, 2, "labels");
  const std::vector<int> sizes = read_sizes(stream, path, magic);
  if (magic.dimensions == 1) {
    std::vector<std::uint8_t> labels = read_bytes(stream, path, magic.type, std::size_t(sizes[0]));
    stream.finish();
    return labels;
  }
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(sizes[0]));
  std::vector<std::uint8_t> others((std::size_t(sizes[1]) - 1) * element_size(magic.type));
  for (std::uint8_t& label : labels) {
    label = read_bytes(stream, path, magic.type, 1)[0];
    stream.read(others);
  }
  stream.finish();
  return labels;
}

}  // namespace flowsmith::core
