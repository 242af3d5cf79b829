// Affine coupling: images over threads; tanh and exp only where the mask transforms, some elements at a time so that
// floats go through vectors. Sums inside an image run over its pixels in order; the sum over the batch adds one partial
// per image, in order.
#include "kernels/coupling.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/coupling_math.h"
#include "kernels/cpu/coupling_scales.h"
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

/// A transformed element: channel, its place in z, and those of s_raw and t_raw in st.
struct Element {
  int k;
  std::size_t i, s, t;
};

/// Transformed elements in their order, with h = tanh(s_raw / f) and e = exp(sign * h * f) once evaluated.
template <class Z>
struct Run {
  static constexpr int kMost = 64;
  int count = 0;
  Element element[kMost];
  Z s_raw[kMost], f[kMost], h[kMost], e[kMost];

  void evaluate(Z sign) {
    if constexpr (std::is_same_v<Z, float>) {
      const bool in_range = std::all_of(f, f + count, [](float bound) { return bound <= cpu::kLargestScaleBound; });
      if (in_range) return cpu::coupling_scales(h, e, s_raw, f, sign, count);
    }
    for (int j = 0; j < count; ++j) {
      h[j] = std::tanh(s_raw[j] / f[j]);
      e[j] = std::exp(sign * h[j] * f[j]);
    }
  }
};

/// For one image: copied(element) where the mask is 1, transformed(element, CouplingScale, exp(sign * s)) where it is
/// 0.
template <class Z, class Copied, class Transformed>
void for_each_element(MapShape shape, Mask mask, int n, const float* st, const std::vector<Z>& f, Z sign,
                      const Copied& copied, const Transformed& transformed) {
  Run<Z> run;
  const auto finish = [&] {
    run.evaluate(sign);
    for (int j = 0; j < run.count; ++j) {
      transformed(run.element[j], coupling_scale_of(run.h[j], run.s_raw[j], run.f[j]), run.e[j]);
    }
    run.count = 0;
  };
  for (int y = 0; y < shape.h; ++y) {
    for (int x = 0; x < shape.w; ++x) {
      const std::size_t p = (std::size_t(n) * shape.h + y) * shape.w + x;
      for (int k = 0; k < shape.c; ++k) {
        const Element element{k, p * shape.c + k, p * 2 * shape.c + k, (p * 2 + 1) * shape.c + k};
        if (mask_value(mask, y, x, k, shape.c)) {
          copied(element);
          continue;
        }
        run.element[run.count] = element;
        run.s_raw[run.count] = Z(st[element.s]);
        run.f[run.count] = f[k];
        if (++run.count == run.kMost) finish();
      }
    }
  }
  finish();
}

}  // namespace

template <class Z>
void coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, Cpu) {
  const std::vector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double sum = 0;
    for_each_element(
        shape, mask, n, st, f, Z(1), [&](const Element& at) { z_out[at.i] = z[at.i]; },
        [&](const Element& at, const CouplingScale<Z>& scale, Z e) {
          z_out[at.i] = (z[at.i] + Z(st[at.t])) * e;
          sum += scale.s;
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
    for_each_element(
        shape, mask, n, st, f, Z(-1), [&](const Element& at) { z[at.i] = z_out[at.i]; },
        [&](const Element& at, const CouplingScale<Z>& scale, Z e) {
          z[at.i] = z_out[at.i] * e - Z(st[at.t]);
          sum += scale.s;
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
    for_each_element(
        shape, mask, n, st, f, Z(1),
        [&](const Element& at) {
          if (dz) dz.write(at.i, dz_out[at.i]);
          if (dst) dst.write(at.s, 0.0f);
          if (dst) dst.write(at.t, 0.0f);
        },
        [&](const Element& at, const CouplingScale<Z>& scale, Z e) {
          const Z dt = dz_out[at.i] * e;
          const Z ds = dt * (z[at.i] + Z(st[at.t])) + Z(dlogdet[n]);
          if (dz) dz.write(at.i, dt);
          if (dst) dst.write(at.s, float(ds * scale.ds_raw));
          if (dst) dst.write(at.t, float(dt));
          row[at.k] += ds * scale.dscaling;
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
