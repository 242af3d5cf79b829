// flowsmith: the one program, whose subcommands are the tools.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/version.h"
#include "tools/program/manual.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

void print_usage() {
  std::puts("Usage: flowsmith TOOL [options]      flowsmith TOOL --help shows the options of a tool\n");
  for (const ToolEntry& tool : kTools) std::printf("  %-11s  %s\n", tool.name, tool.summary);
  std::puts(
      "\nflowsmith help TOOL is flowsmith TOOL --help. flowsmith --version says what this program is built from, by "
      "what "
      "and for what.");
}

const ToolEntry* find_tool(std::string_view name) {
  for (const ToolEntry& tool : kTools) {
    if (tool.name == name) return &tool;
  }
  std::fprintf(stderr, "flowsmith: unknown tool '%s': flowsmith --help lists the tools\n",
               std::string(name.substr(0, 60)).c_str());
  return nullptr;
}

/// Threads that wait for work are to sleep, but not at once (docs/architecture.md, the end of "Libraries"). OpenMP
/// reads that from the environment before main() begins, so the program starts itself once more, unless somebody chose.
void let_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::setenv("GOMP_SPINCOUNT", "2000", 1);
  ::execv("/proc/self/exe", argv);  // where that fails, threads do not sleep
}

}  // namespace
}  // namespace flowsmith::core

int main(int argc, char** argv) {
  using namespace flowsmith::core;
  let_threads_sleep(argv);
  const std::string_view first = argc > 1 ? argv[1] : "--help";
  const bool help = first == "help" || first == "--help" || first == "-h";
  if (help && argc <= 2) {
    print_usage();
    return 0;
  }
  if (first == "--version") {
    std::puts(build_info().c_str());
    return 0;
  }
  if (first == "--manual") {
    std::fputs(manual_page().c_str(), stdout);
    return 0;
  }
  if (first == "--completions") {
    for (const ToolEntry& tool : kTools) std::printf("%s\t%s\n", tool.name, tool.summary);
    return 0;
  }
  if (help) {
    const ToolEntry* const tool = find_tool(argv[2]);
    char option[] = "--help";
    char* words[] = {argv[2], option, nullptr};
    return tool == nullptr ? 2 : tool->run(2, words);
  }
  const ToolEntry* const tool = find_tool(first);
  return tool == nullptr ? 2 : tool->run(argc - 1, argv + 1);
}
