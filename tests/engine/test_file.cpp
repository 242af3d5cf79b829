#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <string>

#include "engine/file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;

std::size_t entries(const TempDir& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()));
}

// While it lives, no file of this process may grow past `bytes`: the same failure as a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_ = {};
  void (*handler_)(int) = SIG_DFL;
};

TEST_CASE("a file written atomically holds what was written and nothing is left beside it", "[file]") {
  TempDir dir;
  const std::string path = dir.file("a.txt");
  write_file_atomically(path, "first");
  CHECK(read_text_file(path, 100) == "first");
  AtomicFile file(path);
  file.write("sec");
  file.write("ond");
  CHECK(read_text_file(path, 100) == "first");  // not before commit
  file.commit();
  CHECK(read_text_file(path, 100) == "second");
  CHECK(entries(dir) == 1);
}

TEST_CASE("an atomic file that is not committed leaves the target alone", "[file]") {
  TempDir dir;
  const std::string path = dir.file("a.txt");
  write_file_atomically(path, "kept");
  {
    AtomicFile one(path);
    AtomicFile other(path);  // two writers at once do not share a temporary file
    one.write("lost");
    other.write("lost too");
    CHECK(entries(dir) == 3);
  }
  CHECK(read_text_file(path, 100) == "kept");
  CHECK(entries(dir) == 1);
}

TEST_CASE("an atomic file that meets a full disk removes its traces and says so", "[file]") {
  TempDir dir;
  const std::string path = dir.file("a.txt");
  write_file_atomically(path, "kept");
  std::string message;
  {
    FileSizeLimit limit(1000);
    try {
      write_file_atomically(path, std::string(5000, 'x'));
    } catch (const Error& error) {
      message = error.what();
    }
  }
  CHECK_THAT(message, Contains("a.txt") && Contains("File too large") && Contains("ulimit"));
  CHECK(read_text_file(path, 100) == "kept");
  CHECK(entries(dir) == 1);
}

TEST_CASE("an atomic file refuses targets it cannot or must not replace", "[file]") {
  TempDir dir;
  CHECK_THAT(error_of([&] { AtomicFile file(dir.file("none/a.txt")); }),
             Contains("none/a.txt") && Contains("No such file or directory") && Contains("create its folder"));
  CHECK_THAT(error_of([&] { AtomicFile file(dir.path().string()); }), Contains("it is a folder"));
  CHECK_THAT(error_of([&] { AtomicFile file("/dev/null"); }), Contains("'/dev/null'") && Contains("no regular file"));
  CHECK_THAT(error_of([&] { AtomicFile file("/proc/flowsmith.txt"); }), Contains("'/proc/flowsmith.txt'"));
  write_file_atomically(dir.file("plain"), "x");
  CHECK_THAT(error_of([&] { AtomicFile file(dir.file("plain/a.txt")); }), Contains("Not a directory"));
  CHECK_THAT(error_of([&] { AtomicFile file(dir.file(std::string(300, 'n'))); }), Contains("File name too long"));
  fs::create_symlink(dir.file("nowhere"), dir.file("dangling"));
  CHECK_THAT(error_of([&] { AtomicFile file(dir.file("dangling")); }), Contains("link to nothing"));
  CHECK(entries(dir) == 2);
}

TEST_CASE("an atomic file writes through a link and keeps the mode of what it replaces", "[file]") {
  TempDir dir;
  write_file_atomically(dir.file("target"), "old");
  fs::permissions(dir.file("target"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("target", dir.file("link"));
  write_file_atomically(dir.file("link"), "new");
  CHECK(fs::is_symlink(dir.file("link")));
  CHECK(read_text_file(dir.file("target"), 100) == "new");
  CHECK(fs::status(dir.file("target")).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("reading names what is wrong with the file", "[file]") {
  TempDir dir;
  CHECK_THAT(error_of([&] { read_file(dir.file("no\nne"), 10); }), Contains("no?ne'") && Contains("No such file"));
  CHECK_THAT(error_of([&] { read_file(dir.path().string(), 10); }), Contains("it is a folder"));
  REQUIRE(mkfifo(dir.file("pipe").c_str(), 0600) == 0);
  CHECK_THAT(error_of([&] { read_file(dir.file("pipe"), 10); }), Contains("it is no file"));
  write_file_atomically(dir.file("eleven"), "hello world");
  CHECK_THAT(error_of([&] { read_file(dir.file("eleven"), 10); }), Contains("holds 11 bytes, more than the 10"));
  CHECK(read_file(dir.file("eleven"), 11).size() == 11);
  write_file_atomically(dir.file("empty"), "");
  CHECK(read_file(dir.file("empty"), 0).empty());
}

TEST_CASE("an input file reads piece by piece and notices its end", "[file]") {
  TempDir dir;
  write_file_atomically(dir.file("a"), "abcdefg");
  InputFile file(dir.file("a"));
  CHECK(file.size() == 7);
  std::string piece(5, '\0');
  file.read_exactly(std::as_writable_bytes(std::span(piece)));
  CHECK(piece == "abcde");
  CHECK(file.read(std::as_writable_bytes(std::span(piece))) == 2);
  CHECK(piece == "fgcde");
  CHECK_THAT(error_of([&] { file.read_exactly(std::as_writable_bytes(std::span(piece))); }),
             Contains("ends too early"));
}

TEST_CASE("an append file grows and a failed record leaves no trace", "[file]") {
  TempDir dir;
  const std::string path = dir.file("log");
  AppendFile(path).append("one\n");
  AppendFile log(path);
  log.append("two\n");
  std::string message;
  {
    FileSizeLimit limit(1000);
    try {
      log.append(std::string(5000, 'x'));
    } catch (const Error& error) {
      message = error.what();
    }
  }
  CHECK_THAT(message, Contains("'" + path + "': File too large"));
  CHECK(read_text_file(path, 5000) == "one\ntwo\n");
  log.append("three\n");
  CHECK(read_text_file(path, 5000) == "one\ntwo\nthree\n");
  CHECK_THAT(error_of([&] { AppendFile file(dir.file("none/log")); }), Contains("none/log"));
}

TEST_CASE("names in messages stay on one line and within bounds", "[file]") {
  CHECK(in_quotes("a\nb\x1b[31m") == "'a?b?[31m'");
  CHECK(in_quotes("gr\xc3\xbcn") == "'gr\xc3\xbcn'");
  CHECK(in_quotes("abcdef", 3) == "'abc...'");
}

}  // namespace
}  // namespace flowsmith::core
