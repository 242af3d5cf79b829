// Likelihoods and importance weighting on the host: a few numbers per image, so that plain loops serve every backend.
#include "kernels/likelihood.h"

#include "kernels/likelihood_math.h"

namespace flowsmith::core {

double nats_per_bit_per_dim(std::size_t dims) {
  constexpr double kLn2 = 0.693147180559945309417;
  return double(dims) * kLn2;
}

double bits_per_dim(double log_prob, std::size_t dims) { return -log_prob / nats_per_bit_per_dim(dims); }

void mean_negative_log_prob(double* loss, const double* log_prob, int n, double nats_per_unit, Reference) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += -log_prob[i] / nats_per_unit;
  *loss = sum / n;
}

void mean_negative_log_prob(double* loss, const double* log_prob, int n, double nats_per_unit, Cpu) {
  mean_negative_log_prob(loss, log_prob, n, nats_per_unit, Reference{});
}

void mean_negative_log_prob_backward(Grad<double> dlog_prob, const double* dloss, int n, double nats_per_unit,
                                     Reference) {
  if (!dlog_prob) return;
  for (int i = 0; i < n; ++i) dlog_prob.write(i, -*dloss / nats_per_unit / n);
}

void mean_negative_log_prob_backward(Grad<double> dlog_prob, const double* dloss, int n, double nats_per_unit, Cpu) {
  mean_negative_log_prob_backward(dlog_prob, dloss, n, nats_per_unit, Reference{});
}

double log_mean_exp(const double* log_prob, int m, std::size_t stride) {
  return shifted_log_mean_exp(log_prob, m, stride);
}

}  // namespace flowsmith::core
