// The files that options name: "-" for stdin and stdout, and no file for two purposes.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/file.h"
#include "engine/text.h"
#include "kernels/error.h"

namespace flowsmith::core {

inline constexpr char kExampleFilesHelp[] =
    "A PNG file, a folder of them, an IDX file, or an array (.npy, .npz): N x height x width (x 3 in colour), or "
    "numbers N x D; - is an array from stdin";
inline constexpr char kScaleHelp[] =
    "Of an array of images that are not uint8: the number that is white, 1 or 255 (default: none)";

/// The value of --scale, 0 without one.
inline double scale_from(const cxxopts::ParseResult& options) {
  if (options.count("scale") == 0) return 0;
  const int scale = options["scale"].as<int>();
  if (scale != 1 && scale != 255) throw Error("--scale must be 1 or 255, the number that is white");
  if (options.count("images") == 0) throw Error("--scale is for an array: name it with --images");
  return scale;
}

/// A file to read.
inline std::string input_named(const std::string& name) { return name == "-" ? "/dev/stdin" : name; }

/// What output_named made of stdout; empty until then.
inline std::string& path_of_stdout() {
  static std::string path;
  return path;
}

/// The name of an output as people are told it.
inline std::string shown(const std::string& output) {
  return !output.empty() && output == path_of_stdout() ? "stdout" : output;
}

/// A file to write. For "-" or /dev/stdout that is what stdout was so far: everything that the tool says from then on
/// goes to stderr, and does not mix with it.
inline std::string output_named(const std::string& name) {
  if (name != "-" && name != "/dev/stdout") return name;
  static const int out = [] {
    std::fflush(stdout);
    const int kept = ::dup(STDOUT_FILENO);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    return kept;
  }();
  if (out < 0) throw Error("'" + name + "': stdout is closed");
  return path_of_stdout() = "/dev/fd/" + std::to_string(out);
}

/// output_named of an option's value, or `otherwise` if the option was not given.
inline std::string output_from(const cxxopts::ParseResult& options, const std::string& option,
                               const std::string& otherwise) {
  return options.count(option) > 0 ? output_named(options[option].as<std::string>()) : otherwise;
}

/// Throws Error if one of `others` was given beside an option that takes their place.
inline void require_alone(const cxxopts::ParseResult& options, const std::string& option,
                          std::initializer_list<const char*> others) {
  for (const char* const other : others) {
    if (options.count(option) > 0 && options.count(other) > 0) {
      throw Error("give --" + option + " or --" + other + ", not both");
    }
  }
}

/// `word` as a shell reads it back.
inline std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

/// How to call another tool from where this one was called: "./flow eval", as the script was named, or "flowsmith
/// eval", with the folder of the program where PATH does not lead to it.
inline std::string tool_command(const std::string& tool) {
  if (const char* const script = std::getenv("FLOW_COMMAND"); script != nullptr && *script != '\0') {
    return quoted(script) + " " + tool;
  }
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const char* const path = std::getenv("PATH");
  std::string_view left = path == nullptr ? "" : path;
  while (!left.empty()) {
    const std::string_view folder = left.substr(0, left.find(':'));
    left.remove_prefix(std::min(left.size(), folder.size() + 1));
    const fs::path first = fs::path(folder) / "flowsmith";
    if (!fs::exists(first, error)) continue;
    if (fs::equivalent(first, self, error)) return "flowsmith " + tool;
    break;  // another one
  }
  return quoted(self.string()) + " " + tool;
}

/// An option and the file that it names; an empty path: it was not given.
struct NamedFile {
  std::string option, path;
};

inline bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const auto whole = [&](const std::string& path) {
    return fs::weakly_canonical(fs::absolute(path, ignored), ignored);
  };
  return fs::equivalent(a, b, ignored) || whole(a) == whole(b);
}

/// Throws Error if an output cannot be written, or would replace an input or another output, or if two inputs are to
/// come out of stdin: before any work is done.
inline void require_outputs(const std::vector<NamedFile>& inputs, const std::vector<NamedFile>& outputs) {
  const auto check = [](const NamedFile& output, const NamedFile& other) {
    if (output.path.empty() || other.path.empty() || !same_file(output.path, other.path)) return;
    throw Error(output.option + " and " + other.option + " name the same file, " + output.path +
                ": choose another one for " + output.option);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    for (const NamedFile& input : inputs) check(outputs[i], input);
    for (std::size_t j = 0; j < i; ++j) check(outputs[i], outputs[j]);
  }
  const NamedFile* piped = nullptr;
  for (const NamedFile& input : inputs) {
    if (input.path != "/dev/stdin") continue;
    if (piped != nullptr) {
      throw Error(piped->option + " and " + input.option + " are both -, and stdin holds one file: name one of them");
    }
    piped = &input;
  }
  for (const NamedFile& output : outputs) {
    if (!output.path.empty()) const AtomicFile nothing(output.path);  // better now than after minutes of work
  }
}

/// Throws Error if the name of a file ends as those of another kind do: what writes PNG writes no x.jpg.
inline void require_kind(const NamedFile& file, const std::string& extension) {
  const std::string own = std::filesystem::path(file.path).extension().string();
  for (const char* const kind :
       {".png", ".jpg", ".jpeg", ".gif", ".bmp",  ".webp",        ".tif",  ".tiff", ".pdf", ".svg", ".npy",
        ".npz", ".csv", ".tsv",  ".txt", ".json", ".safetensors", ".ckpt", ".pt",   ".pth", ".h5"}) {
    if (own != kind || own == extension) continue;
    throw Error(file.option + " " + file.path + ": what is written is no " + own.substr(1) +
                " file: give it a name that ends in " + extension);
  }
}

/// The same for a chart, which is written as PNG or SVG.
inline void require_figure(const NamedFile& file) {
  if (!file.path.ends_with(".svg")) require_kind(file, ".png");
}

}  // namespace flowsmith::core
