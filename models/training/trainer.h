// Training state: weights, Adam, and the place in the data. Everything else (data order, noise, learning rate) follows
// from the seed and the place, so a restored trainer goes on to the same bits as one that never stopped.
#pragma once

#include "data/dataset.h"
#include "models/training/evaluation.h"
#include "models/training/training_step.h"

namespace flowsmith {

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

class Trainer {
 public:
  /// Starts with new weights; layers that need data to begin with see the first examples of the first epoch. The
  /// dataset must outlive the trainer. Throws Error if the training set has fewer examples than a batch or the model
  /// does not take them.
  Trainer(const TrainingOptions& options, const Dataset& dataset, Device device);
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
  std::size_t training_examples() const { return train_.index.size(); }
  const ExampleSet& validation_set() const { return validation_; }

  /// Gives memory back that only steps need, until the next one.
  void give_back() { step_.give_back(); }

  /// Everything a resume needs, weights first: the file is a weight file too.
  SafetensorsFile checkpoint() const;
  /// Throws Error naming `path` if the file is not a checkpoint of this model and these options.
  void restore(const SafetensorsFile& file, const std::string& path);

 private:
  void load_epoch_order();
  /// Hands the batch behind the last one to the step, if the epoch has one.
  void stage_next();
  void launch();

  TrainingOptions options_;
  Flow flow_;
  TrainingStep step_;
  ExampleSet train_;      ///< in file order of the split
  ExampleSet epoch_set_;  ///< in the order of this epoch
  ExampleSet validation_;
  int steps_per_epoch_ = 0;
  int epoch_ = 0, position_ = 0;
  int staged_ = 0;             ///< batches of this epoch that the step has been handed
  GatheredBatch gathered_[3];  ///< of two steps under way and of the next
  double epoch_sum_ = 0;       ///< of the steps' bits/dim
};

}  // namespace flowsmith
