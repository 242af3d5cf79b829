#include "models/runs/training_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/event_file.h"
#include "data/toys.h"
#include "engine/text.h"
#include "kernels/error.h"
#include "models/files/weights.h"
#include "models/runs/evaluation.h"
#include "models/runs/pictures.h"

namespace flowsmith::core {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int kStepsBeforeEstimate = 3;         // the first lays out memory
constexpr std::size_t kClosingExamples = 1000;  // that a run which ends at a limit is scored on, of each set
constexpr const char* kOldValidationKey = "validation_bits_per_dim";  // of earlier versions, whatever the unit

std::string duration_text(double seconds) {
  char text[48];
  if (seconds < 120) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else if (seconds < 2 * 3600) {
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  } else if (seconds < 48 * 3600) {
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  } else {
    std::snprintf(text, sizeof text, "%.1f days", seconds / 86400);
  }
  return text;
}

DatasetOptions dataset_options(const RunConfig& config) {
  DatasetOptions options = dataset_options(config.training.flow, config.data, config.training.seed);
  options.channels = config.channels;  // the flow's channels follow the dataset's
  options.noise = config.noise;
  return options;
}

/// One run while it runs. The members are in the order in which they are needed.
class Run {
 public:
  Run(const RunConfig& config, const RunFolder& folder, bool resume, const RunLimits& limits, Device device,
      const std::atomic<bool>& stop, TrainingObserver& observer)
      : config_(config),
        folder_(folder),
        limits_(limits),
        device_(device),
        stop_(stop),
        observer_(observer),
        dataset_(load_dataset(dataset_options(config))),
        trainer_(trainer_for(config.training, dataset_, device)),
        validation_set_(select_examples(dataset_, Subset::kValidation, config.training.seed)) {
    config_.training.flow = trainer_.flow().config();
    // The points of a toy are drawn anew, and may differ in their last digits on another machine.
    const std::string found = find_toy(config_.data) ? "" : checksum(dataset_);
    if (resume && !config_.checksum.empty() && found != config_.checksum) {
      throw Error(config_.data + ": these are not the data that the run in " + folder.path() +
                  " began with (checksum " + found + " instead of " + config_.checksum + "): give it those");
    }
    config_.checksum = found;
    if (resume) {
      trainer_.restore(read_safetensors(folder.last()), folder.last());
      folder.write_config(config_);
      best_ = best_on_disk();
    } else {
      folder.create(config_, with_origin(trainer_.checkpoint()));
    }
    metrics_.emplace(folder.metrics(), trainer_.flow().unit(), trainer_.steps_done(), trainer_.position());
    events_.emplace(folder.path(), resume ? std::optional(trainer_.steps_done() + 1) : std::nullopt);
  }

  RunSummary run() {
    const auto failure = [&](const GpuError& error) {
      return "the GPU failed after step " + std::to_string(trainer_.steps_done()) + ": " + error.what() +
             "; resume from the last checkpoint in " + folder_.path();
    };
    try {
      return train();
    } catch (const OutOfMemory&) {
      // A run without a step leaves its folder to the next try, with a smaller batch.
      if (trainer_.steps_done() == 0) {
        folder_.withdraw();
        std::error_code ignored;
        std::filesystem::remove(events_->path(), ignored);
      }
      throw;
    } catch (const ConvLibraryError& error) {
      throw ConvLibraryError(failure(error));
    } catch (const GpuError& error) {
      throw Error(failure(error));
    }
  }

 private:
  RunSummary train() {
    if (trainer_.steps_done() > 0) observer_.message("resuming at step " + std::to_string(trainer_.steps_done()));
    observer_.message(std::to_string(trainer_.training_examples()) + " training and " +
                      counted(std::int64_t(validation_set_.index.size()),
                              trainer_.flow().takes_images() ? "validation image" : "validation row") +
                      ", run folder " + folder_.path());
    if (!dataset_.note.empty()) observer_.message(dataset_.note);
    draw_training_examples();
    draw_samples(trainer_.flow(), folder_.sample_grid(trainer_.steps_done()));
    if (frame_is_due(trainer_.steps_done())) draw_frame();
    last_snapshot_ = Clock::now();
    bool validated = false;
    while (trainer_.epoch() < config_.training.epochs) {
      if (trainer_.epoch_done()) {
        validated = close_epoch();
        if (!validated) return finish_interrupted();
        continue;
      }
      if (!trainer_.is_ahead()) {
        if (stop_) return finish_interrupted();
        if (limit_reached()) break;
      }
      train_one_step();
      validated = false;
      if (!trainer_.is_ahead() && frame_is_due(trainer_.steps_done())) draw_frame();
      if (!trainer_.is_ahead() && snapshot_is_due()) take_snapshot();
    }
    return finish(validated);
  }

  std::string name_of(const std::string& set) const { return score_name(set, trainer_.flow().unit()); }

  bool snapshot_is_due() const { return seconds_since(last_snapshot_) + step_seconds_ > limits_.snapshot_seconds; }

  /// Nothing but training is to happen between the next two steps, as far as can be said now.
  bool may_go_ahead() const {
    return !stop_ && !snapshot_is_due() && !frame_is_due(trainer_.steps_done() + 1) && !limit_reached() &&
           trainer_.steps_done() + 2 <= last_step();
  }

  std::int64_t last_step() const {
    return limits_.max_steps > 0 ? std::min(limits_.max_steps, trainer_.total_steps()) : trainer_.total_steps();
  }

  bool limit_reached() const {
    if (trainer_.steps_done() >= last_step()) return true;
    return limits_.max_minutes > 0 && seconds_since(start_) + closing_seconds() > 60 * limits_.max_minutes;
  }

  /// Of a time limit, what the last checkpoint, the closing scores and a picture will take: about a third of a step's
  /// time per example to score or to draw it, as there is no way back, and as long again to be safe.
  double closing_seconds() const {
    const double per_example = step_seconds_ / config_.training.batch_size / 3;
    const std::size_t examples = std::min(kClosingExamples, validation_set_.index.size()) + kClosingExamples;
    return std::min(2 * per_example * double(examples), 60 * limits_.max_minutes / 2);
  }

  /// Examples that are scored or drawn at a time.
  int batch() const { return at_most(std::min(config_.training.batch_size, kMostSamples), trainer_.flow(), 1); }

  void train_one_step() {
    const Clock::time_point begin = Clock::now();
    const double lr = trainer_.learning_rate();
    const StepResult result = trainer_.step(may_go_ahead());
    const double seconds = seconds_since(begin);
    // A running mean: one step's time jumps about on a shared machine.
    step_seconds_ =
        step_seconds_ == 0 || steps_here_ < kStepsBeforeEstimate ? seconds : 0.9 * step_seconds_ + 0.1 * seconds;
    ++steps_here_;
    const std::int64_t step = trainer_.steps_done();
    const double rate = config_.training.batch_size / step_seconds_;
    metrics_->write({step, trainer_.epoch() + 1, result.loss, {}, {}, result.gradient_norm, lr, rate});
    events_->add_scalar(name_of("train"), step, float(result.loss));
    events_->add_scalar("gradient_norm", step, float(result.gradient_norm));
    events_->add_scalar("learning_rate", step, float(lr));
    events_->add_scalar(trainer_.flow().takes_images() ? "images_per_second" : "rows_per_second", step, float(rate));
    events_->flush();
    if (steps_here_ == kStepsBeforeEstimate) say_what_a_full_run_takes();
    double eta = double(last_step() - step) * step_seconds_;
    double share = double(steps_here_) / double(std::max<std::int64_t>(last_step() - step + steps_here_, 1));
    if (limits_.max_minutes > 0) {
      const double limit = 60 * limits_.max_minutes;
      eta = std::min(eta, limit - seconds_since(start_));
      share = std::max(share, seconds_since(start_) / limit);
    }
    observer_.progress({"training", share, step, trainer_.total_steps(), trainer_.epoch() + 1, config_.training.epochs,
                        result.loss, result.gradient_norm, rate, std::max(eta, 0.0)});
  }

  void say_what_a_full_run_takes() {
    const std::int64_t left = trainer_.total_steps() - trainer_.steps_done();
    char text[64];
    std::snprintf(text, sizeof text, "%.2f s per step", step_seconds_);
    const bool limited = limits_.max_minutes > 0 || limits_.max_steps > 0;
    const std::string of_all = ": the steps of all " + counted(config_.training.epochs, "epoch") + " (" +
                               std::to_string(left) + " left) would take about " +
                               duration_text(double(left) * step_seconds_) + " on this machine";
    observer_.message(text + (limited ? "" : of_all) + ". Ctrl-C stops safely at any time.");
  }

  /// Validates, keeps the best weights and moves on; false if stopped on the way.
  bool close_epoch() {
    const int epoch = trainer_.epoch() + 1;
    take_snapshot();
    const double train = trainer_.epoch_loss();
    const Score score = validate(validation_set_.index.size());
    if (stop_) return false;
    validation_ = score;
    log_validation(score, epoch);
    keep_if_best(score);
    char text[160];
    std::snprintf(text, sizeof text, "epoch %d: training %.4f, validation %.4f %s%s", epoch, train, score.mean,
                  trainer_.flow().unit().c_str(), best_ == score.mean ? " (best)" : "");
    observer_.message(text);
    say_drift();
    say_expansion();
    trainer_.start_next_epoch();
    take_snapshot();
    return true;
  }

  void log_validation(const Score& score, int epoch) {
    metrics_->write({trainer_.steps_done(), epoch, {}, score.mean, {}, {}, {}, {}});
    events_->add_scalar(name_of("val"), trainer_.steps_done(), float(score.mean));
  }

  Score validate(std::size_t count) {
    ExampleSet set = validation_set_;
    set.restrict_to(0, std::int64_t(count));
    Score result = score(trainer_.flow(), set, {config_.training.seed, NoisePurpose::kValidation, 0}, "validation");
    result.all = validation_set_.index.size();
    return result;
  }

  /// One noise sample per image: the bound that training lowers.
  Score score(Flow& flow, const ExampleSet& set, NoiseStream noise, const std::string& phase) {
    const Clock::time_point begin = Clock::now();
    const Evaluation result = evaluate(flow, set, {1, batch(), noise}, [&](double done) {
      say_progress(phase, begin, done, double(set.index.size()));
      return !stop_;
    });
    return {result.score, result.standard_error, result.examples, set.index.size()};
  }

  /// Of `total` examples of a phase that began at `begin`.
  void say_progress(const std::string& phase, Clock::time_point begin, double done, double total) {
    const double rate = done / seconds_since(begin);
    observer_.progress({phase, done / total, std::int64_t(done), std::int64_t(total), trainer_.epoch() + 1,
                        config_.training.epochs, 0, 0, rate, (total - done) / rate});
  }

  void keep_if_best(const Score& score) {
    if (best_ && *best_ <= score.mean) return;
    SafetensorsFile file = with_origin(weights_file(trainer_.flow()));
    // A score of fewer images is no match for those of later epochs: the file then goes without one.
    const bool full = score.examples == validation_set_.index.size();
    if (full) file.metadata[name_of("val")] = number_text(score.mean);
    file.metadata["step"] = std::to_string(trainer_.steps_done());
    write_safetensors(folder_.best(), file);
    if (full) best_ = score.mean;
  }

  /// The file with what its weights were trained on (models/files/weights.h).
  SafetensorsFile with_origin(SafetensorsFile file) const {
    set_origin(file, {config_.data, config_.training.seed});
    return file;
  }

  std::optional<double> best_on_disk() const {
    if (!std::filesystem::exists(folder_.best())) return std::nullopt;
    const SafetensorsFile file = read_safetensors(folder_.best());
    for (const std::string& key : {name_of("val"), std::string(kOldValidationKey)}) {
      if (file.metadata.contains(key)) return metadata_number<double>(file, key, folder_.best());
    }
    return std::nullopt;
  }

  /// Looks at the last step only: a GPU has to be waited for.
  void measure_drift() {
    const bool stepped = steps_here_ > 0 && trainer_.position() > 0;  // since the last snapshot
    if (!config_.training.recompute || !stepped) return;
    const double drift = trainer_.drift();
    events_->add_scalar("drift", trainer_.steps_done(), float(drift));
    largest_drift_ = std::max(largest_drift_, drift);
  }

  void say_drift() {
    if (!config_.training.recompute || steps_here_ == 0) return;
    char text[160];
    std::snprintf(text, sizeof text, "recompute: rebuilt inputs of couplings were off by %.1e at most", largest_drift_);
    observer_.message(text);
  }

  /// How near couplings are to the bound of their log-determinant, and linear layers to a matrix that has no inverse.
  void say_expansion() {
    Flow& flow = trainer_.flow();
    const ExampleSet& set = validation_set_;
    const GatheredBatch some = gather_batch(flow, set, 0, std::min<std::size_t>(batch(), set.index.size()));
    const NoiseStream noise{config_.training.seed, NoisePurpose::kValidation, 0};
    const std::vector<Flow::BoundedLogdet> bounded = flow.bounded_logdets(some.batch(), {noise});
    char text[200];
    if (!bounded.empty()) {
      const auto share = [](const Flow::BoundedLogdet& b) { return b.mean / b.largest; };
      const auto nearest = std::max_element(bounded.begin(), bounded.end(),
                                            [&](const auto& a, const auto& b) { return share(a) < share(b); });
      std::snprintf(text, sizeof text, "couplings expand by at most %.1f %% of what their bound allows (%s)",
                    100 * share(*nearest), nearest->name.c_str());
      observer_.message(text);
      events_->add_scalar("share_of_logdet_bound", trainer_.steps_done(), float(share(*nearest)));
    }
    double condition = 0;
    for (const Flow::LayerInfo& layer : flow.layers())
      condition = std::max(condition, layer.condition_number.value_or(0));
    if (condition > 0) {
      std::snprintf(text, sizeof text, "largest condition number of a linear layer: %.3g", condition);
      observer_.message(text);
      events_->add_scalar("condition_number", trainer_.steps_done(), float(condition));
    }
  }

  void take_snapshot() {
    measure_drift();
    save_checkpoint();
    draw_samples(trainer_.flow(), folder_.sample_grid(trainer_.steps_done()));
    last_snapshot_ = Clock::now();
  }

  /// Never replaces a good checkpoint by weights that have diverged since.
  void save_checkpoint() {
    Flow& flow = trainer_.flow();
    const ExampleSet& set = validation_set_;
    const GatheredBatch some = gather_batch(flow, set, 0, std::min<std::size_t>(batch(), set.index.size()));
    const NoiseStream noise{config_.training.seed, NoisePurpose::kValidation, 0};
    if (const auto where = flow.find_non_finite(some.batch(), {noise}, DType::kF64)) {
      throw Error("after step " + std::to_string(trainer_.steps_done()) + " the flow is not finite, first at " +
                  *where + ": " + folder_.last() +
                  " keeps the last good checkpoint; start a new run with a smaller learning rate");
    }
    write_safetensors(folder_.last(), with_origin(trainer_.checkpoint()));
  }

  void draw_training_examples() {
    if (std::filesystem::exists(folder_.training_examples())) return;
    if (const auto picture = picture_of_examples(trainer_.flow(), dataset_, config_.training.seed)) {
      write_file_atomically(folder_.training_examples(), encode_png(*picture));
    }
  }

  /// Samples of the flow; nothing if it has no picture of them, if somebody asks the run to stop, who does not wait for
  /// them, or if they are not finite, which is said.
  std::optional<Image> samples_of(Flow& flow, std::optional<PlotSquare> square = std::nullopt) {
    const Clock::time_point begin = Clock::now();
    const auto progress = [&](int done, int count) {
      say_progress("samples", begin, done, count);
      return !stop_;
    };
    try {
      return picture_of_samples(flow, {config_.training.seed, batch(), square, progress});
    } catch (const NotFinite& error) {
      // Its scores may be fine, and more training may help.
      observer_.message("no picture of samples after step " + std::to_string(trainer_.steps_done()) + ": " +
                        error.what());
      return std::nullopt;
    }
  }

  void draw_samples(Flow& flow, const std::string& path) {
    const std::optional<Image> picture = samples_of(flow);
    if (!picture || stop_) return;
    const std::vector<std::byte> png = encode_png(*picture);
    write_file_atomically(path, png);
    if (events_) {
      events_->add_image("samples", trainer_.steps_done(), picture->rows, picture->cols, png, picture->channels);
      events_->flush();
    }
    samples_ = path;
  }

  bool frame_is_due(std::int64_t step) const { return limits_.frame_steps > 0 && step % limits_.frame_steps == 0; }

  /// A picture for the film of the run. Points in the plane are shown in the square of the data, which stays.
  void draw_frame() {
    Flow& flow = trainer_.flow();
    const bool plane = !flow.takes_images() && flow.dims() == 2;
    const auto picture =
        samples_of(flow, plane ? std::optional(square_of_examples(dataset_, config_.training.seed)) : std::nullopt);
    if (!picture) return;
    folder_.make_frames();
    write_file_atomically(folder_.frame(trainer_.steps_done()), encode_png(*picture));
  }

  RunSummary finish_interrupted() {
    take_snapshot();
    say_drift();
    return {true, trainer_.steps_done(), {}, {}, samples_};
  }

  /// The closing scores: of all examples after a full run, of the first ones of each set after one that was cut short.
  RunSummary finish(bool validated) {
    if (!validated) take_snapshot();
    say_drift();
    trainer_.give_back();  // the closing passes take memory of their own
    const bool complete = trainer_.epoch() >= config_.training.epochs;
    const auto closing = [&](const ExampleSet& set) {
      return complete ? set.index.size() : std::min(kClosingExamples, set.index.size());
    };
    const std::size_t validation_size = validation_set_.index.size();
    if (!validated && !stop_) {
      const Score score = validate(closing(validation_set_));
      validation_ = score;
      // That of a whole epoch stands there since the epoch's end.
      const bool logged = trainer_.position() == 0 && trainer_.steps_done() > 0;
      if (!stop_ && !logged) log_validation(score, trainer_.epoch() + 1);
      // A score of fewer images is no match for a full one: it only counts if there is no other.
      if (!stop_ && (score.examples == validation_size || !best_)) keep_if_best(score);
    }
    if (stop_) return {true, trainer_.steps_done(), {}, {}, samples_};

    Flow best = Flow::load(folder_.best(), device_);
    const ExampleSet test = select_examples(dataset_, Subset::kTest, config_.training.seed);
    ExampleSet some = test;
    some.restrict_to(0, std::int64_t(closing(test)));
    Score test_score = score(best, some, {config_.training.seed, NoisePurpose::kScoring, 0}, "test");
    test_score.all = test.index.size();
    if (stop_) return {true, trainer_.steps_done(), {}, {}, samples_};
    log_test(test_score);
    draw_samples(best, folder_.path() + "/samples/best.png");
    return {bool(stop_), trainer_.steps_done(), validation_, test_score, samples_};
  }

  void log_test(const Score& test) {
    const int epoch = std::min(trainer_.epoch() + 1, config_.training.epochs);
    metrics_->write({trainer_.steps_done(), epoch, {}, {}, test.mean, {}, {}, {}});
    events_->add_scalar(name_of("test"), trainer_.steps_done(), float(test.mean));
    events_->flush();
    SafetensorsFile weights = read_safetensors(folder_.best());
    weights.metadata[name_of("test")] = number_text(test.mean);
    write_safetensors(folder_.best(), weights);

    nlohmann::ordered_json results{{"step", trainer_.steps_done()},
                                   {"epoch", epoch},
                                   {"weights", "best.safetensors"},
                                   {"device", describe_device(device_)}};
    const auto add = [&](const std::string& set, const Score& score) {
      results[name_of(set)] = {{"mean", score.mean},
                               {"standard_error", score.standard_error},
                               {"examples", score.examples},
                               {"of", score.all}};
    };
    if (validation_) add("val", *validation_);
    add("test", test);
    write_file_atomically(folder_.results(), results.dump(2) + "\n");
  }

  const Clock::time_point start_ = Clock::now();
  RunConfig config_;
  const RunFolder& folder_;
  const RunLimits& limits_;
  Device device_;
  const std::atomic<bool>& stop_;
  TrainingObserver& observer_;
  Dataset dataset_;
  Trainer trainer_;
  ExampleSet validation_set_;
  std::optional<MetricsLog> metrics_;
  std::optional<EventFile> events_;
  std::optional<double> best_;       ///< validation bits/dim of best.safetensors
  std::optional<Score> validation_;  ///< the last one
  std::string samples_;
  Clock::time_point last_snapshot_;
  double step_seconds_ = 0;
  int steps_here_ = 0;
  double largest_drift_ = 0;  ///< of the steps before checkpoints
};

}  // namespace

RunSummary run_training(RunConfig config, const RunClaim& claim, bool resume, const RunLimits& limits, Device device,
                        const std::atomic<bool>& stop, TrainingObserver& observer) {
  return Run(config, claim.folder(), resume, limits, device, stop, observer).run();
}

}  // namespace flowsmith::core
