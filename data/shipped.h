// Files that come with the program: the folder data/ of the repository, or share/flowsmith/ where it is installed.
#pragma once

#include <optional>
#include <string>

namespace flowsmith::core {

/// The path of data/NAME, a file or a folder, looked for below the current folder, then below each folder from the
/// program's own upwards, or of share/flowsmith/NAME there. Nothing if it is in none of them.
std::optional<std::string> find_shipped(const std::string& name);

}  // namespace flowsmith::core
