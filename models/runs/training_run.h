// A whole training run in a folder: steps, validation, checkpoints, metrics and samples, until the epochs are done, a
// limit is reached, or somebody asks it to stop.
#pragma once

#include <atomic>

#include "models/runs/run_folder.h"

namespace flowsmith::core {

struct RunLimits {
  double max_minutes = 0;         ///< of this call, the closing scores included; 0: no limit
  std::int64_t max_steps = 0;     ///< steps of the whole run, earlier calls included; 0: no limit
  double snapshot_seconds = 120;  ///< longest time between two checkpoints while training: what a power cut can cost
  std::int64_t frame_steps = 0;   ///< a picture of samples is kept every so many steps, for a film; 0: none
};

struct TrainingProgress {
  std::string phase;                   ///< "training", "validation", "test", "samples"
  double share = 0;                    ///< of this call's training, or of the phase, that is done: 0 to 1
  std::int64_t done = 0, total = 0;    ///< steps of the run, or examples of a validation, test or picture
  int epoch = 0, epochs = 0;           ///< counted from 1
  double loss = 0, gradient_norm = 0;  ///< of the last step
  double images_per_second = 0;
  double eta_seconds = 0;  ///< until the limit, or the end of the run or phase
};

/// Where a run talks to people.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void message(const std::string& line) = 0;
  virtual void progress(const TrainingProgress& progress) = 0;  ///< after every step or batch
};

struct Score {
  double mean = 0, standard_error = 0;
  std::size_t examples = 0;
  std::size_t all = 0;  ///< examples of the set, of which the first were scored
};

struct RunSummary {
  bool interrupted = false;  ///< `stop` was set
  std::int64_t steps_done = 0;
  std::optional<Score> validation;  ///< of the weights at the end; not after an interruption
  std::optional<Score> test;        ///< of best.safetensors, one noise sample per image
  std::string samples;              ///< the last grid
};

/// Starts the run of `config` in the claimed folder, or goes on with the one that is there. Sets config's image size
/// from the dataset. `stop` may be set at any time, also by a signal handler: the step in hand is finished and a
/// checkpoint written. A run that ends at a limit, not with its last epoch, is scored on the first 1000 validation and
/// test examples, so that the same call gives the same figures. Throws Error for bad options, data or files, and at a
/// loss or gradient that is not finite, and when a GPU fails; the last checkpoint then stays as it was.
RunSummary run_training(RunConfig config, const RunClaim& claim, bool resume, const RunLimits& limits, Device device,
                        const std::atomic<bool>& stop, TrainingObserver& observer);

}  // namespace flowsmith::core
