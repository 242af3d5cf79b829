#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <span>

#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith {
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

// Magic numbers: two zero bytes, 0x08 for unsigned bytes, the number of dimensions.
void check_magic(ByteStream& stream, const std::string& path, std::uint32_t expected, const std::string& kind) {
  const std::uint32_t magic = read_word(stream);
  if (magic == expected) return;
  const bool other_kind = (magic & ~3u) == 0x00000800u && magic != 0x00000800u;
  throw Error("cannot read " + in_quotes(path) + ": it is not an IDX file of " + kind +
              (other_kind ? ", but of " + std::to_string(magic & 3u) + " dimension(s)" : "") +
              "; give the file whose name ends in " + kind + "-idx" + std::to_string(expected & 3u) +
              "-ubyte, as it is or with .gz");
}

// The sizes of the dimensions, whose product is within kMaxBytes and within what the file can hold.
std::vector<int> read_sizes(ByteStream& stream, const std::string& path, int dimensions) {
  std::vector<int> sizes;
  std::uint64_t total = 1;
  for (int i = 0; i < dimensions; ++i) {
    const std::uint32_t size = read_word(stream);
    if (size == 0) fail(path, "it holds nothing: one of its sizes is 0");
    if (size > INT_MAX || total * size > kMaxBytes) fail(path, "its header announces more than 4 GiB");
    total *= size;
    sizes.push_back(static_cast<int>(size));
  }
  if (total > stream.most_bytes()) fail(path, "it is cut off");
  return sizes;
}

}  // namespace

IdxImages read_idx_images(const std::string& path) {
  ByteStream stream(path);
  check_magic(stream, path, 0x00000803, "images");
  const std::vector<int> sizes = read_sizes(stream, path, 3);
  IdxImages images{sizes[0], sizes[1], sizes[2], {}};
  images.pixels.resize(std::size_t(sizes[0]) * std::size_t(sizes[1]) * std::size_t(sizes[2]));
  stream.read(images.pixels);
  stream.finish();
  return images;
}

std::vector<std::uint8_t> read_idx_labels(const std::string& path) {
  ByteStream stream(path);
  check_magic(stream, path, 0x00000801, "labels");
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(read_sizes(stream, path, 1)[0]));
  stream.read(labels);
  stream.finish();
  return labels;
}

}  // namespace flowsmith
