// A mixture of K diagonal normals over the D elements of an image or vector, as the base of a flow.
//
//   log p(z) = log sum_k w[k] prod_j N(z[j]; mean[k,j], exp(log_scale[k,j])),   w = softmax(weight_logits)
#pragma once

#include "kernels/noise.h"

namespace flowsmith::core {

/// The parameters of a mixture in the type of the networks.
template <class S>
struct MixtureParameters {
  const S* weight_logits = nullptr;  ///< (K)
  const S* mean = nullptr;           ///< (K, D)
  const S* log_scale = nullptr;      ///< (K, D)
  int components = 0;                ///< K
};

/// Their gradients.
template <class S>
struct MixtureGrads {
  Grad<S> weight_logits, mean, log_scale;

  explicit operator bool() const { return weight_logits || mean || log_scale; }
};

/// logp[i] += log p(z[i]), the logarithm shifted by the largest component, all in double.
/// responsibility[i,k] = w[k] N_k(z[i]) / p(z[i]) is what the gradient needs.
/// Shapes: z (n, per_image), logp (n), responsibility (n, K).
template <class Z, class S>
void mixture_log_density_forward(double* logp, double* responsibility, const Z* z, MixtureParameters<S> mixture, int n,
                                 std::size_t per_image, Reference);
template <class Z>
void mixture_log_density_forward(double* logp, double* responsibility, const Z* z, MixtureParameters<float> mixture,
                                 int n, std::size_t per_image, Cpu);
template <class Z, Gpu G>
void mixture_log_density_forward(double* logp, double* responsibility, const Z* z, MixtureParameters<float> mixture,
                                 int n, std::size_t per_image, G gpu);

/// With d[i,k,j] = (z[i,j] - mean[k,j]) / exp(log_scale[k,j]) and a[i,k] = dlogp[i] * responsibility[i,k]:
///   dz[i,j]           = -sum_k a[i,k] d[i,k,j] / exp(log_scale[k,j])
///   dmean[k,j]        =  sum_i a[i,k] d[i,k,j] / exp(log_scale[k,j])
///   dlog_scale[k,j]   =  sum_i a[i,k] (d[i,k,j]^2 - 1)
///   dweight_logits[k] =  sum_i (a[i,k] - dlogp[i] w[k])
/// Sums are in double, those over the batch in a fixed order.
template <class Z, class S>
void mixture_log_density_backward(Grad<Z> dz, MixtureGrads<S> dmixture, const double* dlogp,
                                  const double* responsibility, const Z* z, MixtureParameters<S> mixture, int n,
                                  std::size_t per_image, Reference);
template <class Z>
void mixture_log_density_backward(Grad<Z> dz, MixtureGrads<float> dmixture, const double* dlogp,
                                  const double* responsibility, const Z* z, MixtureParameters<float> mixture, int n,
                                  std::size_t per_image, Cpu);
template <class Z, Gpu G>
void mixture_log_density_backward(Grad<Z> dz, MixtureGrads<float> dmixture, const double* dlogp,
                                  const double* responsibility, const Z* z, MixtureParameters<float> mixture, int n,
                                  std::size_t per_image, G gpu);

/// The Philox group whose first word chooses the component of an image: no element has it (docs/math/noise.md).
inline constexpr std::uint32_t kComponentGroup = 0xffffffffu;

/// A sample for image index[i]: z[i,j] = mean[k,j] + exp(log_scale[k,j]) * e[j], where e is what normal_noise draws
/// with this stream and scale = temperature, and the component k is the first whose cumulative weight is above a
/// uniform number of the same stream. The temperature leaves the weights alone. Shapes: z (n, per_image), index (n).
/// `stream` lies where index does.
template <class Z, class S>
void mixture_sample(Z* z, const std::uint32_t* index, const NoiseStream* stream, double temperature,
                    MixtureParameters<S> mixture, int n, std::size_t per_image, Reference);
template <class Z>
void mixture_sample(Z* z, const std::uint32_t* index, const NoiseStream* stream, double temperature,
                    MixtureParameters<float> mixture, int n, std::size_t per_image, Cpu);
template <class Z, Gpu G>
void mixture_sample(Z* z, const std::uint32_t* index, const NoiseStream* stream, double temperature,
                    MixtureParameters<float> mixture, int n, std::size_t per_image, G gpu);

}  // namespace flowsmith::core
