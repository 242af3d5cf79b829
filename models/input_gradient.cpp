// The gradient of a score by what the layers see of data.
#include "engine/device_memory.h"
#include "engine/dispatch.h"
#include "models/fixed_passes.h"

namespace flowsmith::core {

std::vector<double> Flow::log_prob_gradient(Batch batch, DequantizationNoise noise) {
  const std::vector<double> x = layer_outputs(batch, noise).front().values;
  const Borrowed work(*this);
  Tape& tape = work->tape;
  tape.start(true);
  const DType path = parameters_.dtype();
  const Tensor value = tape.arena().tensor(path, layer_shape(batch.n)),
               grad = tape.arena().tensor(path, layer_shape(batch.n));
  const Var logdet = tape.output(DType::kF64, Shape{batch.n}, true);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}, false};
  std::vector<double> gradient;
  dispatch_path(device(), path, [&](auto, auto zero) {
    const std::vector<decltype(zero)> values(x.begin(), x.end());
    upload(device(), value, values.data());
    const Var first = tape.leaf(value, grad);
    Var z = first;
    for (const PlacedLayer& layer : layers_) z = layer.bijector->forward(pass, z);
    base_->forward(pass, z);  // from here on logdet is log p, but for what the dequantization adds
    tape.backward(mean_negative_log_prob(tape, logdet, 1));
    for (const auto d : tape.read<decltype(zero)>(tape.finished_grad(first))) gradient.push_back(-d * batch.n);
  });
  return gradient;
}

}  // namespace flowsmith::core
