// flowsmith score: the log-likelihood of each example, one row each.
#include <charconv>
#include <filesystem>
#include <functional>

#include "kernels/likelihood.h"
#include "models/analysis/outliers.h"
#include "models/interchange/checkpoints.h"
#include "models/interchange/example_files.h"
#include "models/runs/evaluation.h"
#include "tools/dataset_option.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/pictures/outliers_view.h"
#include "tools/progress.h"
#include "tools/table.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kPiece = 64;

/// Where examples come from: files, or a subset of a dataset.
class Source {
 public:
  /// Of files.
  Source(const Flow& flow, const std::string& images, double scale) : flow_(flow) {
    files_.emplace(images, flow, scale);
    say_note(files_->note());
  }
  /// Of a dataset; `choose` leaves those of its subset that are wanted.
  template <class Choose>
  Source(const Flow& flow, const DatasetChoice& choice, Subset subset, Choose&& choose) : flow_(flow) {
    DatasetOptions which = dataset_options(flow.config(), choice.source, choice.seed);
    which.standardize = false;  // the weights know the statistics
    dataset_ = load_dataset(which);
    say_note(dataset_.note);
    require_fitting(flow, dataset_);
    set_ = select_examples(dataset_, subset, choice.seed);
    choose(set_);
    const bool from_test = subset == Subset::kTest && dataset_.test.count > 0;
    const bool from_validation = subset == Subset::kValidation && dataset_.validation.count > 0;
    labels_ = &(from_test ? dataset_.test : from_validation ? dataset_.validation : dataset_.train).labels;
  }
  Source(const Source&) = delete;  // it points into itself
  Source& operator=(const Source&) = delete;

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

/// What is known of some examples, score by score.
struct Scores {
  std::vector<double> log_prob;            ///< nats
  std::vector<std::vector<double>> parts;  ///< of each latent, its log-density: nats; with details
  std::vector<double> complexity;          ///< bits/dim; with details, of images
};

/// How scores are taken.
struct Scorer {
  Flow& flow;
  std::uint64_t seed;
  int draws;
  bool details;

  Scores operator()(const ExamplePiece& piece, const std::function<void(double share)>& progress) const {
    const int n = int(piece.index.size());
    NoiseStream noise{seed, NoisePurpose::kScoring, 0};
    std::vector<double> all;
    for (int k = 0; k < draws; ++k) {
      noise.draw = std::uint32_t(k);
      const std::vector<double> draw = flow.log_prob(piece.batch(), {noise});
      all.insert(all.end(), draw.begin(), draw.end());
      progress(double(k + 1) / draws);
    }
    Scores scores;
    for (int i = 0; i < n; ++i) {
      scores.log_prob.push_back(log_mean_exp(&all[i], draws, n));
      if (!std::isfinite(scores.log_prob.back())) {
        throw Error("the score of example " + std::to_string(piece.index[i]) +
                    " is not finite: the weights are damaged or the training diverged; use an earlier checkpoint");
      }
    }
    if (!details) return scores;
    for (const Flow::LedgerTerm& term : flow.ledger(piece.batch(), {NoiseStream{seed, NoisePurpose::kScoring, 0}})) {
      if (term.name == "base" || term.what.starts_with("split")) scores.parts.push_back(term.nats);
    }
    for (int i = 0; i < n && flow.takes_images(); ++i) {
      scores.complexity.push_back(complexity(std::span(piece.pixels).subspan(i * flow.dims(), flow.dims())));
    }
    return scores;
  }
};

/// The mean score of the first training examples, which typicality is measured from: -log p in nats. They are of the
/// data that the weights were trained on, or, where those do not say it, of `otherwise`.
double reference_score(const Scorer& scorer, const DatasetChoice& otherwise) {
  constexpr int kExamples = 256;
  const std::optional<Origin>& origin = scorer.flow.origin();
  const DatasetChoice choice = origin ? DatasetChoice{origin->data, origin->seed} : otherwise;
  Source train(scorer.flow, choice, Subset::kTrain, [](ExampleSet& set) { set.restrict_to(0, kExamples); });
  CountProgress progress("typical score", train.count());
  double sum = 0;
  std::size_t done = 0;
  for (ExamplePiece piece = train.next(); !piece.index.empty(); piece = train.next()) {
    const double n = double(piece.index.size());
    const Scores scores = Scorer{scorer.flow, scorer.seed, scorer.draws, false}(
        piece, [&](double share) { progress.update(double(done) + n * share); });
    for (const double nats : scores.log_prob) sum -= nats;
    done += piece.index.size();
  }
  return sum / double(done);
}

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

/// The table of scores, row by row.
class Table {
 public:
  Table(const std::string& path, const Scorer& scorer, double reference, bool sets)
      : file_(path), scorer_(scorer), reference_(reference), sets_(sets) {}

  /// Scores all of a source. Returns what is known of its examples, larger meaning less likely, by the names of
  /// columns.
  std::vector<std::pair<std::string, std::vector<double>>> add(Source& source, const std::string& set) {
    const Flow& flow = scorer_.flow;
    const double unit = flow.nats_per_unit();
    const std::string column = source.column();
    if (!begun_) write_header(column);
    std::vector<std::pair<std::string, std::vector<double>>> known;
    const auto keep = [&](std::size_t at, const std::string& name, double value) {
      if (known.size() <= at) known.emplace_back(name, std::vector<double>());
      known[at].second.push_back(value);
    };
    CountProgress progress(sets_ ? "scoring " + set : "scoring", source.count());
    std::size_t done = 0;
    for (ExamplePiece piece = source.next(); !piece.index.empty(); piece = source.next()) {
      const int n = int(piece.index.size());
      const Scores scores = scorer_(piece, [&](double share) { progress.update(double(done) + n * share); });
      std::string rows;
      for (int i = 0; i < n; ++i) {
        if (sets_) rows += csv_field(set) + ",";
        rows += std::to_string(piece.index[i]) + ",";
        if (!column_.empty()) rows += (column == column_ ? csv_field(source.field(piece, i)) : "") + ",";
        const double score = -scores.log_prob[i] / unit;
        rows += number(scores.log_prob[i]);
        if (flow.takes_images()) rows += "," + number(score);
        std::size_t at = 0;
        keep(at++, flow.takes_images() ? "bits_per_dim" : "nats", score);
        if (scorer_.details) {
          const double typicality = std::abs(score - reference_ / unit);
          for (std::size_t k = 0; k < scores.parts.size(); ++k) rows += "," + number(scores.parts[k][i]);
          rows += "," + number(typicality);
          keep(at++, "typicality", typicality);
          if (flow.takes_images()) {
            rows += "," + number(scores.complexity[i]) + "," + number(score - scores.complexity[i]);
            keep(at++, "complexity", scores.complexity[i]);
            keep(at++, "less_complexity", score - scores.complexity[i]);
          }
          for (std::size_t k = 0; k < scores.parts.size(); ++k) {
            keep(at++, "-" + latent_column(k), -scores.parts[k][i]);
          }
        }
        rows += "\n";
      }
      file_.write(rows);
      done += std::size_t(n);
    }
    count_ += done;
    return known;
  }

  void commit() { file_.commit(); }
  std::size_t count() const { return count_; }

 private:
  std::string latent_column(std::size_t k) const { return "log_p_" + scorer_.flow.latent_shapes()[k].first; }

  void write_header(const std::string& column) {
    column_ = column;
    begun_ = true;
    const bool images = scorer_.flow.takes_images();
    std::string header = std::string(sets_ ? "set," : "") + "index," + (column.empty() ? "" : column + ",") +
                         "log_prob" + (images ? ",bits_per_dim" : "");
    if (scorer_.details) {
      for (std::size_t k = 0; k < scorer_.flow.latent_shapes().size(); ++k) header += "," + latent_column(k);
      header += ",typicality";
      if (images) header += ",complexity,less_complexity";
    }
    file_.write(header + "\n");
  }

  AtomicFile file_;
  const Scorer& scorer_;
  double reference_;
  bool sets_;
  bool begun_ = false;
  std::string column_;
  std::size_t count_ = 0;
};

int score(const cxxopts::ParseResult& options) {
  scale_from(options);  // with its complaints
  require_alone(options, "images", {"split", "data", "limit", "offset"});
  const int samples = options["importance-samples"].as<int>();
  if (samples < 1) throw Error("--importance-samples must be 1 or more");
  const std::string csv = output_named(options["csv"].as<std::string>());  // first: what is said goes to stderr then
  const bool both = options.count("against") > 0;
  const std::string picture = output_from(options, "out", both ? "outliers.png" : "");
  if (!both && !picture.empty()) throw Error("--out is the chart of two kinds of data: name the other with --against");
  const std::string weights = weights_from(options);
  const std::string images = options.count("images") > 0 ? input_named(options["images"].as<std::string>()) : "";
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--csv", csv}, {"--out", picture}});
  require_kind({"--csv", csv}, ".csv");
  require_figure({"--out", picture});
  Flow flow = load_flow(weights, device_from(options));
  const Subset subset = parse_subset(options["split"].as<std::string>());
  const auto restrict = [&](ExampleSet& set) {
    naming_options("--offset and --limit",
                   [&] { set.restrict_to(options["offset"].as<std::int64_t>(), options["limit"].as<std::int64_t>()); });
  };
  // Both are opened before anything is scored.
  std::optional<Source> source, others;
  std::string name = images;
  DatasetChoice choice{flow.config().training().data, options["seed"].as<std::uint64_t>()};
  if (images.empty()) {
    choice = dataset_of(options, weights, flow);
    source.emplace(flow, choice, subset, restrict);
    name = choice.source;
  } else {
    source.emplace(flow, images, scale_from(options));
  }
  const std::string against = both ? options["against"].as<std::string>() : "";
  if (both) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(against, ignored)) {
      others.emplace(flow, against, scale_from(options));
    } else {
      others.emplace(flow, DatasetChoice{against, options["seed"].as<std::uint64_t>()}, subset, restrict);
    }
  }
  const Scorer scorer{flow, options["seed"].as<std::uint64_t>(), flow.takes_images() ? samples : 1,
                      both || options["details"].as<bool>()};
  Table table(csv, scorer, scorer.details ? reference_score(scorer, choice) : 0, both);
  const auto known = table.add(*source, name);
  std::vector<OutlierScore> outliers;
  if (both) {
    const auto of_others = table.add(*others, against);
    std::vector<std::vector<std::string>> rows;
    for (std::size_t k = 0; k < known.size(); ++k) {
      outliers.push_back({known[k].first, known[k].second, of_others[k].second});
      rows.push_back({known[k].first, number_text("%.4f", auroc(known[k].second, of_others[k].second))});
    }
    std::printf("%s are data, %s are others: AUROC of each score, 1 if it is always larger for the others\n\n",
                name.c_str(), against.c_str());
    print_table({{"Score", true}, {"AUROC"}}, rows);
    std::printf("\n");
  }
  table.commit();
  std::printf("%s scored: %s\n", counted(std::int64_t(table.count()), flow.takes_images() ? "image" : "row").c_str(),
              shown(csv).c_str());
  if (both) {
    write_figure(picture, outliers_figure(outliers, name, against));
    std::printf("histograms as a picture: %s\n", shown(picture).c_str());
  }
  say_passes(flow);
  return 0;
}

}  // namespace

int score_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith score",
      "Writes one row per example: its number, its file or label if it has one, log p in nats, and "
      "bits per dimension of images.\n\nWith --details also: log_p_NAME, the log-density of each latent in nats; "
      "typicality, how far the score is from the mean of training examples; complexity, what zlib takes for the image "
      "in bits/dim, and less_complexity, the score less that. A likely image may still be of another kind: see "
      "docs/math/outliers.md.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("images", kExampleFilesHelp, cxxopts::value<std::string>())
      ("scale", kScaleHelp, cxxopts::value<int>())
      ("split", "Without --images: test, val or train of --data", cxxopts::value<std::string>()->default_value("test"))
      ("data", "A dataset as flowsmith train takes it (default: what the weights were trained on)",
       cxxopts::value<std::string>())
      ("limit", "Score at most this many examples of the split; -1: all",
       cxxopts::value<std::int64_t>()->default_value("-1"))
      ("offset", "Leave out this many examples of the split first", cxxopts::value<std::int64_t>()->default_value("0"))
      ("importance-samples", "Noise samples per image; numbers need none", cxxopts::value<int>()->default_value("8"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("details", "More columns: the log-density of each latent, typicality and complexity (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("against", "Other data, as --data or a file as --images: both are scored, in a table with --details, and AUROC of "
       "each score and a chart say how well it parts them (default: none)", cxxopts::value<std::string>())
      ("out", "Chart of the scores of both (PNG or SVG) (default: outliers.png with --against)", cxxopts::value<std::string>())
      ("csv", "Table to write; - is stdout", cxxopts::value<std::string>()->default_value("-"));
  // clang-format on
  add_device_options(options);
  return run_tool("flowsmith score", options, argc, argv, score);
}

}  // namespace flowsmith::core
