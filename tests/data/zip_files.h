// Zip files for the tests of what reads them.
#pragma once

#include <minizip/zip.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace flowsmith::core {

/// Writes a zip file of these entries in order, as they are or compressed.
inline void write_zip(const std::string& path, const std::vector<std::pair<std::string, std::string>>& entries,
                      bool compressed = false) {
  const zipFile zip = zipOpen64(path.c_str(), APPEND_STATUS_CREATE);
  if (zip == nullptr) throw std::runtime_error("zipOpen64");
  const zip_fileinfo info{};
  for (const auto& [name, bytes] : entries) {
    if (zipOpenNewFileInZip64(zip, name.c_str(), &info, nullptr, 0, nullptr, 0, nullptr, compressed ? Z_DEFLATED : 0,
                              Z_DEFAULT_COMPRESSION, 0) != ZIP_OK ||
        zipWriteInFileInZip(zip, bytes.data(), unsigned(bytes.size())) != ZIP_OK || zipCloseFileInZip(zip) != ZIP_OK) {
      throw std::runtime_error("cannot write " + name);
    }
  }
  if (zipClose(zip, nullptr) != ZIP_OK) throw std::runtime_error("zipClose");
}

}  // namespace flowsmith::core
