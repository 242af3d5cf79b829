// What the kernel tests share: random tensors, errors, the gradient checker and the backend checker.
#pragma once

#include <omp.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/noise.h"

namespace flowsmith::core::testing {

template <class T>
std::vector<T> random_normal(std::size_t size, std::uint64_t seed, double scale = 1) {
  std::vector<T> x(size);
  const std::uint32_t index = 0;
  const NoiseStream stream{seed};
  normal_noise(x.data(), &index, &stream, scale, 1, size, Reference{});
  return x;
}

template <class T>
std::vector<T> random_uniform(std::size_t size, std::uint64_t seed, double low = 0, double high = 1) {
  std::vector<T> x(size);
  const std::uint32_t index = 0;
  const NoiseStream stream{seed};
  uniform_noise(x.data(), &index, &stream, 1, size, Reference{});
  for (T& value : x) value = T(low + (high - low) * value);
  return x;
}

inline std::vector<std::uint8_t> random_bytes(std::size_t size, std::uint64_t seed) {
  std::vector<std::uint8_t> bytes;
  for (double value : random_uniform<double>(size, seed, 0, 256)) bytes.push_back(std::uint8_t(value));
  return bytes;
}

/// Normals at least 1e-3 away from 0, where the second derivative of elu jumps: differences across the
/// jump would not be derivatives.
inline std::vector<double> random_off_kink(std::size_t size, std::uint64_t seed) {
  std::vector<double> x = random_normal<double>(size, seed);
  for (double& value : x) value += value < 0 ? -1e-3 : 1e-3;
  return x;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// |got - want| / |want| in the Euclidean norm, |want| counting as at least `floor`. NaN on either side gives
/// NaN, which no bound accepts.
template <class A, class B>
double relative_error(const std::vector<A>& got, const std::vector<B>& want, double floor = 1e-30) {
  REQUIRE(got.size() == want.size());
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += std::pow(double(got[i]) - double(want[i]), 2);
    norm += std::pow(double(want[i]), 2);
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), floor);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Central differences with step h = 1e-5: for losses, inputs and derivatives of order 1 they are off by about
/// h^2 (the cut Taylor series) + 1e-16 / h (rounding), each 1e-10 or less; sums of some hundred terms add a
/// factor of ten. A wrong gradient is off by far more than this bound. Gradients that nearly cancel (layer norm
/// over two channels) keep that absolute error, so a norm below the floor counts as the floor.
inline constexpr double kDifferenceStep = 1e-5;
inline constexpr double kGradientError = 1e-7;
inline constexpr double kGradientFloor = 0.1;

using Inputs = std::vector<std::vector<double>>;
using Gradients = std::vector<Grad<double>>;

/// Checks backward(inputs, gradients) against differences of loss(inputs): each input alone with the other
/// gradients null, overwriting NaN, then all of them together, accumulating onto ones.
template <class Loss, class Backward>
void check_gradients(Inputs inputs, const Loss& loss, const Backward& backward) {
  Inputs alone;
  for (std::size_t which = 0; which < inputs.size(); ++which) {
    std::vector<double> numeric;
    for (double& value : inputs[which]) {
      const double kept = value;
      value = kept + kDifferenceStep;
      const double above = loss(inputs);
      value = kept - kDifferenceStep;
      numeric.push_back((above - loss(inputs)) / (2 * kDifferenceStep));
      value = kept;
    }
    alone.emplace_back(numeric.size(), std::numeric_limits<double>::quiet_NaN());
    Gradients gradients(inputs.size());
    gradients[which] = {alone.back().data(), GradMode::kOverwrite};
    backward(inputs, gradients);
    INFO("input " << which);
    CHECK(relative_error(alone.back(), numeric, kGradientFloor) < kGradientError);
  }
  Inputs together;
  Gradients gradients;
  for (const std::vector<double>& input : inputs) together.emplace_back(input.size(), 1.0);
  for (std::vector<double>& gradient : together) gradients.push_back({gradient.data(), GradMode::kAccumulate});
  backward(inputs, gradients);
  for (std::size_t which = 0; which < inputs.size(); ++which) {
    for (double& value : alone[which]) value += 1;
    INFO("input " << which);
    CHECK(relative_error(together[which], alone[which]) < 1e-13);  // the same sums, perhaps in another order
  }
}

inline constexpr GradMode kGradModes[] = {GradMode::kOverwrite, GradMode::kAccumulate};

/// Every output of a kernel, widened to double, which keeps their bits apart.
using Outputs = std::vector<std::vector<double>>;

template <class... T>
Outputs outputs(const std::vector<T>&... tensors) {
  return {std::vector<double>(tensors.begin(), tensors.end())...};
}

/// run(backend) -> Outputs: checks `cpu` against Reference with the given relative bound, and that 1, 2 and 3
/// threads give the same bits.
template <class Run>
void check_cpu(const Run& run, double bound, Cpu cpu = {}) {
  const Outputs want = run(Reference{});
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const Outputs got = run(cpu);
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO("output " << i);
    CHECK(relative_error(got[i], want[i]) <= bound);
  }
  for (int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const Outputs again = run(cpu);
    INFO(threads << " threads");
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(same_bits(again[i], got[i]));
  }
  omp_set_num_threads(threads_before);
}

}  // namespace flowsmith::core::testing
