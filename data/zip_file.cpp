#include "data/zip_file.h"

#include <minizip/unzip.h>

#include <algorithm>

#include "kernels/error.h"

namespace flowsmith::core {

ZipFile::ZipFile(const InputFile& file) : file_(file) {
  const std::string what = "cannot read " + in_quotes(file.path());
  zip_.reset(unzOpen64(file.reopen_path().c_str()), [](void* zip) {
    if (zip != nullptr) unzClose(zip);
  });
  if (!zip_) throw Error(what + ": it is cut off, or no zip file; copy it again");
  for (int code = unzGoToFirstFile(zip_.get()); code != UNZ_END_OF_LIST_OF_FILE; code = unzGoToNextFile(zip_.get())) {
    unz_file_info64 info;
    unz64_file_pos place;
    std::string name;
    if (code == UNZ_OK) code = unzGetCurrentFileInfo64(zip_.get(), &info, nullptr, 0, nullptr, 0, nullptr, 0);
    if (code == UNZ_OK) {
      name.resize(info.size_filename);
      code = unzGetCurrentFileInfo64(zip_.get(), &info, name.data(), info.size_filename, nullptr, 0, nullptr, 0);
    }
    if (code == UNZ_OK) code = unzGetFilePos64(zip_.get(), &place);
    if (code != UNZ_OK) throw Error(what + ": its list of entries is damaged; copy it again");
    entries_[name] = {place.pos_in_zip_directory, place.num_of_file};
  }
}

std::vector<std::string> ZipFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : entries_) names.push_back(name);
  return names;
}

std::optional<std::vector<std::byte>> ZipFile::entry(const std::string& name, std::uint64_t max_size) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  const std::string part = "cannot read " + in_quotes(file_.path()) + ": its entry " + in_quotes(name);
  const unz64_file_pos place{found->second.position, found->second.number};
  unz_file_info64 info;
  if (unzGoToFilePos64(zip_.get(), &place) != UNZ_OK ||
      unzGetCurrentFileInfo64(zip_.get(), &info, nullptr, 0, nullptr, 0, nullptr, 0) != UNZ_OK) {
    throw Error(part + " is damaged; copy the file again");
  }
  constexpr unsigned kEncrypted = 1;
  if ((info.flag & kEncrypted) != 0) throw Error(part + " is encrypted; save it without a password");
  if (info.compression_method != 0 && info.compression_method != Z_DEFLATED) {
    throw Error(part + " is compressed in an unknown way; save it again without compression");
  }
  constexpr std::uint64_t kMostByDeflate = 1032;  // one byte becomes at most so many
  const std::uint64_t most = info.compression_method == 0 ? file_.size() : file_.size() * kMostByDeflate;
  if (info.uncompressed_size > max_size || info.uncompressed_size > most) {
    throw Error(part + " claims " + std::to_string(info.uncompressed_size) +
                " bytes, too many; check that the file is whole");
  }
  std::vector<std::byte> bytes(info.uncompressed_size);
  bool whole = unzOpenCurrentFile(zip_.get()) == UNZ_OK;
  for (std::size_t done = 0; whole && done < bytes.size();) {
    constexpr std::size_t kPiece = 1 << 30;
    const int got = unzReadCurrentFile(zip_.get(), &bytes[done], unsigned(std::min(kPiece, bytes.size() - done)));
    whole = got > 0;
    done += std::size_t(std::max(got, 0));
  }
  // This compares the checksum.
  if (unzCloseCurrentFile(zip_.get()) != UNZ_OK || !whole) {
    throw Error(part + " is cut off or damaged; copy the file again");
  }
  return bytes;
}

}  // namespace flowsmith::core
