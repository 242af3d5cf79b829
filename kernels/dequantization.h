// From pixels to the real line and back (uniform dequantization: Theis et al. 2016; logit with alpha: RealNVP section
// 4.1; variational dequantization: Flow++, Ho et al. 2019, section 3.1; fewer bits: Glow, Kingma and Dhariwal 2018).
//
//   p = alpha/2 + (1 - alpha) * v          keeps v in [0,1] away from the ends
//   logit(v) = log p - log(1 - p)          d logit/dv = (1 - alpha) / (p * (1 - p))
#pragma once

#include "kernels/grey_levels.h"
#include "kernels/noise.h"

namespace flowsmith::core {

inline constexpr double kAlpha = 1e-5;  ///< the tutorial's alpha; RealNVP's is 0.05

/// How pixels become numbers.
struct Dequantizer {
  int levels = kGreyLevels;  ///< L below: the images are reduced to so many levels (kernels/grey_levels.h)
  double alpha = kAlpha;     ///< in [0, 1)
};

/// z = logit((q + u) / L), q the level of a pixel; logdet += sum of log dz/du. May work in place on u.
/// Shapes: z, image, u (n, per_image); logdet (n). u in [0, 1].
template <class T>
void dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const T* u, int n, std::size_t per_image,
                        Dequantizer dequantizer, Reference);
template <class T>
void dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const T* u, int n, std::size_t per_image,
                        Dequantizer dequantizer, Cpu);
template <class T, Gpu G>
void dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const T* u, int n, std::size_t per_image,
                        Dequantizer dequantizer, G gpu);

/// uniform_noise and dequantize_forward with no memory for u: on a GPU in one pass, with the bits of the two. Shapes:
/// index (n); `stream` lies where index does.
template <class T>
void noisy_dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const std::uint32_t* index,
                              const NoiseStream* stream, int n, std::size_t per_image, Dequantizer dequantizer,
                              Reference);
template <class T>
void noisy_dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const std::uint32_t* index,
                              const NoiseStream* stream, int n, std::size_t per_image, Dequantizer dequantizer, Cpu);
template <class T, Gpu G>
void noisy_dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const std::uint32_t* index,
                              const NoiseStream* stream, int n, std::size_t per_image, Dequantizer dequantizer, G gpu);

/// q = floor(L * (sigmoid(z) - alpha/2) / (1 - alpha)), clamped to 0..L-1, and the image shows it: floor(255 q /
/// (L-1)), of which dequantize_forward sees the level q again. A z that is not finite clamps like its sign says; NaN
/// gives 0.
template <class T>
void dequantize_inverse(std::uint8_t* image, const T* z, int n, std::size_t per_image, Dequantizer dequantizer,
                        Reference);
template <class T>
void dequantize_inverse(std::uint8_t* image, const T* z, int n, std::size_t per_image, Dequantizer dequantizer, Cpu);
template <class T, Gpu G>
void dequantize_inverse(std::uint8_t* image, const T* z, int n, std::size_t per_image, Dequantizer dequantizer, G gpu);

/// Gradient for u, which is learned in variational dequantization. With p as above for v = (q+u)/L:
///   du = (dz + dlogdet * (2p - 1)) * (1 - alpha) / L / (p * (1 - p))
template <class T>
void dequantize_backward(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image, const T* u, int n,
                         std::size_t per_image, Dequantizer dequantizer, Reference);
template <class T>
void dequantize_backward(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image, const T* u, int n,
                         std::size_t per_image, Dequantizer dequantizer, Cpu);
template <class T, Gpu G>
void dequantize_backward(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image, const T* u, int n,
                         std::size_t per_image, Dequantizer dequantizer, G gpu);

/// v = logit(u) with the dequantizer's alpha; logdet += sum of log dv/du: where variational dequantization starts.
/// u is uniform noise, so there is no gradient. May work in place on u. Shapes: v, u (n, per_image); logdet (n).
template <class T>
void logit_forward(T* v, double* logdet, const T* u, int n, std::size_t per_image, Dequantizer dequantizer, Reference);
template <class T>
void logit_forward(T* v, double* logdet, const T* u, int n, std::size_t per_image, Dequantizer dequantizer, Cpu);
template <class T, Gpu G>
void logit_forward(T* v, double* logdet, const T* u, int n, std::size_t per_image, Dequantizer dequantizer, G gpu);

/// uniform_noise and logit_forward with no memory for u, as above.
template <class T>
void noisy_logit_forward(T* v, double* logdet, const std::uint32_t* index, const NoiseStream* stream, int n,
                         std::size_t per_image, Dequantizer dequantizer, Reference);
template <class T>
void noisy_logit_forward(T* v, double* logdet, const std::uint32_t* index, const NoiseStream* stream, int n,
                         std::size_t per_image, Dequantizer dequantizer, Cpu);
template <class T, Gpu G>
void noisy_logit_forward(T* v, double* logdet, const std::uint32_t* index, const NoiseStream* stream, int n,
                         std::size_t per_image, Dequantizer dequantizer, G gpu);

/// p = sigmoid(v), u = (p - alpha/2) / (1 - alpha), logdet += sum of log du/dv = -|v| - 2 log(1 + exp(-|v|)) - log(1 -
/// alpha): where variational dequantization ends. The tutorial's PyTorch edition has alpha = 0 here, its JAX edition
/// the logit's, which this undoes; u may then leave [0, 1] by alpha/2. In double, p is kept within [2^-32, 1 - 2^-32]:
/// a sigmoid that rounds to 0 or 1 would put x + u on an integer, and the image could not be recovered.
template <class T>
void sigmoid_forward(T* u, double* logdet, const T* v, int n, std::size_t per_image, double alpha, Reference);
template <class T>
void sigmoid_forward(T* u, double* logdet, const T* v, int n, std::size_t per_image, double alpha, Cpu);
template <class T, Gpu G>
void sigmoid_forward(T* u, double* logdet, const T* v, int n, std::size_t per_image, double alpha, G gpu);

/// dv = du * p * (1 - p) / (1 - alpha) + dlogdet * (1 - 2p).
template <class T>
void sigmoid_backward(Grad<T> dv, const T* du, const double* dlogdet, const T* v, int n, std::size_t per_image,
                      double alpha, Reference);
template <class T>
void sigmoid_backward(Grad<T> dv, const T* du, const double* dlogdet, const T* v, int n, std::size_t per_image,
                      double alpha, Cpu);
template <class T, Gpu G>
void sigmoid_backward(Grad<T> dv, const T* du, const double* dlogdet, const T* v, int n, std::size_t per_image,
                      double alpha, G gpu);

}  // namespace flowsmith::core
