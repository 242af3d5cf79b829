#include "models/bijectors/channel_scale.h"

#include "kernels/channel_affine.h"

namespace flowsmith::core {

Var one_row(const FlowPass& pass, Var z) {
  const MapShape map = pass.tape.value(z).map();
  return pass.tape.reshape(z, MapShape{map.n, 1, 1, int(map.image_size())});
}

ChannelScale::ChannelScale(Parameters& parameters, const std::string& prefix, Options options) : options_(options) {
  log_scale_ = parameters.add(prefix + "log_scale", {options.channels}, ParameterLayout::kPlain, {0, 0});
  if (options.with_bias) parameters.add(prefix + "bias", {options.channels}, ParameterLayout::kPlain, {0, 0});
}

Var ChannelScale::forward(const FlowPass& pass, Var z, Var logdet) const {
  return channel_affine(pass.tape, z, pass.parameters[log_scale_], bias(pass), options_.factor, logdet);
}

void ChannelScale::inverse(const FlowPass& pass, Var z, Var logdet) const {
  channel_affine_inverse(pass.tape, z, pass.parameters[log_scale_], bias(pass), options_.factor, logdet);
}

void ChannelScale::fit(const FlowPass& pass, Parameters& parameters, Var z, int bias) const {
  const Tensor in = pass.tape.value(z);
  const ChannelStatistics found = channel_statistics(to_doubles(in, pass.tape.device()), in.map(), options_.factor);
  const auto set = [&](int i, const std::vector<double>& values) {
    const std::vector<float> floats(values.begin(), values.end());
    parameters.from_file_order(parameters.values(), i, floats.data());
  };
  set(log_scale_, found.log_scale);
  set(bias, found.bias);
}

}  // namespace flowsmith::core
