// Training state: weights, Adam, and the place in the data. Everything else (data order, noise, learning rate) follows
// from the seed and the place, so a restored trainer goes on to the same bits as one that never stopped.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/column_statistics.h"
#include "models/training/training_step.h"

namespace flowsmith::core {

struct TrainingOptions {
  FlowConfig flow = FlowConfig::named("multiscale");
  int epochs = 200;
  int batch_size = 128;
  double lr = 1e-3;        ///< of the first epoch
  double lr_decay = 0.99;  ///< factor per epoch
  double clip_norm = 1.0;  ///< 0: no clipping
  std::uint64_t seed = 42;
  bool recompute = false;  ///< see TrainingStep
};

/// Throws Error that names the option unless every value makes sense.
void require_valid(const TrainingOptions& options);

/// What a flow learns from: examples that somebody keeps, and hands out by number. One of the two functions is needed,
/// the one for what the flow takes. Each writes the examples of these numbers, one after the other.
struct TrainingData {
  std::string name;                  ///< in messages: "mnist"
  std::vector<std::uint32_t> index;  ///< numbers of the examples to learn from; the number keys an example's noise
  std::function<void(std::span<const std::uint32_t> numbers, std::span<std::uint8_t> pixels)> images = nullptr;
  FetchRows values = nullptr;
  std::vector<double> mean = {}, deviation = {};  ///< of each column, for a flow whose data are standardized
};

/// The examples in the order of this epoch, a permutation fixed by seed and epoch.
std::vector<std::uint32_t> epoch_order(const std::vector<std::uint32_t>& examples, std::uint64_t seed,
                                       std::uint32_t epoch);

class Trainer {
 public:
  /// Starts with new weights; layers that need data to begin with see the first examples of the first epoch. Throws
  /// Error if there are fewer examples than a batch, and passes on what `data` throws.
  Trainer(const TrainingOptions& options, TrainingData data, Device device);
  Trainer(const Trainer&) = delete;  // the training step holds on to the flow beside it
  Trainer& operator=(const Trainer&) = delete;

  /// The next batch of the epoch. Throws Error at a loss or gradient that is not finite, before any weight changes.
  /// `ahead` lets a GPU begin the step behind this one before this one's result is read; until that one is done too,
  /// nobody may ask for weights or a checkpoint.
  StepResult step(bool ahead = false);
  /// A GPU is at the next step already.
  bool is_ahead() const { return step_.under_way() > 0; }

  std::int64_t steps_done() const { return step_.adam().step_count(); }
  int epoch() const { return epoch_; }        ///< from 0
  int position() const { return position_; }  ///< steps done in this epoch
  int steps_per_epoch() const { return steps_per_epoch_; }
  std::int64_t total_steps() const { return std::int64_t(options_.epochs) * steps_per_epoch_; }
  bool epoch_done() const { return position_ == steps_per_epoch_; }
  void start_next_epoch();
  double learning_rate() const;
  double drift() const { return step_.drift(); }  ///< of the last step; see TrainingStep
  double epoch_loss() const;                      ///< mean of the steps done in this epoch

  Flow& flow() { return flow_; }
  const Flow& flow() const { return flow_; }
  std::size_t training_examples() const { return data_.index.size(); }

  /// Gives memory back that only steps need, until the next one.
  void give_back() { step_.give_back(); }

  /// Everything a resume needs, weights first: the file is a weight file too.
  SafetensorsFile checkpoint() const;
  /// Throws Error naming `path` if the file is not a checkpoint of this model and these options.
  void restore(const SafetensorsFile& file, const std::string& path);

 private:
  /// Some examples of an epoch, in memory of their own.
  struct Gathered {
    std::vector<std::uint8_t> pixels;
    std::vector<double> values;
    Batch batch;
  };
  /// Examples begin ... begin + n - 1 of the epoch.
  Gathered gather(std::size_t begin, std::size_t n) const;
  void load_epoch_order();
  /// Hands the batch behind the last one to the step, if the epoch has one.
  void stage_next();
  void launch();

  TrainingOptions options_;
  Flow flow_;
  TrainingStep step_;
  TrainingData data_;
  std::vector<std::uint32_t> order_;  ///< of the examples in this epoch
  int steps_per_epoch_ = 0;
  int epoch_ = 0, position_ = 0;
  int staged_ = 0;        ///< batches of this epoch that the step has been handed
  Gathered gathered_[3];  ///< of two steps under way and of the next
  double epoch_sum_ = 0;  ///< of the steps' bits/dim
};

}  // namespace flowsmith::core
