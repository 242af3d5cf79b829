// The line of a channel, shared by every backend.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// log of the slope.
template <class S>
FLOWSMITH_HD inline double channel_log_scale(const S* log_scale, double factor, int k) {
  return factor * double(log_scale[k]);
}

/// `bias` may be null.
template <class S>
FLOWSMITH_HD inline double channel_bias(const S* bias, int k) {
  return bias == nullptr ? 0.0 : double(bias[k]);
}

}  // namespace flowsmith::core
