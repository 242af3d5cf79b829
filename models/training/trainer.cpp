#include "models/training/trainer.h"

#include <algorithm>
#include <cmath>

#include "kernels/shuffle.h"
#include "models/files/weights.h"

namespace flowsmith::core {
namespace {

constexpr const char* kFirstMoment = "adam.m.";
constexpr const char* kSecondMoment = "adam.v.";

/// Examples that layers with values from data begin with: so many that their statistics are sure to a few percent,
/// whatever the batch size.
constexpr std::size_t kInitialExamples = 256;

}  // namespace

void require_valid(const TrainingOptions& options) {
  const auto check = [](bool good, const char* message) {
    if (!good) throw Error(message);
  };
  check(options.epochs >= 1 && options.epochs <= 1'000'000, "epochs must be 1 to 1000000");
  check(options.batch_size >= 1 && options.batch_size <= 65536, "the batch size must be 1 to 65536");
  check(std::isfinite(options.lr) && options.lr > 0, "the learning rate must be a positive number");
  check(std::isfinite(options.lr_decay) && options.lr_decay > 0,
        "the decay of the learning rate must be a positive number");
  check(std::isfinite(options.clip_norm) && options.clip_norm >= 0,
        "the clip norm must be 0 (none) or a positive number");
}

std::vector<std::uint32_t> epoch_order(const std::vector<std::uint32_t>& examples, std::uint64_t seed,
                                       std::uint32_t epoch) {
  std::vector<std::uint32_t> order = examples;
  shuffle(order, {seed, NoisePurpose::kShuffle, epoch});
  return order;
}

Trainer::Trainer(const TrainingOptions& options, TrainingData data, Device device)
    : options_(options), flow_(options.flow, device), step_(flow_, options.recompute), data_(std::move(data)) {
  require_valid(options);
  require(flow_.takes_images() ? data_.images != nullptr : data_.values != nullptr,
          flow_.takes_images() ? "this flow takes 8-bit images" : "this flow takes numbers, not 8-bit images");
  if (options.batch_size < 2 && flow_.uses_batch_statistics()) {
    throw Error("model " + flow_.config().name() +
                " has batch norms, which need at least two examples in a batch: choose a batch size of 2 or more");
  }
  steps_per_epoch_ = int(data_.index.size()) / options.batch_size;
  if (steps_per_epoch_ == 0) {
    throw Error("the training set of " + data_.name + " has " + std::to_string(data_.index.size()) +
                " examples, fewer than a batch: choose a batch of " + std::to_string(data_.index.size()) +
                " or less, or more data");
  }
  flow_.initialize(options.seed);
  if (!data_.mean.empty()) flow_.standardize(data_.mean, data_.deviation);
  load_epoch_order();
  if (flow_.needs_data()) {
    const Gathered first = gather(0, std::min(kInitialExamples, order_.size()));
    flow_.initialize_from(first.batch, {NoiseStream{options.seed, NoisePurpose::kTraining, 0}});
  }
}

Trainer::Gathered Trainer::gather(std::size_t begin, std::size_t n) const {
  const std::span<const std::uint32_t> numbers(&order_[begin], n);
  Gathered gathered;
  if (flow_.takes_images()) {
    gathered.pixels.resize(n * flow_.dims());
    data_.images(numbers, gathered.pixels);
  } else {
    gathered.values.resize(n * flow_.dims());
    data_.values(numbers, gathered.values);
  }
  gathered.batch = {gathered.pixels.data(), numbers.data(), int(n), gathered.values.data()};
  return gathered;
}

void Trainer::load_epoch_order() {
  order_ = epoch_order(data_.index, options_.seed, std::uint32_t(epoch_));
  staged_ = position_;
}

void Trainer::stage_next() {
  if (staged_ == steps_per_epoch_) return;
  const std::size_t begin = std::size_t(staged_) * options_.batch_size;
  Gathered& gathered = gathered_[staged_ % 3];
  gathered = gather(begin, options_.batch_size);
  step_.stage(gathered.batch, {NoiseStream{options_.seed, NoisePurpose::kTraining, std::uint32_t(epoch_)}});
  ++staged_;
}

void Trainer::launch() {
  if (staged_ == position_ + step_.under_way()) stage_next();
  step_.launch({.lr = learning_rate()}, options_.clip_norm);
  stage_next();
}

StepResult Trainer::step(bool ahead) {
  require(!epoch_done(), "the epoch is over: start the next one first");
  if (!is_ahead()) launch();
  // The host computes a step while it launches it.
  if (ahead && position_ + 1 < steps_per_epoch_ && !is_host(flow_.device())) launch();
  StepResult result;
  try {
    result = step_.finish();
  } catch (...) {
    staged_ = position_;  // whoever goes on begins with this batch again
    throw;
  }
  ++position_;
  epoch_sum_ += result.loss;
  return result;
}

void Trainer::start_next_epoch() {
  ++epoch_;
  position_ = 0;
  epoch_sum_ = 0;
  load_epoch_order();
}

double Trainer::learning_rate() const { return options_.lr * std::pow(options_.lr_decay, epoch_); }

double Trainer::epoch_loss() const { return epoch_sum_ / std::max(position_, 1); }

SafetensorsFile Trainer::checkpoint() const {
  require(!is_ahead(), "a step is under way: finish it first");
  SafetensorsFile file = weights_file(flow_);
  file.metadata["step"] = std::to_string(steps_done());
  file.metadata["epoch"] = std::to_string(epoch_);
  file.metadata["position"] = std::to_string(position_);
  file.metadata["epoch_sum"] = number_text(epoch_sum_);
  const Parameters& parameters = flow_.parameters();
  for (const auto& [prefix, span] :
       {std::pair{kFirstMoment, step_.adam().first_moment()}, std::pair{kSecondMoment, step_.adam().second_moment()}}) {
    for (NamedTensor& tensor : export_parameters(parameters, span, prefix)) file.tensors.push_back(std::move(tensor));
  }
  return file;
}

void Trainer::restore(const SafetensorsFile& file, const std::string& path) {
  if (!file.metadata.contains("epoch") && !file.metadata.contains("position")) {
    throw Error(path + ": this is a weight file, not a checkpoint to resume from");
  }
  const std::int64_t step = metadata_number<std::int64_t>(file, "step", path);
  const int epoch = metadata_number<int>(file, "epoch", path);
  const int position = metadata_number<int>(file, "position", path);
  const double epoch_sum = metadata_number<double>(file, "epoch_sum", path);
  if (epoch < 0 || position < 0 || position > steps_per_epoch_ ||
      step != std::int64_t(epoch) * steps_per_epoch_ + position) {
    throw Error(path + ": step, epoch and position do not fit together for this dataset and batch size");
  }
  if (!(config_of(file, path) == flow_.config()))
    throw Error(path + ": the checkpoint is of another model or image size");
  load_weights(flow_, file, path);
  import_parameters(flow_.parameters(), step_.adam().first_moment(), file, path, kFirstMoment);
  import_parameters(flow_.parameters(), step_.adam().second_moment(), file, path, kSecondMoment);
  step_.adam().set_step_count(step);
  epoch_ = epoch;
  position_ = position;
  epoch_sum_ = epoch_sum;
  load_epoch_order();
}

}  // namespace flowsmith::core
