// The files of the page that flowsmith explore serves, as they are in tools/explore/.
#pragma once

#include <span>
#include <string_view>

namespace flowsmith::core {

struct PageFile {
  std::string_view name, text;
};

std::span<const PageFile> page_files();

}  // namespace flowsmith::core
