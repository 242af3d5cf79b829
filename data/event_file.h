// TensorBoard event files: protobuf records in TFRecord frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/file.h"

namespace flowsmith::core {

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
std::uint32_t crc32c(std::span<const std::byte> bytes);

/// Writes `FOLDER/events.out.tfevents.<unix time>.<host>.<pid>`, which `tensorboard --logdir FOLDER` shows. Records
/// gather in memory until flush(), which one calls after each step; what is unflushed at the end is lost.
class EventFile {
 public:
  /// Starts a file; several may lie in one folder. `resumed_step`: the first step that this run writes again, so that
  /// TensorBoard drops the points that an interrupted run left at that step or later. Throws Error if the file cannot
  /// be written.
  explicit EventFile(const std::string& folder, std::optional<std::int64_t> resumed_step = std::nullopt);

  const std::string& path() const { return file_.path(); }

  /// One point of the curve `tag`.
  void add_scalar(std::string_view tag, std::int64_t step, float value);
  /// An image under `tag`: the bytes of a PNG file of rows x cols pixels, grey (1 channel) or colour (3).
  void add_image(std::string_view tag, std::int64_t step, int rows, int cols, std::span<const std::byte> png,
                 int channels = 1);
  /// Appends the gathered records to the file, all or none. Throws Error, e.g. when the disk is full; then the records
  /// are dropped, and a program may go on and flush later ones.
  void flush();

 private:
  void add_record(std::string_view record);

  std::string pending_;
  AppendFile file_;
};

}  // namespace flowsmith::core
