#include "data/shipped.h"

#include <filesystem>

namespace flowsmith::core {

namespace fs = std::filesystem;

std::optional<std::string> find_shipped(const std::string& name) {
  std::error_code ignored;
  const fs::path below = fs::path("data") / name;
  if (fs::exists(below, ignored)) return below.string();
  fs::path place = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  while (!place.empty()) {
    for (const fs::path& found : {place / below, place / "share/flowsmith" / name}) {
      if (fs::exists(found, ignored)) return found.string();
    }
    if (place == place.parent_path()) break;
    place = place.parent_path();
  }
  return std::nullopt;
}

}  // namespace flowsmith::core
