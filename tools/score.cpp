// flow-score: the log-likelihood of each example, one row each.
#include <charconv>

#include "kernels/likelihood.h"
#include "models/files/example_files.h"
#include "models/training/evaluation.h"
#include "tools/dataset_option.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/weights_option.h"

namespace flowsmith {
namespace {

constexpr std::size_t kPiece = 64;

/// Where examples come from: files, or a subset of a dataset.
class Source {
 public:
  Source(const cxxopts::ParseResult& options, const std::string& weights, const Flow& flow, const std::string& images)
      : flow_(flow) {
    if (!images.empty()) {
      files_.emplace(images, flow, scale_from(options));
      say_note(files_->note());
      return;
    }
    const Subset subset = parse_subset(options["split"].as<std::string>());
    const DatasetChoice choice = dataset_of(options, weights, flow);
    DatasetOptions which = dataset_options(flow.config(), choice.source, choice.seed);
    which.standardize = false;  // the weights know the statistics
    dataset_ = load_dataset(which);
    say_note(dataset_.note);
    require_fitting(flow, dataset_);
    set_ = select_examples(dataset_, subset, choice.seed);
    naming_options("--offset and --limit", [&] {
      set_.restrict_to(options["offset"].as<std::int64_t>(), options["limit"].as<std::int64_t>());
    });
    const bool from_test = subset == Subset::kTest && dataset_.test.count > 0;
    const bool from_validation = subset == Subset::kValidation && dataset_.validation.count > 0;
    labels_ = &(from_test ? dataset_.test : from_validation ? dataset_.validation : dataset_.train).labels;
  }

  std::size_t count() const { return files_ ? files_->count() : set_.index.size(); }
  /// What stands beside the number of an example: "file", "label" or nothing.
  std::string column() const {
    if (files_) return files_->has_files() ? "file" : "";
    return labels_->empty() ? "" : "label";
  }

  ExamplePiece next() {
    if (files_) return files_->next(kPiece);
    const std::size_t n = std::min(kPiece, set_.index.size() - done_);
    GatheredBatch some = gather_batch(flow_, set_, done_, n);
    ExamplePiece piece{std::move(some.pixels), std::move(some.values), {some.index, some.index + n}, {}};
    done_ += n;
    return piece;
  }

  /// The field of that column.
  std::string field(const ExamplePiece& piece, int i) const {
    return files_ ? piece.files[i] : std::to_string((*labels_)[piece.index[i]]);
  }

 private:
  const Flow& flow_;
  std::optional<ExampleFiles> files_;
  Dataset dataset_;
  ExampleSet set_;
  const std::vector<std::uint8_t>* labels_ = nullptr;
  std::size_t done_ = 0;
};

/// As few digits as give the number back.
std::string number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// A field of a CSV table: in quotes where it must be (RFC 4180).
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

int score(const cxxopts::ParseResult& options) {
  scale_from(options);  // with its complaints
  require_alone(options, "images", {"split", "data", "limit", "offset"});
  const int samples = options["importance-samples"].as<int>();
  if (samples < 1) throw Error("--importance-samples must be 1 or more");
  const std::string csv = output_named(options["csv"].as<std::string>());  // first: what is said goes to stderr then
  const std::string weights = weights_from(options);
  const std::string images = options.count("images") > 0 ? input_named(options["images"].as<std::string>()) : "";
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--csv", csv}});
  require_kind({"--csv", csv}, ".csv");
  Flow flow = Flow::load(weights, device_from(options));
  const int draws = flow.takes_images() ? samples : 1;
  Source source(options, weights, flow, images);

  AtomicFile table(csv);
  const std::string column = source.column();
  table.write("index," + (column.empty() ? "" : column + ",") + "log_prob" +
              (flow.takes_images() ? ",bits_per_dim\n" : "\n"));
  CountProgress progress("scoring", source.count());
  std::size_t done = 0;
  for (ExamplePiece piece = source.next(); !piece.index.empty(); piece = source.next()) {
    const int n = int(piece.index.size());
    NoiseStream noise{options["seed"].as<std::uint64_t>(), NoisePurpose::kScoring, 0};
    std::vector<double> all;
    for (int k = 0; k < draws; ++k) {
      noise.draw = std::uint32_t(k);
      const std::vector<double> draw = flow.log_prob(piece.batch(), {noise});
      all.insert(all.end(), draw.begin(), draw.end());
      progress.update(double(done) + double(n) * (k + 1) / draws);
    }
    std::string rows;
    for (int i = 0; i < n; ++i) {
      const double log_prob = log_mean_exp(&all[i], draws, n);
      if (!std::isfinite(log_prob)) {
        throw Error("the score of example " + std::to_string(piece.index[i]) +
                    " is not finite: the weights are damaged or the training diverged; use an earlier checkpoint");
      }
      rows += std::to_string(piece.index[i]) + ",";
      if (!column.empty()) rows += csv_field(source.field(piece, i)) + ",";
      rows += number(log_prob);
      if (flow.takes_images()) rows += "," + number(-log_prob / flow.nats_per_unit());
      rows += "\n";
    }
    table.write(rows);
    done += std::size_t(n);
  }
  table.commit();
  std::printf("%s scored: %s\n", counted(std::int64_t(done), flow.takes_images() ? "image" : "row").c_str(),
              shown(csv).c_str());
  say_passes(flow);
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options(
      "flow score",
      "Writes one row per example: its number, its file or label if it has one, log p in nats, and "
      "bits per dimension of images.\n");
  const std::string default_weights = flowsmith::kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", flowsmith::kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("images", flowsmith::kExampleFilesHelp, cxxopts::value<std::string>())
      ("scale", flowsmith::kScaleHelp, cxxopts::value<int>())
      ("split", "Without --images: test, val or train of --data", cxxopts::value<std::string>()->default_value("test"))
      ("data", "A dataset as flow train takes it (default: what the weights were trained on)",
       cxxopts::value<std::string>())
      ("limit", "Score at most this many examples of the split; -1: all",
       cxxopts::value<std::int64_t>()->default_value("-1"))
      ("offset", "Leave out this many examples of the split first", cxxopts::value<std::int64_t>()->default_value("0"))
      ("importance-samples", "Noise samples per image; numbers need none", cxxopts::value<int>()->default_value("8"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("csv", "Table to write; - is stdout", cxxopts::value<std::string>()->default_value("-"));
  // clang-format on
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow score", options, argc, argv, flowsmith::score);
}
