// flowsmith movie: the pictures of a run as a film.
#include <algorithm>
#include <filesystem>

#include "data/apng.h"
#include "models/runs/run_folder.h"
#include "tools/files.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kMostPictures = 10'000;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 31;  // of all pictures, unpacked

/// The pictures of a folder in the order of their steps.
std::vector<std::string> pictures_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step_") && name.ends_with(".png")) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

int make_movie(const cxxopts::ParseResult& options) {
  if (options.count("run") == 0) throw Error("name the folder of a run: flowsmith movie runs/moons");
  const RunFolder folder(options["run"].as<std::string>());
  const std::string out = output_from(options, "out", "movie.png");
  const int milliseconds = options["milliseconds"].as<int>(), last = options["last-milliseconds"].as<int>();
  for (const auto& [name, value] : {std::pair{"milliseconds", milliseconds}, {"last-milliseconds", last}}) {
    if (value < 1 || value > 65535) throw Error("--" + std::string(name) + " must be 1 to 65535");
  }
  require_outputs({}, {{"--out", out}});
  require_kind({"--out", out}, ".png");
  std::vector<std::string> files = pictures_in(folder.frames());
  if (files.empty()) files = pictures_in(folder.path() + "/samples");
  if (files.empty()) {
    throw Error(folder.path() +
                ": no run with pictures of samples: name the folder of one, e.g. trained with --frames 20");
  }
  if (files.size() > kMostPictures) throw Error(folder.path() + ": more than 10,000 pictures are no film");
  std::uint64_t bytes = 0;
  std::vector<Image> pictures;
  CountProgress progress("pictures", files.size());
  for (const std::string& file : files) {
    const PngHeader header = read_png_header(file);
    bytes += std::uint64_t(header.rows) * std::uint64_t(header.cols) * std::uint64_t(header.channels);
    if (bytes > kMostBytes) throw Error(folder.path() + ": its pictures take more than 2 GiB: make a film of fewer");
    pictures.push_back(read_png(file));
    progress.update(double(pictures.size()));
  }
  write_file_atomically(out, encode_apng(pictures, milliseconds, last));
  std::printf("%s as a film: %s\n", counted(std::int64_t(pictures.size()), "picture").c_str(), shown(out).c_str());
  return 0;
}

}  // namespace

int movie_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith movie",
                           "The samples of a run as a film (an animated PNG, which browsers play): the pictures that "
                           "flowsmith train --frames keeps, or those of its snapshots.\n");
  // clang-format off
  options.add_options()
      ("run", "The folder of the run; also without --run in front", cxxopts::value<std::string>())
      ("milliseconds", "How long each picture is shown", cxxopts::value<int>()->default_value("100"))
      ("last-milliseconds", "How long the last one is", cxxopts::value<int>()->default_value("2000"))
      ("out", "The film; - is stdout", cxxopts::value<std::string>()->default_value("movie.png"));
  // clang-format on
  options.parse_positional({"run"});
  options.positional_help("RUN");
  return run_tool("flowsmith movie", options, argc, argv, make_movie);
}

}  // namespace flowsmith::core
