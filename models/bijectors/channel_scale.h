// z' = (z + bias[k]) * exp(factor * log_scale[k]) with one pair per channel, or per element: kernels/channel_affine.h,
// docs/math/actnorm.md. Actnorm, diagonal layers and the diagonal normal base are made of it.
#pragma once

#include "models/bijectors/bijector.h"

namespace flowsmith::core {

/// z as one row per example, so that every element is a channel of its own. Nothing else may use z from then on.
Var one_row(const FlowPass& pass, Var z);

class ChannelScale {
 public:
  struct Options {
    int channels;
    bool with_bias = true;
    double factor = 1;
  };

  ChannelScale() = default;
  /// Adds PREFIXlog_scale and, if it has one, PREFIXbias, both zero: the identity.
  ChannelScale(Parameters& parameters, const std::string& prefix, Options options);

  /// z (n,h,w,channels). `logdet` as channel_affine() has it.
  Var forward(const FlowPass& pass, Var z, Var logdet) const;
  void inverse(const FlowPass& pass, Var z, Var logdet) const;

  /// Sets both so that forward takes z to mean 0 and variance 1 in each channel.
  void fit(const FlowPass& pass, Parameters& parameters, Var z) const { fit(pass, parameters, z, log_scale_ + 1); }
  /// The same where the parameter `bias`, zero so far, is added to z before.
  void fit(const FlowPass& pass, Parameters& parameters, Var z, int bias) const;

 private:
  Var bias(const FlowPass& pass) const { return options_.with_bias ? pass.parameters[log_scale_ + 1] : Var{}; }

  Options options_{};
  int log_scale_ = -1;
};

}  // namespace flowsmith::core
