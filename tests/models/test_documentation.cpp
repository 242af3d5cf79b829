// What docs/ says of configurations and of code is what the program does.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <regex>

#include "engine/file.h"
#include "models/config_reference.h"
#include "models/flow.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = FLOWSMITH_SOURCE_DIR;

std::string text_of(const fs::path& path) { return read_text_file(path.string(), 1 << 20); }

/// The code of all blocks of a page that are marked as this language.
std::vector<std::string> code_blocks(const std::string& page, const std::string& language) {
  const std::string open = "\n```" + language + "\n", close = "\n```\n";
  std::vector<std::string> blocks;
  for (std::size_t at = page.find(open); at != std::string::npos; at = page.find(open, at)) {
    at += open.size();
    const std::size_t end = page.find(close, at);
    REQUIRE(end != std::string::npos);
    blocks.push_back(page.substr(at, end + 1 - at));
    at = end;
  }
  return blocks;
}

TEST_CASE("docs/config.md has every key of every component", "[docs]") {
  const std::string page = text_of(kSource / "docs/config.md");
  const std::string marker = "<!-- All below is printed by `flow info --reference`. -->\n";
  const std::size_t at = page.find(marker);
  REQUIRE(at != std::string::npos);
  const std::string documented = page.substr(at + marker.size()), printed = config_reference();
  const auto difference = std::mismatch(documented.begin(), documented.end(), printed.begin(), printed.end()).second;
  // If this fails: replace what stands below the marker by what the tool prints.
  INFO("printed where they differ: " << std::string(
           difference, difference + std::min<std::ptrdiff_t>(80, printed.end() - difference)));
  CHECK((documented == printed));
}

TEST_CASE("the configurations in docs/ are right", "[docs]") {
  int count = 0;
  for (const std::string page : {"docs/config.md", "docs/models.md", "docs/adding_a_layer.md", "docs/tutorial.md"}) {
    for (const std::string& block : code_blocks(text_of(kSource / page), "json")) {
      INFO(page << "\n" << block);
      CHECK_NOTHROW(Flow(FlowConfig::parse(block, page)));
      ++count;
    }
  }
  CHECK(count > 0);
}

TEST_CASE("docs/models.md and README.md have every model with its parameters and settings", "[docs]") {
  const std::string readme = text_of(kSource / "README.md"), models = text_of(kSource / "docs/models.md");
  for (const std::string& name : FlowConfig::names()) {
    const FlowConfig config = FlowConfig::named(name);
    const TrainingDefaults training = config.training();
    std::string count = std::to_string(Flow(config).parameters().element_count());
    for (std::size_t i = count.size(); i > 3;) count.insert(i -= 3, ",");
    const std::string row = "\\| `" + name + "` \\|[^\n]*\\| " + count + " \\|";
    const std::string settings =
        " " + std::to_string(training.epochs) + " \\| " + std::to_string(training.batch_size) + " \\|";
    INFO(row << settings);
    CHECK(std::regex_search(readme, std::regex(row)));
    CHECK(std::regex_search(models, std::regex(row + settings)));
  }
}

TEST_CASE("the code in docs/adding_a_layer.md is that of the example", "[docs]") {
  std::string example;
  for (const auto& entry : fs::recursive_directory_iterator(kSource / "tests/models/example_layer")) {
    if (entry.is_regular_file()) example += text_of(entry.path());
  }
  const std::vector<std::string> blocks = code_blocks(text_of(kSource / "docs/adding_a_layer.md"), "cpp");
  CHECK(blocks.size() > 5);
  for (const std::string& block : blocks) {
    INFO(block);
    CHECK(example.find(block) != std::string::npos);
  }
}

TEST_CASE("links between pages lead to files", "[docs]") {
  std::vector<fs::path> pages{kSource / "README.md", kSource / "data/weights/README.md",
                              kSource / "kernels/cuda/emulator/README.md"};
  for (const auto& entry : fs::recursive_directory_iterator(kSource / "docs")) {
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  }
  const std::regex link(R"(\]\(([^)#: ]+)(#[^)]*)?\))");
  for (const fs::path& page : pages) {
    const std::string text = text_of(page);
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      INFO(page << " links to " << (*it)[1]);
      CHECK(fs::exists(page.parent_path() / (*it)[1].str()));
    }
  }
}

}  // namespace
}  // namespace flowsmith::core
