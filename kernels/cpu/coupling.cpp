// Affine coupling: images over threads; tanh and exp only where the mask transforms. Sums inside an
// image run over its pixels in order; the sum over the batch adds one partial per image, in order.
#include "kernels/coupling.h"

#include <vector>

#include "kernels/coupling_math.h"
#include "kernels/cpu/parallel.h"

namespace flowsmith {
namespace {

/// f = exp(scaling_factor) of every channel.
template <class Z>
std::vector<Z> scale_bounds(const float* scaling_factor, int c) {
  std::vector<Z> f(c);
  for (int k = 0; k < c; ++k) f[k] = std::exp(Z(scaling_factor[k]));
  return f;
}

/// Calls body(k, element of z, element of s_raw, mask) for one image; t_raw is c elements behind s_raw.
template <class Body>
void for_each_element(MapShape shape, Mask mask, int n, Body body) {
  for (int y = 0; y < shape.h; ++y) {
    for (int x = 0; x < shape.w; ++x) {
      const std::size_t p = (std::size_t(n) * shape.h + y) * shape.w + x;
      for (int k = 0; k < shape.c; ++k) {
        body(k, p * shape.c + k, p * 2 * shape.c + k, mask_value(mask, y, x, k, shape.c));
      }
    }
  }
}

}  // namespace

template <class Z>
void coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, Cpu) {
  const std::vector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double sum = 0;
    for_each_element(shape, mask, n, [&](int k, std::size_t i, std::size_t s_at, bool masked) {
      if (masked) {
        z_out[i] = z[i];
        return;
      }
      const Z s = coupling_scale(Z(st[s_at]), f[k]).s;
      z_out[i] = (z[i] + Z(st[s_at + shape.c])) * std::exp(s);
      sum += s;
    });
    logdet[n] += sum;
  }
}

template <class Z>
void coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, Cpu) {
  const std::vector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double sum = 0;
    for_each_element(shape, mask, n, [&](int k, std::size_t i, std::size_t s_at, bool masked) {
      if (masked) {
        z[i] = z_out[i];
        return;
      }
      const Z s = coupling_scale(Z(st[s_at]), f[k]).s;
      z[i] = z_out[i] * std::exp(-s) - Z(st[s_at + shape.c]);
      sum += s;
    });
    if (logdet) logdet[n] -= sum;
  }
}

template <class Z>
void coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out, const double* dlogdet,
                       const Z* z, const float* st, const float* scaling_factor, MapShape shape, Mask mask, Cpu) {
  const std::vector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
  std::vector<double> partial(std::size_t(shape.n) * shape.c);  // of dscaling_factor, one row per image
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double* row = partial.data() + std::size_t(n) * shape.c;
    for_each_element(shape, mask, n, [&](int k, std::size_t i, std::size_t s_at, bool masked) {
      const std::size_t t_at = s_at + shape.c;
      if (masked) {
        if (dz) dz.write(i, dz_out[i]);
        if (dst) dst.write(s_at, 0.0f);
        if (dst) dst.write(t_at, 0.0f);
        return;
      }
      const CouplingScale<Z> scale = coupling_scale(Z(st[s_at]), f[k]);
      const Z dt = dz_out[i] * std::exp(scale.s);
      const Z ds = dt * (z[i] + Z(st[t_at])) + Z(dlogdet[n]);
      if (dz) dz.write(i, dt);
      if (dst) dst.write(s_at, float(ds * scale.ds_raw));
      if (dst) dst.write(t_at, float(dt));
      row[k] += ds * scale.dscaling;
    });
  }
  for (int k = 0; dscaling_factor && k < shape.c; ++k) {
    double sum = 0;
    for (int n = 0; n < shape.n; ++n) sum += partial[std::size_t(n) * shape.c + k];
    dscaling_factor.write(k, float(sum));
  }
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                      \
  template void coupling_forward(Z*, double*, const Z*, const float*, const float*, MapShape, Mask, Cpu);             \
  template void coupling_inverse(Z*, double*, const Z*, const float*, const float*, MapShape, Mask, Cpu);             \
  template void coupling_backward(Grad<Z>, Grad<float>, Grad<float>, const Z*, const double*, const Z*, const float*, \
                                  const float*, MapShape, Mask, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith
