// Bits per dimension and importance weighting: a few numbers per image, on the host, in double.
#include "kernels/likelihood.h"

#include <cmath>
#include <limits>

namespace flowsmith {
namespace {

constexpr double kLn2 = 0.693147180559945309417;

}  // namespace

double bits_per_dim(double log_prob, std::size_t dims) { return -log_prob / (double(dims) * kLn2); }

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
  double largest = -std::numeric_limits<double>::infinity();
  for (int j = 0; j < m; ++j) {
    const double term = log_prob[j * stride];
    if (std::isnan(term)) return term;
    if (term > largest) largest = term;
  }
  if (std::isinf(largest)) return largest;  // inf - inf would be NaN
  double sum = 0;
  for (int j = 0; j < m; ++j) sum += std::exp(log_prob[j * stride] - largest);
  return largest + std::log(sum / m);
}

}  // namespace flowsmith
