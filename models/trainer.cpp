#include "models/trainer.h"

#include <algorithm>
#include <cmath>

#include "models/weights.h"

namespace flowsmith {
namespace {

constexpr const char* kFirstMoment = "adam.m.";
constexpr const char* kSecondMoment = "adam.v.";

ModelSpec sized(ModelSpec spec, const Dataset& dataset) {
  spec.height = dataset.rows;
  spec.width = dataset.cols;
  return spec;
}

}  // namespace

void require_valid(const TrainingOptions& options) {
  const auto check = [](bool good, const char* message) {
    if (!good) throw Error(message);
  };
  check(options.epochs >= 1 && options.epochs <= 1'000'000, "--epochs must be 1 to 1000000");
  check(options.batch_size >= 1 && options.batch_size <= 65536, "--batch-size must be 1 to 65536");
  check(std::isfinite(options.lr) && options.lr > 0, "--lr must be a positive number");
  check(std::isfinite(options.lr_decay) && options.lr_decay > 0, "--lr-decay must be a positive number");
  check(std::isfinite(options.clip_norm) && options.clip_norm >= 0,
        "--clip-norm must be 0 (none) or a positive number");
}

Trainer::Trainer(const TrainingOptions& options, const Dataset& dataset, Device device)
    : options_(options),
      flow_(sized(options.spec, dataset), device),
      step_(flow_, options.recompute),
      train_(select_images(dataset, Subset::kTrain, options.seed)),
      epoch_set_{&dataset.train.images, {}},
      validation_(select_images(dataset, Subset::kValidation, options.seed)) {
  require_valid(options);
  if (validation_.index.empty()) {
    throw Error(dataset.name + " has " + std::to_string(dataset.train.count) +
                " training images: at least 6 are needed, of which a sixth is for validation");
  }
  steps_per_epoch_ = int(train_.index.size()) / options.batch_size;
  if (steps_per_epoch_ == 0) {
    throw Error("the training set of " + dataset.name + " has " + std::to_string(train_.index.size()) +
                " images, fewer than a batch: choose --batch-size " + std::to_string(train_.index.size()) +
                " or less, or more data");
  }
  flow_.initialize(options.seed);
  load_epoch_order();
}

void Trainer::load_epoch_order() {
  epoch_set_.index = epoch_order(train_.index, options_.seed, std::uint32_t(epoch_));
  staged_ = position_;
}

void Trainer::stage_next() {
  if (staged_ == steps_per_epoch_) return;
  const std::size_t begin = std::size_t(staged_) * options_.batch_size;
  std::vector<std::uint8_t>& pixels = pixels_[staged_ % 3];
  pixels = gather(epoch_set_, flow_.dims(), begin, options_.batch_size);
  step_.stage({pixels.data(), &epoch_set_.index[begin], options_.batch_size},
              {NoiseStream{options_.seed, NoisePurpose::kTraining, std::uint32_t(epoch_)}});
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
  epoch_sum_ += result.bits_per_dim;
  return result;
}

void Trainer::start_next_epoch() {
  ++epoch_;
  position_ = 0;
  epoch_sum_ = 0;
  load_epoch_order();
}

double Trainer::learning_rate() const { return options_.lr * std::pow(options_.lr_decay, epoch_); }

double Trainer::epoch_bits_per_dim() const { return epoch_sum_ / std::max(position_, 1); }

SafetensorsFile Trainer::checkpoint() const {
  require(!is_ahead(), "a step is under way: finish it first");
  SafetensorsFile file{model_metadata(flow_.spec()), {}};
  file.metadata["step"] = std::to_string(steps_done());
  file.metadata["epoch"] = std::to_string(epoch_);
  file.metadata["position"] = std::to_string(position_);
  file.metadata["epoch_sum"] = number_text(epoch_sum_);
  const Parameters& parameters = flow_.parameters();
  file.tensors = export_parameters(parameters, parameters.values());
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
  if (recognise_model(file, path) != flow_.spec())
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

}  // namespace flowsmith
