// The mixture of diagonal normals: plain loops in double.
#include "kernels/mixture.h"

#include <vector>

#include "kernels/mixture_math.h"
#include "kernels/prior_math.h"

namespace flowsmith::core {

template <class Z, class S>
void mixture_log_density_forward(double* logp, double* responsibility, const Z* z, MixtureParameters<S> mixture, int n,
                                 std::size_t per_image, Reference) {
  const int components = mixture.components;
  const double log_total = log_sum_exp(mixture.weight_logits, components);
  for (int i = 0; i < n; ++i) {
    double* const terms = responsibility + std::size_t(i) * components;
    for (int k = 0; k < components; ++k) {
      terms[k] = mixture.weight_logits[k] - log_total;
      for (std::size_t j = 0; j < per_image; ++j) {
        const std::size_t at = k * per_image + j;
        const double d = (z[i * per_image + j] - double(mixture.mean[at])) * inverse_scale(mixture.log_scale[at]);
        terms[k] += standard_normal_log_density(d * d, 1) - mixture.log_scale[at];
      }
    }
    logp[i] += normalise_components(terms, components);
  }
}

template <class Z, class S>
void mixture_log_density_backward(Grad<Z> dz, MixtureGrads<S> dmixture, const double* dlogp,
                                  const double* responsibility, const Z* z, MixtureParameters<S> mixture, int n,
                                  std::size_t per_image, Reference) {
  const std::size_t components = mixture.components, size = components * per_image;
  const double log_total = log_sum_exp(mixture.weight_logits, mixture.components);
  std::vector<double> of_z(n * per_image), of_logits(components), of_mean(size), of_scale(size);
  for (int i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < components; ++k) {
      const double a = dlogp[i] * responsibility[i * components + k];
      of_logits[k] += a - dlogp[i] * std::exp(mixture.weight_logits[k] - log_total);
      for (std::size_t j = 0; j < per_image; ++j) {
        const std::size_t at = k * per_image + j;
        const double inverse = inverse_scale(mixture.log_scale[at]);
        const double d = (z[i * per_image + j] - double(mixture.mean[at])) * inverse;
        of_z[i * per_image + j] -= a * d * inverse;
        of_mean[at] += a * d * inverse;
        of_scale[at] += a * (d * d - 1);
      }
    }
  }
  const auto write = [](auto gradient, const std::vector<double>& sums) {
    if (!gradient) return;
    for (std::size_t i = 0; i < sums.size(); ++i)
      gradient.write(i, std::remove_pointer_t<decltype(gradient.data)>(sums[i]));
  };
  write(dz, of_z);
  write(dmixture.weight_logits, of_logits);
  write(dmixture.mean, of_mean);
  write(dmixture.log_scale, of_scale);
}

template <class Z, class S>
void mixture_sample(Z* z, const std::uint32_t* index, const NoiseStream* stream, double temperature,
                    MixtureParameters<S> mixture, int n, std::size_t per_image, Reference reference) {
  normal_noise(z, index, stream, temperature, n, per_image, reference);
  for (int i = 0; i < n; ++i) {
    const int k = drawn_component(*stream, index[i], mixture.weight_logits, mixture.components);
    for (std::size_t j = 0; j < per_image; ++j) {
      Z& element = z[i * per_image + j];
      element = Z(mixture.mean[k * per_image + j] + std::exp(double(mixture.log_scale[k * per_image + j])) * element);
    }
  }
}

#define FLOWSMITH_INSTANTIATE(Z, S)                                                                             \
  template void mixture_log_density_forward(double*, double*, const Z*, MixtureParameters<S>, int, std::size_t, \
                                            Reference);                                                         \
  template void mixture_log_density_backward(Grad<Z>, MixtureGrads<S>, const double*, const double*, const Z*,  \
                                             MixtureParameters<S>, int, std::size_t, Reference);                \
  template void mixture_sample(Z*, const std::uint32_t*, const NoiseStream*, double, MixtureParameters<S>, int, \
                               std::size_t, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
