// The mixture of diagonal normals: densities and dz by images over threads, gradients of parameters by pieces of the
// parameters, each of which adds the images in order. Scales are inverted once for all images.
#include "kernels/mixture.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/mixture_math.h"
#include "kernels/prior_math.h"

namespace flowsmith::core {
namespace {

/// Elements that a loop over images or components has in hand at once.
constexpr std::size_t kPiece = 64;

/// What all images share.
struct SharedTerms {
  double* inverse_scale;  ///< (K, D)
  double* log_weight;     ///< (K)
  double* log_volume;     ///< (K): the sum of log_scale
};

SharedTerms shared_terms(const MixtureParameters<float>& mixture, std::size_t per_image) {
  static thread_local cpu::BasicScratch<double> scratch;
  const std::size_t components = mixture.components, size = components * per_image;
  double* const memory = scratch.reserve(size + 2 * components);
  const SharedTerms shared{memory, memory + size, memory + size + components};
  const double log_total = log_sum_exp(mixture.weight_logits, mixture.components);
#pragma omp parallel for schedule(static) if (worth_threads(size))
  for (std::size_t k = 0; k < components; ++k) {
    double sum = 0;
    for (std::size_t at = k * per_image; at < (k + 1) * per_image; ++at) {
      shared.inverse_scale[at] = inverse_scale(mixture.log_scale[at]);
      sum += mixture.log_scale[at];
    }
    shared.log_weight[k] = mixture.weight_logits[k] - log_total;
    shared.log_volume[k] = sum;
  }
  return shared;
}

/// sum_j ((z - mean) * inverse)^2 in eight running sums: enough of them that the additions need not wait.
template <class Z>
double squared_distance(const Z* z, const float* mean, const double* inverse, std::size_t size) {
  constexpr std::size_t kLanes = 8;
  double lane[kLanes] = {};
  const std::size_t whole = size / kLanes * kLanes;
  for (std::size_t j = 0; j < whole; j += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      const double d = (z[j + l] - double(mean[j + l])) * inverse[j + l];
      lane[l] += d * d;
    }
  }
  double sum = 0;
  for (double value : lane) sum += value;
  for (std::size_t j = whole; j < size; ++j) {
    const double d = (z[j] - double(mean[j])) * inverse[j];
    sum += d * d;
  }
  return sum;
}

}  // namespace

template <class Z>
void mixture_log_density_forward(double* logp, double* responsibility, const Z* z, MixtureParameters<float> mixture,
                                 int n, std::size_t per_image, Cpu) {
  const std::size_t components = mixture.components;
  const SharedTerms shared = shared_terms(mixture, per_image);
#pragma omp parallel for schedule(static) if (worth_threads(n * components * per_image))
  for (int i = 0; i < n; ++i) {
    double* const terms = responsibility + i * components;
    for (std::size_t k = 0; k < components; ++k) {
      const double square = squared_distance(z + i * per_image, mixture.mean + k * per_image,
                                             shared.inverse_scale + k * per_image, per_image);
      terms[k] = shared.log_weight[k] - shared.log_volume[k] + standard_normal_log_density(square, per_image);
    }
    logp[i] += normalise_components(terms, mixture.components);
  }
}

template <class Z>
void mixture_log_density_backward(Grad<Z> dz, MixtureGrads<float> dmixture, const double* dlogp,
                                  const double* responsibility, const Z* z, MixtureParameters<float> mixture, int n,
                                  std::size_t per_image, Cpu) {
  const std::size_t components = mixture.components, pieces = (per_image + kPiece - 1) / kPiece;
  if (!dz && !dmixture) return;
  const SharedTerms shared = shared_terms(mixture, per_image);
  const bool worth = worth_threads(n * components * per_image);
  if (dz) {
#pragma omp parallel for schedule(static) if (worth)
    for (int i = 0; i < n; ++i) {
      for (std::size_t begin = 0; begin < per_image; begin += kPiece) {
        const std::size_t count = std::min(kPiece, per_image - begin);
        const Z* const in = z + i * per_image + begin;
        double sum[kPiece] = {};
        for (std::size_t k = 0; k < components; ++k) {
          const double a = dlogp[i] * responsibility[i * components + k];
          if (a == 0) continue;  // the rule where components are far apart
          const float* const mean = mixture.mean + k * per_image + begin;
          const double* const inverse = shared.inverse_scale + k * per_image + begin;
          for (std::size_t j = 0; j < count; ++j) sum[j] -= a * ((in[j] - double(mean[j])) * inverse[j]) * inverse[j];
        }
        for (std::size_t j = 0; j < count; ++j) dz.write(i * per_image + begin + j, Z(sum[j]));
      }
    }
  }
  if (dmixture.mean || dmixture.log_scale) {
#pragma omp parallel for schedule(static) if (worth)
    for (std::size_t piece = 0; piece < components * pieces; ++piece) {
      const std::size_t k = piece / pieces, begin = piece % pieces * kPiece;
      const std::size_t count = std::min(kPiece, per_image - begin), at = k * per_image + begin;
      const float* const mean = mixture.mean + at;
      const double* const inverse = shared.inverse_scale + at;
      double of_mean[kPiece] = {}, of_scale[kPiece] = {};
      for (int i = 0; i < n; ++i) {
        const double a = dlogp[i] * responsibility[i * components + k];
        if (a == 0) continue;
        const Z* const in = z + i * per_image + begin;
        for (std::size_t j = 0; j < count; ++j) {
          const double d = (in[j] - double(mean[j])) * inverse[j];
          of_mean[j] += a * d * inverse[j];
          of_scale[j] += a * (d * d - 1);
        }
      }
      for (std::size_t j = 0; j < count; ++j) {
        if (dmixture.mean) dmixture.mean.write(at + j, float(of_mean[j]));
        if (dmixture.log_scale) dmixture.log_scale.write(at + j, float(of_scale[j]));
      }
    }
  }
  if (dmixture.weight_logits) {
    for (std::size_t k = 0; k < components; ++k) {
      const double weight = std::exp(shared.log_weight[k]);
      double sum = 0;
      for (int i = 0; i < n; ++i) sum += dlogp[i] * (responsibility[i * components + k] - weight);
      dmixture.weight_logits.write(k, float(sum));
    }
  }
}

template <class Z>
void mixture_sample(Z* z, const std::uint32_t* index, const NoiseStream* stream, double temperature,
                    MixtureParameters<float> mixture, int n, std::size_t per_image, Cpu cpu) {
  normal_noise(z, index, stream, temperature, n, per_image, cpu);
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    const int k = drawn_component(*stream, index[i], mixture.weight_logits, mixture.components);
    const float *const mean = mixture.mean + k * per_image, *const log_scale = mixture.log_scale + k * per_image;
    Z* const row = z + i * per_image;
    for (std::size_t j = 0; j < per_image; ++j) row[j] = Z(mean[j] + std::exp(double(log_scale[j])) * row[j]);
  }
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                    \
  template void mixture_log_density_forward(double*, double*, const Z*, MixtureParameters<float>, int, std::size_t, \
                                            Cpu);                                                                   \
  template void mixture_log_density_backward(Grad<Z>, MixtureGrads<float>, const double*, const double*, const Z*,  \
                                             MixtureParameters<float>, int, std::size_t, Cpu);                      \
  template void mixture_sample(Z*, const std::uint32_t*, const NoiseStream*, double, MixtureParameters<float>, int, \
                               std::size_t, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
