// What people see on a terminal: progress that fits its width.
#include <pty.h>

#include "tests/support/tutorial_models.h"
#include "tests/tools/cli_testing.h"
#include "tools/progress.h"
#include "tools/table.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

TEST_CASE("a progress line fits the width that it has", "[progress]") {
  const std::vector<ProgressPart> parts{
      {"step 12/50", 2}, {"1.2345 bits/dim", 0}, {"106 images/s", 3}, {"ETA 2:11", 1}};
  CHECK(progress_text(0.5, parts, 100) ==
        "[##############--------------]  50 %  step 12/50  1.2345 bits/dim  106 images/s  ETA 2:11");
  CHECK(progress_text(0.5, parts, 71) == "[#####-----]  50 %  step 12/50  1.2345 bits/dim  106 images/s  ETA 2:11");
  CHECK(progress_text(0.5, parts, 70) == "[############-----------]  50 %  step 12/50  1.2345 bits/dim  ETA 2:11");
  CHECK(progress_text(0.5, parts, 50) == "[########-------]  50 %  1.2345 bits/dim  ETA 2:11");
  CHECK(progress_text(0.5, parts, 40) == " 50 %  1.2345 bits/dim  ETA 2:11");
  CHECK(progress_text(0.5, parts, 30) == " 50 %  1.2345 bits/dim");
  CHECK(progress_text(0.5, parts, 10) == " 50 %  1.2");
  CHECK(progress_text({}, parts, 100) == "step 12/50  1.2345 bits/dim  106 images/s  ETA 2:11");
  CHECK_THAT(progress_text(0, parts, 100), Contains("[----------------------------]   0 %"));
  CHECK_THAT(progress_text(7, parts, 100), Contains("[############################] 100 %"));
  CHECK_THAT(progress_text(NAN, {}, 100), Contains("  0 %"));
  for (int width = 0; width < 120; ++width) CHECK(int(progress_text(0.3, parts, width).size()) <= width);
}

/// Everything that a program writes to a terminal of so many columns.
std::string on_terminal(int columns, const std::vector<std::string>& command, const std::string& folder) {
  winsize size{24, static_cast<unsigned short>(columns), 0, 0};
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  REQUIRE(pid >= 0);
  if (pid == 0) {
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    if (::chdir(folder.c_str()) == 0) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  std::string text;
  char buffer[4096];
  ssize_t count;
  while ((count = ::read(terminal, buffer, sizeof buffer)) > 0) text.append(buffer, std::size_t(count));
  ::close(terminal);
  int status = -1;
  ::waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  return text;
}

TEST_CASE("a table fits the width that it has", "[table]") {
  const std::vector<TableColumn> columns{{"Name", true}, {"What", true}, {"Time", false, 1}, {"Size", false, 2}};
  const std::vector<std::vector<std::string>> rows{{"a", "nothing that fits in twenty columns", "1 ms", "12"},
                                                   {"long", "short", "-", "3456"}};
  CHECK(table_text(columns, rows, 80) ==
        "Name  What                                 Time  Size\n"
        "a     nothing that fits in twenty columns  1 ms    12\n"
        "long  short                                   -  3456\n");
  CHECK(table_text(columns, rows, 40) ==
        "Name  What                    Time  Size\n"
        "a     nothing that fits in    1 ms    12\n"
        "      twenty columns\n"
        "long  short                      -  3456\n");
  CHECK(table_text(columns, rows, 30) ==
        "Name  What\n"
        "a     nothing that fits in\n"
        "      twenty columns\n"
        "long  short\n"
        "not shown in so few columns:\n"
        "Time, Size\n");
  CHECK(wrapped("ab cd  ef\n\n  gh i", 5) == "ab cd\nef\n\n  gh\ni");
  CHECK(wrapped("abcdefgh ij", 3) == "abcdefgh\nij");
}

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    widest = std::max(widest, end - at);
    at = end + 1;
  }
  return widest;
}

TEST_CASE("help and tables fit the terminal", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 4, 4});
  Flow flow(tutorial("simple", "2024", 4, 4));
  flow.initialize(1);
  flow.save(place.path("w.safetensors"));
  const std::size_t columns = GENERATE(60, 80);
  const auto shown = [&](const std::string& tool, const Arguments& arguments) {
    const std::string text =
        on_terminal(int(columns), Workplace::command(tool, arguments), place.dir().path().string());
    INFO(tool << "\n" << text);
    CHECK(widest_line(text) <= columns);
    return text;
  };
  for (const char* const tool : {"train", "score", "eval", "sample", "encode", "decode", "transform", "info", "import",
                                 "parity", "gradcheck", "bench"}) {
    CHECK_THAT(shown(tool, {"--help"}), Contains("Show this help"));
  }
  CHECK_THAT(shown("info", {"--list"}), Contains("realnvp"));
  CHECK_THAT(shown("info", {"--model", "glow"}), Contains("flows.99"));
  CHECK_THAT(shown("gradcheck", {"--filter", "squeeze"}), Contains("all ok"));
  const std::string scores =
      shown("eval", {"--weights", "w.safetensors", "--data", "tiny", "--importance-samples", "1"});
  CHECK_THAT(scores, Contains("Bits/dim") && Contains("simple: w.safetensors"));
  CHECK((scores.find("not shown") == std::string::npos) == (columns == 80));
}

TEST_CASE("what train says before and after its steps fits 80 columns", "[cli]") {
  const Workplace place;
  const Arguments train = Arguments{"/usr/bin/env", "NO_COLOR=1"} +
                          Workplace::quick_training({"--model", "moons", "--threads", "1", "--out", "run"});
  const auto check = [&](const Arguments& more) {
    std::string text = on_terminal(80, train + more, place.dir().path().string());
    // Neither what clears a line, nor where the programs happen to lie, which printed commands begin with.
    for (const std::string& part : {std::string("\033[K"), std::string(FLOWSMITH_TOOL_DIR)}) {
      for (std::size_t at = 0; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
    }
    INFO(text);
    CHECK(widest_line(text) <= 80);
    CHECK_THAT(text, Contains("(first 1000 of 10000 rows)"));
    return text;
  };
  check({"--max-steps", "2"});
  CHECK_THAT(check({"--max-steps", "4", "--resume"}), Contains("resuming at step 2"));
}

TEST_CASE("train's progress stays on one line of the terminal", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 4, 4});
  const bool colour = GENERATE(false, true);
  const int columns = GENERATE(40, 80);
  const Arguments command = Workplace::command(
      "train", {"--model", "simple", "--data", "tiny", "--batch-size", "10", "--threads", "1", "--max-steps", "4"});
  const Arguments words = Arguments{"/usr/bin/env", colour ? "NO_COLOR=" : "NO_COLOR=1", "TERM=xterm"} + command;
  const std::string text = on_terminal(columns, words, place.dir().path().string());
  const std::string rewrite = "\r\033[K", green = "\033[32m", plain = "\033[0m";
  CHECK((text.find(green) != std::string::npos) == (colour && columns == 80));  // no room for a bar in 40 columns
  int lines = 0;
  for (std::size_t at = text.find(rewrite); at != std::string::npos; at = text.find(rewrite, at + 1)) {
    std::string line = text.substr(at + rewrite.size(), text.find('\r', at + 1) - at - rewrite.size());
    for (const std::string& code : {green, plain}) {
      if (const std::size_t found = line.find(code); found != std::string::npos) line.erase(found, code.size());
    }
    if (line.find(" bits/dim  ") == std::string::npos || line.find("ETA") == std::string::npos) continue;
    ++lines;
    INFO(line);
    CHECK(int(line.size()) < columns);
  }
  CHECK(lines > 0);
}

}  // namespace
}  // namespace flowsmith::core
