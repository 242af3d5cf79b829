// The examples that a tool works on: files that people bring, or those of a dataset.
#pragma once

#include <cxxopts.hpp>
#include <string>

#include "models/interchange/example_files.h"
#include "models/runs/evaluation.h"
#include "tools/dataset_option.h"
#include "tools/files.h"

namespace flowsmith::core {

/// The options of examples_from, but for --seed, whose text is the tool's.
inline void add_example_options(cxxopts::Options& options) {
  // clang-format off
  options.add_options()
      ("images", kExampleFilesHelp, cxxopts::value<std::string>())
      ("scale", kScaleHelp, cxxopts::value<int>())
      ("split", "Without --images: test, val or train of --data", cxxopts::value<std::string>()->default_value("test"))
      ("data", "A dataset as flowsmith train takes it (default: what the weights were trained on)",
       cxxopts::value<std::string>());
  // clang-format on
}

/// The file that --images names, or nothing. Throws Error for options that do not go with it.
inline std::string images_from(const cxxopts::ParseResult& options, std::initializer_list<const char*> others) {
  scale_from(options);  // with its complaints
  require_alone(options, "images", others);
  return options.count("images") > 0 ? input_named(options["images"].as<std::string>()) : "";
}

/// All that files hold, or those examples of the dataset that `choose`, called with the set of its split, leaves.
template <class Choose>
ExamplePiece examples_from(const cxxopts::ParseResult& options, const std::string& images, const std::string& weights,
                           const Flow& flow, Choose&& choose) {
  if (!images.empty()) {
    ExampleFiles files(images, flow, scale_from(options));
    say_note(files.note());
    return files.next(files.count());
  }
  const Subset subset = parse_subset(options["split"].as<std::string>());
  const DatasetChoice choice = dataset_of(options, weights, flow);
  DatasetOptions which = dataset_options(flow.config(), choice.source, choice.seed);
  which.standardize = false;  // the weights know the statistics
  const Dataset dataset = load_dataset(which);
  say_note(dataset.note);
  require_fitting(flow, dataset);
  ExampleSet set = select_examples(dataset, subset, choice.seed);
  choose(set);
  GatheredBatch all = gather_batch(flow, set, 0, set.index.size());
  return {std::move(all.pixels), std::move(all.values), set.index, {}};
}

}  // namespace flowsmith::core
