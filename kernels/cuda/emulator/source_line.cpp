#include "kernels/cuda/emulator/source_line.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>

namespace flowsmith::core::emulator {

std::string source_line(const void* code) {
  Dl_info object{};
  if (dladdr(code, &object) == 0) return "an unknown place";
  // The instruction before the return address is the call.
  const auto offset = std::uintptr_t(code) - std::uintptr_t(object.dli_fbase) - 1;
  char command[4096];
  std::snprintf(command, sizeof(command), "addr2line -i -e '%s' %#zx 2>/dev/null", object.dli_fname,
                std::size_t(offset));
  std::string lines;
  if (std::FILE* pipe = popen(command, "r"); pipe != nullptr) {
    char line[4096];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      std::string place = line;
      place = place.substr(0, place.find_first_of("\n ("));
      if (!place.empty() && place[0] != '?') lines += (lines.empty() ? "" : " from ") + place;
    }
    pclose(pipe);
  }
  if (lines.empty()) std::snprintf(command, sizeof(command), "%s+%#zx", object.dli_fname, std::size_t(offset));
  return lines.empty() ? command : lines;
}

}  // namespace flowsmith::core::emulator
