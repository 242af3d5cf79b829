// Maximum-likelihood training of a flow: Adam on the mean of -log p(x), batch by batch.
//
// Example:
//   flowsmith::Trainer trainer("moons", rows);                     // n x 2 doubles that stay where they are
//   while (!trainer.done()) std::printf("%f\n", trainer.step().loss);
//   trainer.flow().save("moons.safetensors");
#pragma once

#include <functional>

#include "flowsmith/flow.h"

namespace flowsmith {

/// What is not given is as the configuration says.
struct TrainingOptions {
  std::optional<int> epochs = {};
  std::optional<int> batch_size = {};
  std::optional<double> lr = {};         ///< of the first epoch
  std::optional<double> lr_decay = {};   ///< factor per epoch
  std::optional<double> clip_norm = {};  ///< largest norm of a gradient; 0: any
  std::uint64_t seed = 42;               ///< of weights, order and noise
  bool recompute = false;                ///< less memory for a third more work: activations are rebuilt from outputs
};

struct StepResult {
  double loss = 0;           ///< mean over the batch before the update: bits per dimension of images, nats of numbers
  double gradient_norm = 0;  ///< before clipping
};

/// Writes the examples of these numbers, 0 to count - 1, one after the other. What it throws comes out of step().
using ImageSource = std::function<void(std::span<const std::uint32_t> numbers, std::span<std::uint8_t> images)>;
using RowSource = std::function<void(std::span<const std::uint32_t> numbers, std::span<double> rows)>;

/// One training. The same options, data and number of steps give the same weights, bit for bit, on one kind of
/// processor with any number of threads, and whether it was resumed or not. For one thread at a time.
class FLOWSMITH_API Trainer {
 public:
  /// Data that the caller keeps while the trainer lives. `config` is a name of config_names() or a JSON text, whose
  /// shape is that of the data (config_for). Error kInvalidInput if the data are not whole examples, fewer than a
  /// batch, or not what the flow takes.
  Trainer(const std::string& config, std::span<const std::uint8_t> images, const TrainingOptions& options = {},
          const Context& context = {});
  Trainer(const std::string& config, std::span<const double> rows, const TrainingOptions& options = {},
          const Context& context = {});
  /// `count` examples that a function hands out.
  Trainer(const std::string& config, std::size_t count, ImageSource images, const TrainingOptions& options = {},
          const Context& context = {});
  Trainer(const std::string& config, std::size_t count, RowSource rows, const TrainingOptions& options = {},
          const Context& context = {});

  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  /// The next batch; a new epoch begins by itself, and training may go on after done(). Error kNotFinite, and weights
  /// as they were, where loss or gradient is not finite.
  StepResult step();
  bool done() const;  ///< all epochs are
  std::int64_t steps_done() const;
  std::int64_t total_steps() const;
  int steps_per_epoch() const;
  double learning_rate() const;  ///< of the next step

  /// The flow as it is now: it follows the steps, and must not be used while one runs.
  const Flow& flow() const;

  /// Writes all that resume() needs, whole or not at all; the file is a weight file too.
  void checkpoint(const std::string& path) const;
  /// Goes on from a checkpoint of the same configuration, data size and batch size. Error kFile, and nothing changed,
  /// otherwise.
  void resume(const std::string& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flowsmith
