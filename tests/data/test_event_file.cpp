#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "data/event.pb.h"
#include "data/event_file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;

std::uint32_t crc_of(std::string_view text) { return crc32c(std::as_bytes(std::span(text))); }

template <class Word>
Word word_at(const std::string& bytes, std::size_t at) {
  REQUIRE(at + sizeof(Word) <= bytes.size());
  Word word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof(Word));
  return word;
}

// Takes the mask off again: rotates the other way.
std::uint32_t unmasked(std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

std::vector<event::Event> read_events(const std::string& path) {
  const std::string bytes = read_text_file(path, 1 << 20);
  std::vector<event::Event> events;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto size = word_at<std::uint64_t>(bytes, at);
    CHECK(unmasked(word_at<std::uint32_t>(bytes, at + 8)) == crc_of(bytes.substr(at, 8)));
    const std::string record = bytes.substr(at + 12, size);
    REQUIRE(record.size() == size);
    CHECK(unmasked(word_at<std::uint32_t>(bytes, at + 12 + size)) == crc_of(record));
    REQUIRE(events.emplace_back().ParseFromString(record));
    at += 12 + size + 4;
  }
  return events;
}

TEST_CASE("CRC-32C gives the published values", "[event_file]") {
  CHECK(crc_of("") == 0u);
  CHECK(crc_of("123456789") == 0xE3069283u);
  CHECK(crc_of(std::string(32, '\0')) == 0x8A9136AAu);  // this and the next two: RFC 3720, appendix B.4
  CHECK(crc_of(std::string(32, '\xff')) == 0x62A8AB43u);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  CHECK(crc_of(ascending) == 0x46DD794Eu);
}

TEST_CASE("an event file begins with the version and holds what was added", "[event_file]") {
  TempDir dir;
  EventFile file(dir.path().string());
  const std::string png = "\x89PNG not really";
  file.add_scalar("val_bpd", 100, 1.25f);
  file.add_scalar("train_bpd", 100, std::numeric_limits<float>::quiet_NaN());
  CHECK(read_events(file.path()).size() == 1);  // nothing before the flush
  file.flush();
  file.add_image("samples", std::int64_t{1} << 40, 28, 30, std::as_bytes(std::span(png)));
  file.flush();
  file.flush();

  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const auto events = read_events(file.path());
  REQUIRE(events.size() == 4);
  CHECK(events[0].file_version() == "brain.Event:2");
  CHECK(events[1].step() == 100);
  REQUIRE(events[1].summary().value_size() == 1);
  CHECK(events[1].summary().value(0).tag() == "val_bpd");
  CHECK(events[1].summary().value(0).simple_value() == 1.25f);
  CHECK(std::isnan(events[2].summary().value(0).simple_value()));
  CHECK(events[3].step() == std::int64_t{1} << 40);
  CHECK(events[3].summary().value(0).image().height() == 28);
  CHECK(events[3].summary().value(0).image().width() == 30);
  CHECK(events[3].summary().value(0).image().colorspace() == 1);
  CHECK(events[3].summary().value(0).image().encoded_image_string() == png);
  for (const auto& event : events) CHECK(std::abs(event.wall_time() - now) < 60);  // a slow machine, not a wrong clock
}

TEST_CASE("the bytes on the wire are those of TensorBoard's field numbers", "[event_file]") {
  TempDir dir;
  EventFile file(dir.path().string(), 7);
  file.add_scalar("a", 9, 1.0f);
  file.flush();
  const std::string bytes = read_text_file(file.path(), 1000);
  // Field 1, a double; field 2, a varint; then field 3, 7 or 5 with its length.
  const std::string version =
      "\x1a\x0d"
      "brain.Event:2";
  const std::string restart("\x10\x07\x3a\x02\x08\x01", 6);
  const std::string scalar(
      "\x10\x09\x2a\x0a\x0a\x08\x0a\x01"
      "a\x15\x00\x00\x80\x3f",
      14);
  CHECK(word_at<std::uint64_t>(bytes, 0) == 1 + 8 + version.size());
  CHECK(bytes[12] == '\x09');
  CHECK_THAT(bytes, Contains(version) && Contains(restart) && Contains(scalar));
}

TEST_CASE("a resumed run tells TensorBoard to drop the steps it repeats", "[event_file]") {
  TempDir dir;
  const EventFile first(dir.path().string());
  const EventFile second(dir.path().string(), 250);
  CHECK(first.path() < second.path());  // TensorBoard reads in this order
  const auto events = read_events(second.path());
  REQUIRE(events.size() == 2);
  CHECK(events[0].file_version() == "brain.Event:2");
  CHECK(events[1].step() == 250);
  CHECK(events[1].session_log().status() == event::SessionLog::START);
}

TEST_CASE("an event file has the name that TensorBoard looks for", "[event_file]") {
  TempDir dir;
  const EventFile file(dir.path().string());
  const std::string name = fs::path(file.path()).filename().string();
  CHECK_THAT(name, Catch::Matches("events\\.out\\.tfevents\\.[0-9]{10}\\..+\\." + std::to_string(::getpid())));
  CHECK_THAT(error_of([&] { EventFile lost(dir.file("none")); }), Contains("none/events.out.tfevents"));
}

}  // namespace
}  // namespace flowsmith::core
