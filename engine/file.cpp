#include "engine/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

// strerror() is not safe to call from two threads.
std::string reason(int code) { return std::generic_category().message(code); }

std::string remedy(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "free some space or write to another disk";
    case EFBIG:
      return "raise the file size limit (ulimit -f) or write to another disk";
    case EACCES:
    case EPERM:
    case EROFS:
      return "check the permissions or choose another place";
    case ENOENT:
    case ENOTDIR:
      return "check the path, and create its folder if it is missing";
    default:
      return "check the path and the disk";
  }
}

[[noreturn]] void fail_writing(const std::string& path, int code) {
  throw Error("cannot write " + in_quotes(path) + ": " + reason(code) + "; " + remedy(code));
}

// Returns 0 or an errno: the callers clean up before they throw.
int write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (written == 0) return EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

std::string folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

// Makes the rename itself survive a power cut. A folder that may be written but not listed cannot be synced, and some
// network file systems answer EINVAL: the file is in place all the same.
int sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? 0 : errno;
  const int code = ::fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
  ::close(fd);
  return code;
}

// A name beside `target` that no other process or thread uses; the mode is that of the file it replaces.
int open_temporary(const std::string& target, mode_t mode, std::string& temporary) {
  const std::string base = fs::path(target).filename().string().substr(0, 200);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const std::string name =
        "." + base + "." + std::to_string(::getpid()) + "." + std::to_string(attempt) + std::string(kTemporarySuffix);
    temporary = (fs::path(folder_of(target)) / name).string();
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

/// The number of a descriptor of this process that a path names, or -1.
int descriptor_of(const std::string& path) {
  if (path == "/dev/stdin") return STDIN_FILENO;
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    int number = -1;
    const char* const end = path.data() + path.size();
    const auto [rest, error] = std::from_chars(path.data() + folder.size(), end, number);
    return error == std::errc() && rest == end ? number : -1;
  }
  return -1;
}

/// A temporary file without a name that holds all that comes out of a pipe, or -1 with errno.
int copy_of_pipe(int pipe) {
  constexpr std::uint64_t kLargest = std::uint64_t{1} << 36;
  std::string name = (fs::temp_directory_path() / "flowsmith-XXXXXX").string();
  const int copy = ::mkostemp(name.data(), O_CLOEXEC);
  if (copy < 0) return -1;
  ::unlink(name.c_str());
  std::vector<std::byte> buffer(1 << 20);
  int code = 0;
  for (std::uint64_t size = 0; code == 0;) {
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) code = errno;
    if (got <= 0) break;
    size += std::uint64_t(got);
    code = size > kLargest ? EFBIG : write_all(copy, std::span(buffer).first(std::size_t(got)));
  }
  if (code == 0 && ::lseek(copy, 0, SEEK_SET) < 0) code = errno;
  if (code == 0) return copy;
  ::close(copy);
  errno = code;
  return -1;
}

template <class Bytes>
Bytes read_whole(const std::string& path, std::uint64_t max_size) {
  InputFile file(path);
  if (file.size() > max_size) {
    throw Error("cannot read " + in_quotes(path) + ": it holds " + std::to_string(file.size()) +
                " bytes, more than the " + std::to_string(max_size) +
                " this kind of file may hold; check that it is the right file");
  }
  Bytes content(file.size(), {});
  file.read_exactly(std::as_writable_bytes(std::span(content)));
  return content;
}

}  // namespace

std::string in_quotes(std::string_view text, std::size_t limit) {
  std::string line = "'";
  for (const char c : text.substr(0, limit)) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    line += control ? '?' : c;
  }
  return line + (text.size() > limit ? "...'" : "'");
}

bool is_descriptor(const std::string& path) { return descriptor_of(path) >= 0; }

void require_open_folder(const std::string& folder) {
  if (::access(folder.c_str(), R_OK | X_OK) == 0 || errno == ENOENT || errno == ENOTDIR) return;
  throw Error("cannot look into the folder " + in_quotes(folder) + ": " + reason(errno) + "; check its permissions");
}

InputFile::InputFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer. It has no effect on regular files.
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    throw Error("cannot read " + in_quotes(path) + ": " + reason(errno) + "; check the path and its permissions");
  }
  struct stat status = {};
  int code = ::fstat(fd_, &status) == 0 ? 0 : errno;
  if (code == 0 && descriptor_of(path) >= 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))) {
    ::fcntl(fd_, F_SETFL, 0);  // waits for its writer, after all
    const int copy = copy_of_pipe(fd_);
    if (copy < 0) code = errno;
    ::close(fd_);
    fd_ = copy;
    if (code == 0 && ::fstat(fd_, &status) != 0) code = errno;
  }
  if (code != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    const std::string why = code != 0 ? reason(code) : S_ISDIR(status.st_mode) ? "it is a folder" : "it is no file";
    throw Error("cannot read " + in_quotes(path) + ": " + why + "; give the path of a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(fd_); }

std::string InputFile::beginning(std::size_t size) const {
  std::string bytes(size, '\0');
  std::size_t total = 0;
  while (total < size) {
    const ssize_t got = ::pread(fd_, bytes.data() + total, size - total, off_t(total));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error("cannot read " + in_quotes(path_) + ": " + reason(errno) + "; check the disk");
    if (got == 0) break;
    total += static_cast<std::size_t>(got);
  }
  bytes.resize(total);
  return bytes;
}

std::size_t InputFile::read(std::span<std::byte> bytes) {
  std::size_t total = 0;
  while (total < bytes.size()) {
    const ssize_t got = ::read(fd_, bytes.data() + total, bytes.size() - total);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw Error("cannot read " + in_quotes(path_) + ": " + reason(errno) + "; check the disk");
    }
    if (got == 0) break;
    total += static_cast<std::size_t>(got);
  }
  return total;
}

void InputFile::read_exactly(std::span<std::byte> bytes) {
  if (read(bytes) != bytes.size()) {
    throw Error("cannot read " + in_quotes(path_) + ": it ends too early; copy or write it again");
  }
}

std::vector<std::byte> read_file(const std::string& path, std::uint64_t max_size) {
  return read_whole<std::vector<std::byte>>(path, max_size);
}

std::string read_text_file(const std::string& path, std::uint64_t max_size) {
  return read_whole<std::string>(path, max_size);
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(path) {
  if (const int given = descriptor_of(path); given >= 0) {
    fd_ = ::fcntl(given, F_DUPFD_CLOEXEC, 0);
    if (fd_ < 0) fail_writing(path, errno);
    return;
  }
  std::error_code error;
  if (fs::is_symlink(target_, error)) {
    target_ = fs::canonical(path, error).string();
    if (error) throw Error("cannot write " + in_quotes(path) + ": it is a link to nothing; remove the link");
  }
  mode_t mode = 0666;  // less the umask, as for any new file
  struct stat status = {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) fail_writing(path, errno);
  if (exists) {
    // Renaming over a device such as /dev/null would destroy it.
    if (!S_ISREG(status.st_mode)) {
      const std::string what = S_ISDIR(status.st_mode) ? "a folder" : "no regular file";
      throw Error("cannot write " + in_quotes(path) + ": it is " + what + "; give the path of a file");
    }
    if (::access(target_.c_str(), W_OK) != 0) fail_writing(path, errno);
    mode = status.st_mode & 07777;
  }
  fd_ = open_temporary(target_, mode, temporary_);
  if (fd_ < 0) {
    temporary_.clear();
    fail(errno);
  }
  if (exists && ::fchmod(fd_, mode) != 0) fail(errno);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicFile::fail(int code) {
  discard();
  fail_writing(path_, code);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (const int code = write_all(fd_, bytes); code != 0) fail(code);
}

void AtomicFile::commit() {
  const bool named = !temporary_.empty();
  if (::fsync(fd_) != 0 && (named || (errno != EINVAL && errno != EROFS))) fail(errno);  // a pipe cannot be synced
  // close() can be the first to report that a network disk is full.
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) fail(errno);
  if (!named) return;
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  temporary_.clear();
  if (const int code = sync_folder(folder_of(target_)); code != 0) fail(code);
}

void write_file_atomically(const std::string& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const std::string& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

FolderLock::FolderLock(const std::string& folder) {
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) throw Error(folder + ": cannot open the folder: " + reason(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(fd_);
  throw FolderTaken(folder +
                    ": another process is at work in this folder: wait until it is done, or choose another one");
}

FolderLock::~FolderLock() { ::close(fd_); }

bool FolderLock::is_of(const std::string& folder) const {
  struct stat locked {
  }, named{};
  return ::fstat(fd_, &locked) == 0 && ::stat(folder.c_str(), &named) == 0 && locked.st_dev == named.st_dev &&
         locked.st_ino == named.st_ino;
}

AppendFile::AppendFile(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_writing(path, errno);
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::span<const std::byte> bytes) {
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  if (before < 0) fail_writing(path_, errno);
  const int code = write_all(fd_, bytes);
  if (code == 0) return;
  const std::string torn = ::ftruncate(fd_, before) == 0 ? "" : " (its last line or record is torn)";
  throw Error("cannot write " + in_quotes(path_) + torn + ": " + reason(code) + "; " + remedy(code));
}

}  // namespace flowsmith::core
