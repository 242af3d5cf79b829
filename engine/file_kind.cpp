#include "engine/file_kind.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/file.h"

namespace flowsmith::core {
namespace {

using namespace std::literals;

struct Kind {
  std::string_view beginning;
  std::string_view what;
};

constexpr Kind kKinds[] = {
    {"version https://git-lfs"sv, "a Git LFS pointer and not the file itself; fetch it with git lfs pull"sv},
    {"PK\x03\x04"sv,
     "a zip file; flow import reads those of PyTorch; flow score, encode and transform those of NumPy (.npz)"sv},
    {"\x80\x02"sv, "a pickle; flow import reads those of torch.save, others load in Python and save with torch.save"sv},
    {"\x80\x03"sv, "a pickle; flow import reads those of torch.save, others load in Python and save with torch.save"sv},
    {"\x80\x04"sv, "a pickle; flow import reads those of torch.save, others load in Python and save with torch.save"sv},
    {"\x80\x05"sv, "a pickle; flow import reads those of torch.save, others load in Python and save with torch.save"sv},
    {"\x93NUMPY"sv, "an array of NumPy; flow encode, score and transform read it"sv},
    {"\x89PNG"sv, "a PNG picture; flow score, eval and encode read pictures"sv},
    {"\x1f\x8b"sv, "compressed with gzip; unpack it with gunzip"sv},
};

/// HTML begins in many ways, behind spaces.
bool is_html(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\xef\xbb\xbf"), text.size()));
  std::string word(text.substr(0, 14));
  std::transform(word.begin(), word.end(), word.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return word.starts_with("<!doctype html") || word.starts_with("<html") || word.starts_with("<?xml");
}

}  // namespace

bool looks_like_flax(std::string_view start) {
  const auto byte = [&](std::size_t i) { return i < start.size() ? (unsigned char)(start[i]) : 0u; };
  // A map of 1 to 15 entries, or one with its size in the next two or four bytes.
  const std::size_t name = byte(0) > 0x80 && byte(0) <= 0x8f ? 1 : byte(0) == 0xde ? 3 : byte(0) == 0xdf ? 5 : 0;
  if (name == 0 || byte(name) <= 0xa0 || byte(name) > 0xbf) return false;
  const std::string_view text = start.substr(name + 1, byte(name) - 0xa0);
  return text.size() == byte(name) - 0xa0 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

std::string known_kind(const std::string& path) try {
  if (is_descriptor(path)) return "";
  InputFile file(path);
  std::array<char, 64> start = {};
  const std::string_view text(start.data(), file.read(std::as_writable_bytes(std::span(start))));
  // A safetensors header may be as long as the first bytes of a pickle say.
  if (text.size() > 8 && text[8] == '{') return "";
  if (is_html(text)) return "an HTML page, as a failed download leaves behind; download it again";
  if (looks_like_flax(text)) return "a checkpoint of Flax; flow import reads those of the tutorial";
  for (const Kind& kind : kKinds) {
    if (text.starts_with(kind.beginning)) return std::string(kind.what);
  }
  return "";
} catch (const Error&) {
  return "";
}

}  // namespace flowsmith::core
