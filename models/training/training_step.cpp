#include "models/training/training_step.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <optional>

#include "engine/text.h"
#include "engine/trace.h"
#include "kernels/likelihood.h"

namespace flowsmith::core {

TrainingStep::TrainingStep(Flow& flow, bool recompute)
    : flow_(flow),
      path_(recompute ? DType::kF64 : flow.parameters().dtype()),
      adam_(flow.parameters()),
      inputs_(flow.device()),
      staging_(Staging::make(flow.device())),
      readbacks_{Readback(flow.device()), Readback(flow.device())},
      tape_(flow.device()),
      replay_(flow.device()) {
  tape_.set_recompute(recompute);
}

void TrainingStep::stage(Batch batch, DequantizationNoise noise) {
  const TraceRange range("stage batch");
  staged_ = {batch, noise};
  const bool given_noise = noise.values != nullptr;
  const BatchLayout layout = flow_.batch_layout(batch.n, path_, given_noise);
  layout.write(staging_->begin(layout.bytes()), batch, noise);
  staging_->send();
}

void TrainingStep::lay_out(int n, bool given_noise) {
  if (batch_.data && batch_.data.map().n == n && bool(batch_.noise) == given_noise) return;
  inputs_.reset();
  batch_ = flow_.batch_layout(n, path_, given_noise).allocate(inputs_);
  replay_ = Replay(flow_.device());
}

void TrainingStep::upload(const NoisyBatch& batch, int first, int n) {
  const bool given_noise = batch.noise.values != nullptr;
  lay_out(n, given_noise);
  flow_.batch_layout(n, path_, given_noise)
      .upload(flow_.device(), batch_, batch.examples.slice(flow_.dims(), first, n),
              batch.noise.slice(flow_.dims(), first));
}

void TrainingStep::forward_backward(bool batch_statistics) {
  pass_ = flow_.forward(tape_, batch_, path_, false, batch_statistics, std::move(pass_));
  loss_ = mean_negative_log_prob(tape_, pass_.log_prob, flow_.nats_per_unit());
  tape_.backward(loss_);
}

void TrainingStep::give_back() {
  tape_.give_back();
  pass_ = {};
  replay_ = Replay(flow_.device());
}

int TrainingStep::largest_batch(const NoisyBatch& batch) {
  // Some is left for what a run does between the steps: scores and pictures, which take a tenth of a step of as
  // many images, and copies of weights and moments in checkpoints.
  constexpr double kShare = 0.85;
  const std::size_t copies = 8 * flow_.parameters().values().bytes() + (std::size_t{128} << 20);
  const std::unique_ptr<std::byte[]> kept(is_host(flow_.device()) ? new (std::nothrow) std::byte[copies] : nullptr);
  const auto bytes = [&](int n) -> std::optional<double> {
    try {
      upload(batch, 0, n);
      tape_.start(true);
      forward_backward(false);  // takes as much
      return double(tape_.arena().peak());
    } catch (const OutOfMemory&) {
    } catch (const std::bad_alloc&) {
    }
    tape_.give_back();
    return std::nullopt;
  };
  tape_.give_back();
  const double available = kShare * double(available_memory(flow_.device())) - (kept ? double(copies) : 0);
  if (batch.examples.n < 2) return 0;
  const auto one = bytes(1), two = bytes(2);
  if (!one || *one > available) return 0;
  if (!two) return 1;
  // All memory of a tape grows linearly with the batch. A process may be allowed less than the machine has: tried.
  int fits = 1, fails = int(std::min(2 + (available - *one) / (*two - *one), double(batch.examples.n)));
  while (fails - fits > 1 + fits / 16) {
    const int middle = fits + (fails - fits) / 2;
    (bytes(middle) ? fits : fails) = middle;
  }
  return std::max(1, int(kShare * fits));
}

void TrainingStep::fail_for_memory(const std::string& why) {
  const int fits = largest_batch(staged_);
  throw OutOfMemory(why + " (of " + counted(staged_.examples.n, "image") + " this one is, " +
                    (fits > 0 ? "about " + std::to_string(fits) + " would fit)" : "not even one would fit)"));
}

void TrainingStep::launch(AdamOptions options, double clip_norm) {
  const TraceRange range("launch step");
  require(staged_.examples.n > 0, "a step needs a batch");
  require(under_way() < kUnderWay, "too many steps are under way: finish one first");
  try {
    lay_out(staged_.examples.n, staged_.noise.values != nullptr);
    staging_->take(batch_.block.raw());
    adam_.prepare(adam_.step_count() + under_way() + 1, options, clip_norm);
    replay_.run([&] { tape_.start(true); },
                [&] {
                  forward_backward();
                  adam_.step(tape_.value(loss_));
                  for (const RunningUpdate& u : pass_.running) {
                    update_running(flow_.device(), u.running, u.batch, u.count, u.momentum, tape_.value(loss_),
                                   adam_.squared_norm());
                  }
                });
  } catch (const OutOfMemory& error) {
    fail_for_memory(error.what());
  } catch (const std::bad_alloc&) {
    fail_for_memory("out of memory; choose a smaller batch");
  }
  readbacks_[next_readback_].fetch(tape_.value(loss_), adam_.squared_norm());
  next_readback_ = (next_readback_ + 1) % kUnderWay;
  under_way_.push_back(staged_);
}

StepResult TrainingStep::finish() {
  const TraceRange range("finish step");
  require(under_way() > 0, "no step is under way");
  const std::string step = std::to_string(adam_.step_count() + 1);
  const auto [loss, squared_norm] = readbacks_[(next_readback_ + kUnderWay - under_way()) % kUnderWay].wait();
  const StepResult result{loss, std::sqrt(squared_norm)};
  const NoisyBatch batch = under_way_.front();
  under_way_.pop_front();
  if (std::isfinite(result.loss) && std::isfinite(result.gradient_norm)) {
    adam_.count_step();
    return result;
  }
  under_way_.clear();  // they change nothing
  if (!std::isfinite(result.loss)) {
    const auto where = flow_.find_non_finite(batch.examples, batch.noise, path_, true);
    throw NotFinite("the loss of step " + step + " is not finite, first at " + where.value_or("the prior") +
                    ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  throw NotFinite("the gradient of step " + step + " is not finite, first at " + locate_non_finite_gradient(batch) +
                  ": the weights before it are kept; start again with a smaller learning rate or clip norm");
}

StepResult TrainingStep::run(AdamOptions options, double clip_norm) {
  launch(options, clip_norm);
  return finish();
}

std::string TrainingStep::locate_non_finite_gradient(const NoisyBatch& batch) {
  const Parameters& parameters = flow_.parameters();
  const auto bad_parameter = [&]() -> std::string {
    std::vector<float> values;
    for (int i = 0; i < parameters.count(); ++i) {
      values.resize(parameters[i].shape.size());
      parameters.to_file_order(parameters.grads(), i, values.data());
      for (const float v : values) {
        if (!std::isfinite(v)) return "layer " + parameters[i].name;
      }
    }
    return {};
  };
  const auto bad_parameter_of = [&](int first, int n) {
    upload(batch, first, n);
    tape_.start(true);
    forward_backward(n > 1);
    return bad_parameter();
  };
  for (int i = 0; i < batch.examples.n; ++i) {
    const std::string alone = bad_parameter_of(i, 1);
    if (!alone.empty())
      return alone + (flow_.takes_images() ? ", image " : ", row ") + std::to_string(batch.examples.index[i]);
  }
  return bad_parameter_of(0, batch.examples.n) + ", only in the sum over the images of the batch";
}

}  // namespace flowsmith::core
