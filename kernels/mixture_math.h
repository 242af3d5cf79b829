// The formulas of mixture.h, shared by host and device.
#pragma once

#include <cmath>

#include "kernels/mixture.h"

namespace flowsmith::core {

/// log sum_k exp(terms[k]), shifted by the largest term; count is at least 1. NaN gives NaN.
template <class T>
FLOWSMITH_HD inline double log_sum_exp(const T* terms, int count) {
  double largest = terms[0];
  for (int k = 1; k < count; ++k) {
    if (terms[k] > largest) largest = terms[k];
  }
  double sum = 0;
  for (int k = 0; k < count; ++k) sum += std::exp(terms[k] - largest);
  return largest + std::log(sum);
}

/// exp(-log_scale), but at most e^300, far beyond any float: so a scale of 0 gives numbers that are enormous, and no
/// infinity that times a responsibility of 0 would be NaN.
FLOWSMITH_HD inline double inverse_scale(double log_scale) {
  constexpr double kSmallest = -300;
  return std::exp(log_scale < kSmallest ? -kSmallest : -log_scale);
}

/// The log-densities of one image's components become their responsibilities; returns the log-density of the mixture.
FLOWSMITH_HD inline double normalise_components(double* terms, int count) {
  const double total = log_sum_exp(terms, count);
  for (int k = 0; k < count; ++k) terms[k] = std::exp(terms[k] - total);
  return total;
}

/// The component that image `image` of a stream is drawn from.
template <class S>
FLOWSMITH_HD inline int drawn_component(const NoiseStream& stream, std::uint32_t image, const S* weight_logits,
                                        int count) {
  const double u = word_to_uniform(noise_words(stream, image, kComponentGroup)[0]);
  const double total = log_sum_exp(weight_logits, count);
  double cumulative = 0;
  for (int k = 0; k < count - 1; ++k) {
    cumulative += std::exp(weight_logits[k] - total);
    if (u < cumulative) return k;
  }
  return count - 1;
}

}  // namespace flowsmith::core
