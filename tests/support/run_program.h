// Runs a program as a user does, and keeps what it says.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/temp_dir.h"

namespace flowsmith::core {

inline std::string bytes_of(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Everything below a folder: relative path to contents, "folder" for a folder.
inline std::map<std::string, std::string> contents_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    contents[name] = entry.is_directory() ? "folder" : bytes_of(entry.path().string());
  }
  return contents;
}

struct Outcome {
  int code = -1;   ///< exit code; -1 if a signal ended it
  int signal = 0;  ///< the one that ended it
  std::string out, err;
};

class Program {
 public:
  /// Starts command[0], a path, with the other strings as arguments in `folder`. `out`: a file for its stdout, which
  /// otherwise is kept.
  Program(const std::vector<std::string>& command, const std::filesystem::path& folder, const std::string& out = "") {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
    const std::string out_path = out.empty() ? said_.file("out") : out, err_path = said_.file("err");
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_path.c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err_path.c_str(), O_WRONLY | O_CREAT, 0600);
    std::vector<char*> arguments, environment;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
    std::string passive = "OMP_WAIT_POLICY=passive";  // as the flow script sets it
    environment.push_back(passive.data());
    arguments.push_back(nullptr);
    environment.push_back(nullptr);
    const int code = posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) throw std::runtime_error("cannot start " + command[0]);
  }
  ~Program() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void send(int signal) const { ::kill(pid_, signal); }

  /// What it has written to stdout so far.
  std::string said() const { return bytes_of(said_.file("out")); }

  /// Waits until ready() and returns true; false if the program ends before that, or after two minutes.
  template <class Ready>
  bool wait_until(Ready&& ready) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (std::chrono::steady_clock::now() < deadline) {
      if (ready()) return true;
      if (ended()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  /// Waits for its end. Throws after two minutes: no test runs that long, so it hangs.
  Outcome wait() {
    if (wait_until([] { return false; }) || pid_ > 0) throw std::runtime_error("the program does not end");
    Outcome outcome{-1, 0, {}, bytes_of(said_.file("err"))};
    if (WIFEXITED(status_)) outcome.code = WEXITSTATUS(status_);
    if (WIFSIGNALED(status_)) outcome.signal = WTERMSIG(status_);
    if (std::filesystem::exists(said_.file("out"))) outcome.out = said();
    return outcome;
  }

 private:
  bool ended() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = 0;
    return pid_ == 0;
  }

  TempDir said_;
  pid_t pid_ = 0;
  int status_ = 0;
};

}  // namespace flowsmith::core
