// Bits per dimension and importance weighting: a few numbers per image, on the host, in double.
#include "kernels/likelihood.h"

#include "kernels/likelihood_math.h"

namespace flowsmith {

double bits_per_dim(double log_prob, std::size_t dims) { return nats_to_bits_per_dim(log_prob, dims); }

double mean_bits_per_dim(const double* log_prob, int n, std::size_t dims) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += bits_per_dim(log_prob[i], dims);
  return sum / n;
}

void mean_bits_per_dim_backward(Grad<double> dlog_prob, double dloss, int n, std::size_t dims) {
  if (!dlog_prob) return;
  for (int i = 0; i < n; ++i) dlog_prob.write(i, bits_per_dim(dloss, dims) / n);
}

double log_mean_exp(const double* log_prob, int m, std::size_t stride) {
  return shifted_log_mean_exp(log_prob, m, stride);
}

}  // namespace flowsmith
