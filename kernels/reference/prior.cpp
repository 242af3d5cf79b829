// The standard normal prior and the split: plain loops, densities summed in double.
#include "kernels/prior.h"

#include "kernels/prior_math.h"

namespace flowsmith::core {
namespace {

double log_density(double z) { return standard_normal_log_density(z * z, 1); }

}  // namespace

template <class T>
void gaussian_log_density_forward(double* logp, const T* z, int n, std::size_t per_image, Reference) {
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < per_image; ++j) logp[i] += log_density(z[i * per_image + j]);
  }
}

template <class T>
void gaussian_log_density_backward(Grad<T> dz, const double* dlogp, const T* z, int n, std::size_t per_image,
                                   Reference) {
  if (!dz) return;
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) dz.write(j, T(-z[j] * dlogp[i]));
  }
}

template <class T>
void split_forward(T* kept, T* latent, double* logp, const T* z, MapShape shape, Reference) {
  const int c = shape.c, c_latent = c / 2, c_kept = c - c_latent;
  for (int n = 0; n < shape.n; ++n) {
    for (std::size_t p = n * shape.pixels(); p < (n + 1) * shape.pixels(); ++p) {
      for (int k = 0; k < c_kept; ++k) kept[p * c_kept + k] = z[p * c + k];
      for (int k = 0; k < c_latent; ++k) {
        const T value = z[p * c + c_kept + k];
        if (latent) latent[p * c_latent + k] = value;
        logp[n] += log_density(value);
      }
    }
  }
}

template <class T>
void split_inverse(T* z, const T* kept, const T* latent, MapShape shape, Reference) {
  const int c = shape.c, c_latent = c / 2, c_kept = c - c_latent;
  for (std::size_t p = 0; p < shape.n * shape.pixels(); ++p) {
    for (int k = 0; k < c_kept; ++k) z[p * c + k] = kept[p * c_kept + k];
    for (int k = 0; k < c_latent; ++k) z[p * c + c_kept + k] = latent[p * c_latent + k];
  }
}

template <class T>
void split_backward(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, MapShape shape, Reference) {
  if (!dz) return;
  const int c = shape.c, c_kept = c - c / 2;
  for (int n = 0; n < shape.n; ++n) {
    for (std::size_t p = n * shape.pixels(); p < (n + 1) * shape.pixels(); ++p) {
      for (int k = 0; k < c_kept; ++k) dz.write(p * c + k, dkept[p * c_kept + k]);
      for (int k = c_kept; k < c; ++k) dz.write(p * c + k, T(-z[p * c + k] * dlogp[n]));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                              \
  template void gaussian_log_density_forward(double*, const T*, int, std::size_t, Reference);                 \
  template void gaussian_log_density_backward(Grad<T>, const double*, const T*, int, std::size_t, Reference); \
  template void split_forward(T*, T*, double*, const T*, MapShape, Reference);                                \
  template void split_inverse(T*, const T*, const T*, MapShape, Reference);                                   \
  template void split_backward(Grad<T>, const T*, const double*, const T*, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
