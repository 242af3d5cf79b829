// How each layer of a flow computes: a look at one layer after the other, at what the layers before it make of data.
#include <algorithm>
#include <cmath>

#include "engine/device_memory.h"
#include "engine/dispatch.h"
#include "kernels/likelihood.h"
#include "models/fixed_passes.h"

namespace flowsmith::core {
namespace {

// A step of x, small beside it and large beside the rounding of doubles: exact for a line, which affine couplings are.
constexpr double kStep = 1e-4;

double largest_difference(std::span<const double> a, std::span<const double> b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// The smallest and largest log dz/dx of the elements that the mask does not let through.
std::pair<double, double> log_scales(const NamedMask& named, MapShape map, std::span<const double> z,
                                     std::span<const double> z_of_more) {
  std::pair<double, double> range{INFINITY, -INFINITY};
  const std::size_t size = map.size();
  for (std::size_t i = 0; i < z.size(); ++i) {
    const int at = int(i % size), k = at % map.c, x = at / map.c % map.w, y = at / map.c / map.w;
    if (mask_value(named.mask, y, x, k, named.shape)) continue;
    const double log_scale = std::log((z_of_more[i] - z[i]) / kStep);
    range = {std::min(range.first, log_scale), std::max(range.second, log_scale)};
  }
  return range;
}

/// x, with kStep more where the mask lets nothing through.
std::vector<double> moved(const NamedMask& named, MapShape map, std::span<const double> values) {
  std::vector<double> more(values.begin(), values.end());
  for (std::size_t i = 0; i < more.size(); ++i) {
    const int at = int(i % map.size()), k = at % map.c, x = at / map.c % map.w, y = at / map.c / map.w;
    if (!mask_value(named.mask, y, x, k, named.shape)) more[i] += kStep;
  }
  return more;
}

}  // namespace

Transformed Flow::run_layer(const PlacedLayer& layer, MapShape input, std::span<const double> x, DType path) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  tape.start(false);
  const auto zeros = [&] {
    const Var sums = tape.output(DType::kF64, Shape{input.n}, false);
    fill_zero(device(), tape.value(sums));
    return sums;
  };
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), zeros(), {}, true};
  pass.log_prior = zeros();
  Transformed result;
  dispatch_path(device(), path, [&](auto, auto zero) {
    const std::vector<decltype(zero)> values(x.begin(), x.end());
    const Tensor tensor = tape.arena().tensor(path, input);
    upload(device(), tensor, values.data());
    const auto z = tape.read<decltype(zero)>(tape.value(layer.bijector->forward(pass, tape.constant(tensor))));
    result.values.assign(z.begin(), z.end());
  });
  result.logdet = tape.read<double>(tape.value(pass.logdet));
  return result;
}

double Flow::round_trip_error(const PlacedLayer& layer, MapShape input, std::span<const double> x) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  tape.start(false);
  const Var logdet = tape.output(DType::kF64, Shape{input.n}, false);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}, true};
  const Tensor tensor = tape.arena().tensor(DType::kF64, input);
  upload(device(), tensor, x.data());
  const Var z = layer.bijector->forward(pass, tape.constant(tensor));
  return largest_difference(x, tape.read<double>(tape.value(layer.bijector->inverse(pass, z))));
}

void Flow::find_dead_channels(std::vector<LayerHealth>& layers, Batch batch, DequantizationNoise noise) {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  tape.start(true);
  const Pass pass = forward(tape, batch, noise, parameters_.dtype(), false);
  tape.backward(mean_negative_log_prob(tape, pass.log_prob, nats_per_unit()));
  for (LayerHealth& layer : layers) {
    std::vector<int> biases;
    for (int i = 0; i < parameters_.count(); ++i) {
      const std::string& name = parameters_[i].name;
      if (name.starts_with(layer.name + ".") && name.ends_with(".bias")) biases.push_back(i);
    }
    if (biases.size() < 2) continue;
    biases.pop_back();  // that of the network's output
    std::size_t dead = 0, all = 0;
    for (const int i : biases) {
      std::vector<float> gradient(parameters_[i].shape.size());
      parameters_.to_file_order(parameters_.grads(), i, gradient.data());
      dead += std::size_t(std::count(gradient.begin(), gradient.end(), 0.0f));
      all += gradient.size();
    }
    layer.dead_channels = double(dead) / double(all);
  }
}

std::vector<Flow::LayerHealth> Flow::layer_health(Batch batch, DequantizationNoise noise) {
  if (const auto where = find_non_finite(batch, noise, DType::kF64)) {
    throw NotFinite("something is not finite, first at " + *where);
  }
  const std::vector<LayerOutput> outputs = layer_outputs(batch, noise);
  const std::vector<LayerInfo> infos = layers();
  std::vector<LayerHealth> all;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const PlacedLayer& layer = layers_[i];
    const std::vector<double>& x = outputs[i].values;
    const MapShape input = outputs[i].map.with_images(batch.n);
    const Transformed exact = run_layer(layer, input, x, DType::kF64);
    LayerHealth health{layer.name, layer.bijector->description()};
    health.round_trip = round_trip_error(layer, input, x);
    health.condition_number = infos[i + 1].condition_number;
    health.precision_gap = largest_difference(exact.logdet, run_layer(layer, input, x, DType::kF32).logdet);
    const std::vector<NamedMask> masks = layer.bijector->masks();
    if (masks.size() == 1) {
      const MapShape map = input.with_images(1);
      const Transformed more = run_layer(layer, input, moved(masks[0], map, x), DType::kF64);
      health.log_scale = log_scales(masks[0], map, exact.values, more.values);
    }
    if (const auto largest = layer.bijector->largest_logdet(parameters_); largest && *largest > 0) {
      double mean = 0;
      for (const double logdet : exact.logdet) mean += logdet / batch.n;
      health.share_of_bound = mean / *largest;
    }
    all.push_back(std::move(health));
  }
  find_dead_channels(all, batch, noise);
  return all;
}

std::vector<Flow::LayerOutput> Flow::inverse_outputs(const Latents& latents, int n) const {
  const auto shapes = latent_shapes();
  require(latents.size() == shapes.size(), "the number of latents is not that of the flow");
  const Borrowed work(*this);
  Tape& tape = work->tape;
  tape.start(false);
  const Var logdet = tape.output(DType::kF64, Shape{n}, false);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}};
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    require(latents[k].values.size() == shapes[k].second.size() * std::size_t(n), "latents do not fit the flow");
    pass.latents.push_back(tape.arena().tensor(DType::kF64, shapes[k].second.with_images(n)));
    upload(device(), pass.latents.back(), latents[k].values.data());
  }
  const Var last = tape.constant(pass.latents.back());
  pass.latents.pop_back();
  const std::vector<LayerInfo> infos = layers();
  std::vector<LayerOutput> outputs{{"base", shapes.back().second, latents.back().values}};
  const Var base = base_->inverse(pass, last);
  run_inverse(pass, base, [&](int layer, Var z) {
    const MapShape map = layer > 1 ? layers_[std::size_t(layer) - 2].output : layer_shape(1);
    outputs.push_back({infos[std::size_t(layer)].name, map, tape.read<double>(tape.value(z))});
  });
  return outputs;
}

}  // namespace flowsmith::core
