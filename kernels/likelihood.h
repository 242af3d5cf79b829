// From log-likelihoods to the numbers that people compare. A few values per image, in double: plain
// host loops serve every backend on the host, and the GPU has its own, so that a training step need not wait for it.
#pragma once

#include "kernels/types.h"

namespace flowsmith {

/// Bits per dimension of one log-likelihood in nats: -log_prob / (dims * ln 2).
double bits_per_dim(double log_prob, std::size_t dims);

/// Mean over the batch, the training loss: loss = sum_i bits_per_dim(log_prob[i]) / n.
double mean_bits_per_dim(const double* log_prob, int n, std::size_t dims);
/// *loss is the same in device memory, summed in another fixed order.
template <Gpu G>
void mean_bits_per_dim(double* loss, const double* log_prob, int n, std::size_t dims, G gpu);

/// dlog_prob[i] = -dloss / (n * dims * ln 2).
void mean_bits_per_dim_backward(Grad<double> dlog_prob, double dloss, int n, std::size_t dims);
template <Gpu G>
void mean_bits_per_dim_backward(Grad<double> dlog_prob, const double* dloss, int n, std::size_t dims, G gpu);

/// log((1/m) sum_j exp(log_prob[j*stride])), j < m, shifted by the largest term (importance weighting:
/// Burda, Grosse, Salakhutdinov 2016). A log_prob of -inf counts as probability 0; NaN gives NaN.
double log_mean_exp(const double* log_prob, int m, std::size_t stride);
/// The same for n images at once, from m draws of each. Shapes: log_prob (m, n), out (n).
template <Gpu G>
void log_mean_exp(double* out, const double* log_prob, int m, int n, G gpu);

}  // namespace flowsmith
