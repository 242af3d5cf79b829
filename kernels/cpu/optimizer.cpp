// Adam and the squared norm: flat spans over threads, plain loops that the compiler vectorises.
#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/optimizer_math.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kLanes = 8;

/// Eight running sums: enough of them that the additions need not wait for each other.
double block_squared_norm(const float* x, std::size_t size) {
  double lane[kLanes] = {};
  const std::size_t whole = size / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) lane[k] += double(x[i + k]) * x[i + k];
  }
  double sum = 0;
  for (double value : lane) sum += value;
  for (std::size_t i = whole; i < size; ++i) sum += double(x[i]) * x[i];
  return sum;
}

}  // namespace

void squared_norm(double* result, const float* x, std::size_t size, Cpu) {
  cpu::ScratchVector<double> partial((size + kBlock - 1) / kBlock);
#pragma omp parallel for schedule(static) if (worth_threads(size))
  for (std::size_t b = 0; b < partial.size(); ++b) {
    partial[b] = block_squared_norm(x + b * kBlock, std::min(kBlock, size - b * kBlock));
  }
  double total = 0;
  for (double value : partial) total += value;
  *result = total;
}

void adam_step(float* __restrict param, float* __restrict m, float* __restrict v, std::int64_t* steps_taken,
               const float* __restrict grad, const double* grad_squared_norm, const double* loss,
               const AdamInputs* inputs, std::size_t size, Cpu) {
  const AdamOptions options = inputs->options;
  const std::int64_t step = inputs->step;
  if (!admit_step(steps_taken, *grad_squared_norm, *loss, step)) return;
  const float scale = float(clip_factor(std::sqrt(*grad_squared_norm), inputs->max_norm));
  const float beta1 = float(options.beta1), keep1 = float(1 - options.beta1);
  const float beta2 = float(options.beta2), keep2 = float(1 - options.beta2);
  const float eps = float(options.eps);
  const float rate = float(options.lr / (1 - std::pow(options.beta1, double(step))));
  const float root = float(1 / std::sqrt(1 - std::pow(options.beta2, double(step))));
#pragma omp parallel for simd schedule(static) if (parallel : worth_threads(size))
  for (std::size_t i = 0; i < size; ++i) {
    const float g = grad[i] * scale;
    m[i] = without_subnormals(beta1 * m[i] + keep1 * g);
    v[i] = without_subnormals(beta2 * v[i] + keep2 * g * g);
    param[i] -= rate * m[i] / (std::sqrt(v[i]) * root + eps);
  }
}

}  // namespace flowsmith::core
