// The standard normal prior, and the split that sends half of the channels to it early (multi-scale
// architecture: RealNVP, Dinh et al. 2017, section 3.6).
//
//   log N(z; 0, 1) = -z^2/2 - log(2 pi)/2, summed over the elements of an image
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// logp[i] += log N(z[i]; 0, 1). Shapes: z (n, per_image), logp (n).
template <class T>
void gaussian_log_density_forward(double* logp, const T* z, int n, std::size_t per_image, Reference);
template <class T>
void gaussian_log_density_forward(double* logp, const T* z, int n, std::size_t per_image, Cpu);
template <class T, Gpu G>
void gaussian_log_density_forward(double* logp, const T* z, int n, std::size_t per_image, G gpu);

/// dz = -z * dlogp[i].
template <class T>
void gaussian_log_density_backward(Grad<T> dz, const double* dlogp, const T* z, int n, std::size_t per_image,
                                   Reference);
template <class T>
void gaussian_log_density_backward(Grad<T> dz, const double* dlogp, const T* z, int n, std::size_t per_image, Cpu);
template <class T, Gpu G>
void gaussian_log_density_backward(Grad<T> dz, const double* dlogp, const T* z, int n, std::size_t per_image, G gpu);

/// kept = z[.., 0..c-c/2), latent = z[.., c-c/2..c), logp += log N(latent; 0, 1).
/// Shapes: z (n,h,w,c), kept (n,h,w,c-c/2), latent (n,h,w,c/2) or null if only its density is wanted.
template <class T>
void split_forward(T* kept, T* latent, double* logp, const T* z, MapShape shape, Reference);
template <class T>
void split_forward(T* kept, T* latent, double* logp, const T* z, MapShape shape, Cpu);
template <class T, Gpu G>
void split_forward(T* kept, T* latent, double* logp, const T* z, MapShape shape, G gpu);

/// z = concat(kept, latent) along the channels; shape is that of z.
template <class T>
void split_inverse(T* z, const T* kept, const T* latent, MapShape shape, Reference);
template <class T>
void split_inverse(T* z, const T* kept, const T* latent, MapShape shape, Cpu);
template <class T, Gpu G>
void split_inverse(T* z, const T* kept, const T* latent, MapShape shape, G gpu);

/// dz = concat(dkept, -z[latent part] * dlogp).
template <class T>
void split_backward(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, MapShape shape, Reference);
template <class T>
void split_backward(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, MapShape shape, Cpu);
template <class T, Gpu G>
void split_backward(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, MapShape shape, G gpu);

}  // namespace flowsmith::core
