// Files read with a limit and written so that nobody ever sees half of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.h"

namespace flowsmith::core {

/// `text` between single quotes, fit for a one-line message: control characters become '?', and what is longer than
/// `limit` bytes is cut. Names out of a file nobody vouches for go through this before they reach a terminal.
std::string in_quotes(std::string_view text, std::size_t limit = 200);

/// How the names end under which an AtomicFile writes; they begin with a dot.
inline constexpr std::string_view kTemporarySuffix = ".tmp";

/// Whether a path names a descriptor of this process, such as /dev/stdin or /dev/fd/63: what was read there is gone.
bool is_descriptor(const std::string& path);

/// Throws Error if a folder is there and its files may not be read, so that nobody is told that there are none.
void require_open_folder(const std::string& folder);

/// A regular file open for reading, or a pipe that the process was given, such as stdin or one that a shell's <(...)
/// names /dev/fd/63; a pipe is copied to a temporary file first. Errors name the file, the reason and the remedy.
class InputFile {
 public:
  /// Throws Error if the file is missing, unreadable, a folder, a device, or a pipe in the file system, which could
  /// keep the process waiting.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  /// A path under which a library can open the same file a second time, for as long as this is open: also a pipe's
  /// copy.
  std::string reopen_path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  /// Size in bytes when it was opened.
  std::uint64_t size() const { return size_; }
  /// The first `size` bytes, or all if there are fewer; does not move where reading goes on.
  std::string beginning(std::size_t size) const;
  /// Up to bytes.size() bytes from where the last read stopped; fewer only at the end of the file.
  std::size_t read(std::span<std::byte> bytes);
  /// Exactly bytes.size() bytes, or Error: the file shrank or was cut off.
  void read_exactly(std::span<std::byte> bytes);

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

/// The whole file. Throws Error as InputFile does, and if it holds more than `max_size` bytes.
std::vector<std::byte> read_file(const std::string& path, std::uint64_t max_size);
std::string read_text_file(const std::string& path, std::uint64_t max_size);

/// A file that appears under its name complete or not at all. The bytes go, piece by piece, to a temporary file beside
/// the target; commit() syncs it, renames it over the target and syncs the folder. Without commit(), or when anything
/// fails, the temporary file is removed and the target keeps what it held. A target that is a symbolic link stays one.
/// A descriptor of this process, such as /dev/stdout or the /dev/fd/63 of a shell's >(...), is written to as it is.
class AtomicFile {
 public:
  /// Throws Error if the folder is missing or not writable, or if the target exists and is not a regular file.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends to the temporary file. Throws Error, e.g. when the disk is full.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Makes the file visible. Nothing may be written afterwards.
  void commit();

 private:
  [[noreturn]] void fail(int code);
  void discard() noexcept;

  std::string path_;       // as the caller named it, for messages
  std::string target_;     // the same with a symbolic link followed
  std::string temporary_;  // empty once there is nothing to remove
  int fd_ = -1;
};

/// write() and commit() of an AtomicFile at once.
void write_file_atomically(const std::string& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::string& path, std::string_view text);

/// What FolderLock throws if somebody else has the folder.
class FolderTaken : public Error {
 public:
  using Error::Error;
};

/// Keeps a folder for its owner: as long as it lives, no other process and nobody else in this one gets a FolderLock
/// for that folder. It ends with the process, however that ends, and leaves no file.
class FolderLock {
 public:
  /// Throws FolderTaken if the folder is taken, and Error if it cannot be opened. A file system without locks locks
  /// nothing.
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// Whether `folder` leads to the folder that is locked: who had the lock before may have removed that one.
  bool is_of(const std::string& folder) const;

 private:
  int fd_ = -1;
};

/// A log that grows record by record and is never rewritten (event files, tables of metrics).
class AppendFile {
 public:
  /// Creates the file, or opens it to add to what it holds. Throws Error if that fails.
  explicit AppendFile(const std::string& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  const std::string& path() const { return path_; }
  /// Adds all of `bytes`. If that fails, cuts the file back to what it held before and throws Error, so that a full
  /// disk leaves no torn record for a later one to follow.
  void append(std::span<const std::byte> bytes);
  void append(std::string_view text) { append(std::as_bytes(std::span(text))); }

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace flowsmith::core
