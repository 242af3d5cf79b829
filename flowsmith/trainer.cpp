#include "flowsmith/trainer.h"

#include <algorithm>
#include <numeric>

#include "engine/column_statistics.h"
#include "flowsmith/internal.h"
#include "models/training/trainer.h"

namespace flowsmith {

using internal::count_of, internal::guarded, internal::guarded_file;

struct Trainer::Impl {
  Impl(const core::TrainingOptions& options, core::TrainingData data, core::Device device)
      : trainer(options, std::move(data), device), flow(std::make_unique<Flow::Impl>(trainer.flow())) {}

  static std::unique_ptr<Impl> make(const std::string& config, std::size_t count, ImageSource images, RowSource rows,
                                    const TrainingOptions& options, const Context& context);

  core::Trainer trainer;
  Flow flow;  ///< that of the trainer
};

namespace {

/// Hands out examples of an array that the caller keeps.
template <class T>
auto source_of(std::span<const T> all, std::size_t size) {
  return [all, size](std::span<const std::uint32_t> numbers, std::span<T> out) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      std::copy_n(all.begin() + std::ptrdiff_t(numbers[i] * size), size, out.begin() + std::ptrdiff_t(i * size));
    }
  };
}

std::size_t dims_of(const std::string& config) { return internal::config_of(config).data_shape().size(); }

}  // namespace

std::unique_ptr<Trainer::Impl> Trainer::Impl::make(const std::string& config, std::size_t count, ImageSource images,
                                                   RowSource rows, const TrainingOptions& options,
                                                   const Context& context) {
  core::TrainingOptions all;
  all.flow = internal::config_of(config);
  const core::TrainingDefaults defaults = all.flow.training();
  all.epochs = options.epochs.value_or(defaults.epochs);
  all.batch_size = options.batch_size.value_or(defaults.batch_size);
  all.lr = options.lr.value_or(defaults.lr);
  all.lr_decay = options.lr_decay.value_or(defaults.lr_decay);
  all.clip_norm = options.clip_norm.value_or(defaults.clip_norm);
  all.seed = options.seed;
  all.recompute = options.recompute;
  if (count > std::numeric_limits<std::uint32_t>::max()) throw Error("there are at most 4294967295 examples");
  if (all.flow.takes_images() != (images != nullptr)) {
    throw Error(all.flow.takes_images() ? "this flow takes 8-bit images, not numbers"
                                        : "this flow takes rows of numbers, not 8-bit images");
  }
  core::TrainingData data{.name = "the data", .index = std::vector<std::uint32_t>(count)};
  std::iota(data.index.begin(), data.index.end(), 0u);
  data.images = std::move(images);
  data.values = std::move(rows);
  if (all.flow.standardizes() && count > 0) {
    core::ColumnStatistics found =
        core::measure_columns(data.name, data.index, all.flow.data_shape().size(), data.values);
    data.mean = std::move(found.mean);
    data.deviation = std::move(found.deviation);
  }
  return std::make_unique<Impl>(all, std::move(data), internal::device_of(context));
}

Trainer::Trainer(const std::string& config, std::span<const std::uint8_t> images, const TrainingOptions& options,
                 const Context& context)
    : impl_(guarded([&] {
        const std::size_t size = dims_of(config);
        return Impl::make(config, std::size_t(count_of(images.size(), size, "bytes")), source_of(images, size), nullptr,
                          options, context);
      })) {}

Trainer::Trainer(const std::string& config, std::span<const double> rows, const TrainingOptions& options,
                 const Context& context)
    : impl_(guarded([&] {
        const std::size_t size = dims_of(config);
        return Impl::make(config, std::size_t(count_of(rows.size(), size, "numbers")), nullptr, source_of(rows, size),
                          options, context);
      })) {}

// What a source of the caller throws goes through as it is.
Trainer::Trainer(const std::string& config, std::size_t count, ImageSource images, const TrainingOptions& options,
                 const Context& context)
    : impl_(Impl::make(config, count, std::move(images), nullptr, options, context)) {}

Trainer::Trainer(const std::string& config, std::size_t count, RowSource rows, const TrainingOptions& options,
                 const Context& context)
    : impl_(Impl::make(config, count, nullptr, std::move(rows), options, context)) {}

Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

StepResult Trainer::step() {
  core::Trainer& trainer = impl_->trainer;
  if (trainer.epoch_done()) trainer.start_next_epoch();  // after a resume
  const core::StepResult result = trainer.step();
  if (trainer.epoch_done()) trainer.start_next_epoch();
  return {result.loss, result.gradient_norm};
}

bool Trainer::done() const { return steps_done() >= total_steps(); }
std::int64_t Trainer::steps_done() const { return impl_->trainer.steps_done(); }
std::int64_t Trainer::total_steps() const { return impl_->trainer.total_steps(); }
int Trainer::steps_per_epoch() const { return impl_->trainer.steps_per_epoch(); }
double Trainer::learning_rate() const { return impl_->trainer.learning_rate(); }
const Flow& Trainer::flow() const { return impl_->flow; }

void Trainer::checkpoint(const std::string& path) const {
  guarded_file([&] { core::write_safetensors(path, impl_->trainer.checkpoint()); });
}

void Trainer::resume(const std::string& path) {
  guarded_file([&] {
    const core::SafetensorsFile file = core::read_safetensors(path);
    const core::SafetensorsFile before = impl_->trainer.checkpoint();
    try {
      impl_->trainer.restore(file, path);
    } catch (...) {
      impl_->trainer.restore(before, path);
      throw;
    }
  });
}

}  // namespace flowsmith
