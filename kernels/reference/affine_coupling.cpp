// Affine coupling: the lines of affine_coupling.h for every element that the mask transforms.
#include "kernels/affine_coupling.h"

#include <vector>

#include "kernels/affine_coupling_math.h"

namespace flowsmith::core {
namespace {

/// Calls body(image, channel, element of z, element of s_raw, element of t_raw, mask) for the whole batch.
template <class Body>
void for_each_element(MapShape shape, Mask mask, Body body) {
  for (int n = 0; n < shape.n; ++n) {
    for (int y = 0; y < shape.h; ++y) {
      for (int x = 0; x < shape.w; ++x) {
        for (int k = 0; k < shape.c; ++k) {
          const std::size_t p = (std::size_t(n) * shape.h + y) * shape.w + x;
          const std::size_t s_at = p * 2 * shape.c + k;
          body(n, k, p * shape.c + k, s_at, s_at + shape.c, mask_value(mask, y, x, k, shape));
        }
      }
    }
  }
}

}  // namespace

template <class Z, class S>
void affine_coupling_forward(Z* z_out, double* logdet, const Z* z, const S* st, const S* scaling_factor, MapShape shape,
                             Mask mask, AffineForm form, Reference) {
  for_each_element(shape, mask, [&](int n, int k, std::size_t i, std::size_t s_at, std::size_t t_at, bool masked) {
    if (masked) {
      z_out[i] = z[i];
      return;
    }
    const Z s = log_scale(form, Z(st[s_at]), scale_bound<Z>(scaling_factor, k)).s;
    z_out[i] = affine(z[i], Z(st[t_at]), std::exp(s), form.shift_first);
    logdet[n] += s;
  });
}

template <class Z, class S>
void affine_coupling_inverse(Z* z, double* logdet, const Z* z_out, const S* st, const S* scaling_factor, MapShape shape,
                             Mask mask, AffineForm form, Reference) {
  for_each_element(shape, mask, [&](int n, int k, std::size_t i, std::size_t s_at, std::size_t t_at, bool masked) {
    if (masked) {
      z[i] = z_out[i];
      return;
    }
    const Z s = log_scale(form, Z(st[s_at]), scale_bound<Z>(scaling_factor, k)).s;
    z[i] = affine_inverse(z_out[i], Z(st[t_at]), std::exp(-s), form.shift_first);
    if (logdet) logdet[n] -= s;
  });
}

template <class Z, class S>
void affine_coupling_backward(Grad<Z> dz, Grad<S> dst, Grad<S> dscaling_factor, const Z* dz_out, const double* dlogdet,
                              const Z* z, const S* st, const S* scaling_factor, MapShape shape, Mask mask,
                              AffineForm form, Reference) {
  std::vector<double> dscaling_sum(shape.c);
  for_each_element(shape, mask, [&](int n, int k, std::size_t i, std::size_t s_at, std::size_t t_at, bool masked) {
    if (masked) {
      if (dz) dz.write(i, dz_out[i]);
      if (dst) dst.write(s_at, S(0));
      if (dst) dst.write(t_at, S(0));
      return;
    }
    const LogScale<Z> scale = log_scale(form, Z(st[s_at]), scale_bound<Z>(scaling_factor, k));
    const AffineGradient<Z> d =
        affine_backward(dz_out[i], Z(dlogdet[n]), z[i], Z(st[t_at]), std::exp(scale.s), form.shift_first);
    if (dz) dz.write(i, d.z);
    if (dst) dst.write(s_at, S(d.s * scale.ds_raw));
    if (dst) dst.write(t_at, S(d.t));
    dscaling_sum[k] += d.s * scale.dscaling;
  });
  for (int k = 0; dscaling_factor && k < shape.c; ++k) dscaling_factor.write(k, S(dscaling_sum[k]));
}

#define FLOWSMITH_INSTANTIATE(Z, S)                                                                              \
  template void affine_coupling_forward(Z*, double*, const Z*, const S*, const S*, MapShape, Mask, AffineForm,   \
                                        Reference);                                                              \
  template void affine_coupling_inverse(Z*, double*, const Z*, const S*, const S*, MapShape, Mask, AffineForm,   \
                                        Reference);                                                              \
  template void affine_coupling_backward(Grad<Z>, Grad<S>, Grad<S>, const Z*, const double*, const Z*, const S*, \
                                         const S*, MapShape, Mask, AffineForm, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
