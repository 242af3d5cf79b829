// From log-likelihoods to the numbers that people compare. A few values per image, in double.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// Images are scored in bits per dimension: this many nats are one of them, dims * ln 2. Vectors are scored in nats.
double nats_per_bit_per_dim(std::size_t dims);

/// Bits per dimension of one log-likelihood in nats: -log_prob / (dims * ln 2).
double bits_per_dim(double log_prob, std::size_t dims);

/// Mean over the batch, the training loss, in a unit: *loss = sum_i -log_prob[i] / nats_per_unit / n, with
/// nats_per_bit_per_dim for bits per dimension and 1 for nats. On a GPU the sum has another fixed order.
void mean_negative_log_prob(double* loss, const double* log_prob, int n, double nats_per_unit, Reference);
void mean_negative_log_prob(double* loss, const double* log_prob, int n, double nats_per_unit, Cpu);
template <Gpu G>
void mean_negative_log_prob(double* loss, const double* log_prob, int n, double nats_per_unit, G gpu);

/// dlog_prob[i] = -*dloss / nats_per_unit / n.
void mean_negative_log_prob_backward(Grad<double> dlog_prob, const double* dloss, int n, double nats_per_unit,
                                     Reference);
void mean_negative_log_prob_backward(Grad<double> dlog_prob, const double* dloss, int n, double nats_per_unit, Cpu);
template <Gpu G>
void mean_negative_log_prob_backward(Grad<double> dlog_prob, const double* dloss, int n, double nats_per_unit, G gpu);

/// log((1/m) sum_j exp(log_prob[j*stride])), j < m, shifted by the largest term (importance weighting:
/// Burda, Grosse, Salakhutdinov 2016). A log_prob of -inf counts as probability 0; NaN gives NaN.
double log_mean_exp(const double* log_prob, int m, std::size_t stride);
/// The same for n images at once, from m draws of each. Shapes: log_prob (m, n), out (n).
template <Gpu G>
void log_mean_exp(double* out, const double* log_prob, int m, int n, G gpu);

}  // namespace flowsmith::core
