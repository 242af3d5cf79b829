// Runs code that may kill its process.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace flowsmith::core {

struct ChildEnd {
  int signal = 0;    ///< that ended it
  int code = 0;      ///< otherwise
  std::string said;  ///< on stderr
};

/// Calls f in a copy of this process, which ends with code 0 after it.
template <class F>
ChildEnd in_child(F&& f) {
  std::FILE* said = std::tmpfile();
  const pid_t child = fork();
  if (child == 0) {
    dup2(fileno(said), 2);
    signal(SIGSEGV, SIG_DFL);  // not the test runner's
    f();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ChildEnd end;
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.code = WEXITSTATUS(status);
  std::rewind(said);
  for (int c = std::fgetc(said); c != EOF; c = std::fgetc(said)) end.said += char(c);
  std::fclose(said);
  return end;
}

}  // namespace flowsmith::core
