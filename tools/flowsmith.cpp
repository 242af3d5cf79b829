// flowsmith: the one program, whose subcommands are the tools.
#include <cstdio>
#include <string>
#include <string_view>

#include "engine/version.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

void print_usage() {
  std::puts("Usage: flowsmith TOOL [options]      flowsmith TOOL --help shows the options of a tool\n");
  for (const ToolEntry& tool : kTools) std::printf("  %-11s  %s\n", tool.name, tool.summary);
  std::puts(
      "\nflowsmith help TOOL is flowsmith TOOL --help. flowsmith --version says what this program is built from, by what "
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

}  // namespace
}  // namespace flowsmith::core

int main(int argc, char** argv) {
  using namespace flowsmith::core;
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
  if (help) {
    const ToolEntry* const tool = find_tool(argv[2]);
    char option[] = "--help";
    char* words[] = {argv[2], option, nullptr};
    return tool == nullptr ? 2 : tool->run(2, words);
  }
  const ToolEntry* const tool = find_tool(first);
  return tool == nullptr ? 2 : tool->run(argc - 1, argv + 1);
}
