#include "data/event_file.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <utility>

#include "data/event.pb.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // 0x1EDC6F41, bits reversed

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table = {};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

// TFRecord stores checksums rotated and shifted, so that a file of files does not hold its own checksums.
std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

template <class Word>
void add_little_endian(std::string& bytes, Word word) {
  for (std::size_t i = 0; i < sizeof(Word); ++i) bytes += static_cast<char>(word >> (8 * i) & 0xff);
}

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// TensorBoard reads the files of a folder in the order of their names. A second file of the same second and process
// gets a number at the end.
std::string unused_name(const std::string& folder) {
  std::array<char, 256> host = {};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const std::string name = "events.out.tfevents." + std::to_string(static_cast<std::int64_t>(unix_seconds())) + "." +
                           (host[0] != '\0' ? host.data() : "localhost") + "." + std::to_string(::getpid());
  fs::path path = fs::path(folder) / name;
  std::error_code ignored;
  for (int i = 1; fs::exists(path, ignored); ++i) path = fs::path(folder) / (name + "." + std::to_string(i));
  return path.string();
}

event::Event event_at(std::int64_t step) {
  event::Event event;
  event.set_wall_time(unix_seconds());
  event.set_step(step);
  return event;
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::byte byte : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

EventFile::EventFile(const std::string& folder, std::optional<std::int64_t> resumed_step) : file_(unused_name(folder)) {
  event::Event version = event_at(0);
  version.set_file_version("brain.Event:2");
  add_record(version.SerializeAsString());
  if (resumed_step) {
    event::Event resumed = event_at(*resumed_step);
    resumed.mutable_session_log()->set_status(event::SessionLog::START);
    add_record(resumed.SerializeAsString());
  }
  flush();
}

void EventFile::add_scalar(std::string_view tag, std::int64_t step, float value) {
  event::Event event = event_at(step);
  event::Summary::Value* point = event.mutable_summary()->add_value();
  point->set_tag(std::string(tag));
  point->set_simple_value(value);
  add_record(event.SerializeAsString());
}

void EventFile::add_image(std::string_view tag, std::int64_t step, int rows, int cols, std::span<const std::byte> png,
                          int channels) {
  event::Event event = event_at(step);
  event::Summary::Value* value = event.mutable_summary()->add_value();
  value->set_tag(std::string(tag));
  event::Summary::Image* image = value->mutable_image();
  image->set_height(rows);
  image->set_width(cols);
  image->set_colorspace(channels);
  image->set_encoded_image_string(png.data(), png.size());
  add_record(event.SerializeAsString());
}

void EventFile::flush() { file_.append(std::exchange(pending_, "")); }

// Length, its checksum, the record, its checksum; all little-endian.
void EventFile::add_record(std::string_view record) {
  std::string length;
  add_little_endian(length, std::uint64_t{record.size()});
  pending_ += length;
  add_little_endian(pending_, masked_crc(length));
  pending_ += record;
  add_little_endian(pending_, masked_crc(record));
}

}  // namespace flowsmith::core
