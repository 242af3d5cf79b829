// Data that are real numbers already, as they are or with each column brought to mean 0 and deviation 1.
#include <cmath>

#include "models/input/input_layer.h"

namespace flowsmith::core {
namespace {

/// The states, the first of the flow.
constexpr int kMean = 0, kDeviation = 1;

class Numbers : public InputLayer {
 public:
  Var forward(FlowPass& pass, const BatchTensors& batch, DType) const override {
    // Layers may work in place: the batch stays as it is.
    Tape& tape = pass.tape;
    const Var z = tape.output(batch.data.dtype(), batch.data.shape(), false);
    copy(tape.device(), tape.value(z).raw(), batch.data.raw(), batch.data.bytes());
    return z;
  }
  void inverse(FlowPass& pass, Var z, const Tensor& data) const override {
    copy(pass.tape.device(), data.raw(), pass.tape.value(z).raw(), data.bytes());
  }
  std::string description() const override { return "numbers as they are"; }
};

class Standardized : public Numbers {
 public:
  explicit Standardized(Builder& builder) : columns_(builder.shape.c), memory_(builder.parameters.device()) {
    const auto constant = [columns = columns_](double value) {
      return [columns, value](std::uint64_t) { return std::vector<double>(columns, value); };
    };
    builder.parameters.add_state(builder.prefix + "mean", {columns_}, constant(0));
    builder.parameters.add_state(builder.prefix + "deviation", {columns_}, constant(1));
    variance_ = memory_.tensor(DType::kF64, Shape{columns_});
  }

  Var forward(FlowPass& pass, const BatchTensors& batch, DType path) const override {
    return batch_norm_fixed(pass.tape, Numbers::forward(pass, batch, path), {}, {}, pass.logdet, moments_, kEps);
  }
  void inverse(FlowPass& pass, Var z, const Tensor& data) const override {
    batch_norm_inverse(pass.tape, z, pass.logdet, moments_, kEps);
    Numbers::inverse(pass, z, data);
  }

  void weights_changed(const Parameters& parameters) override {
    std::vector<double> variance = download<double>(parameters.device(), parameters.state_values(kDeviation));
    for (double& value : variance) {
      if (!(value > 0)) throw Error("a column's standard deviation is not above 0: the weights are damaged");
      value *= value;
    }
    upload(parameters.device(), variance_, variance.data());
    moments_ = {parameters.state_values(kMean), variance_};
  }
  std::string description() const override { return "standardization"; }

 private:
  /// The kernel adds it to a variance: to none that is not 0, so that it adds nothing.
  static constexpr double kEps = 1e-300;

  int columns_;
  Arena memory_;
  Tensor variance_;
  ChannelMoments moments_;
};

}  // namespace

std::unique_ptr<InputLayer> make_number_input(const Settings& data, Builder& builder) {
  if (data.type() == "vector" && data.flag("standardize")) return std::make_unique<Standardized>(builder);
  return std::make_unique<Numbers>();
}

void set_standardization(Parameters& parameters, const std::vector<double>& mean,
                         const std::vector<double>& deviation) {
  parameters.set_state(kMean, mean);
  parameters.set_state(kDeviation, deviation);
}

}  // namespace flowsmith::core
