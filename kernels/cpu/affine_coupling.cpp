// Affine coupling: images over threads; tanh, sigmoid and exp only where the mask transforms, some elements at a time
// so that floats go through vectors. Sums inside an image run over its pixels in order; the sum over the batch adds one
// partial per image, in order.
#include "kernels/affine_coupling.h"

#include <algorithm>
#include <type_traits>

#include "kernels/affine_coupling_math.h"
#include "kernels/cpu/log_scales.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith::core {
namespace {

/// f of every channel.
template <class Z>
cpu::ScratchVector<Z> scale_bounds(const float* scaling_factor, int c) {
  cpu::ScratchVector<Z> f(c);
  for (int k = 0; k < c; ++k) f[k] = scale_bound<Z>(scaling_factor, k);
  return f;
}

/// A transformed element: channel, its place in z, and those of s_raw and t_raw in st.
struct Element {
  int k;
  std::size_t i, s, t;
};

/// Transformed elements in their order, with their log-scales and e = exp(sign * s) once evaluated.
template <class Z>
struct Run {
  static constexpr int kMost = 64;
  int count = 0;
  Element element[kMost];
  Z s_raw[kMost], f[kMost], e[kMost];
  LogScale<Z> scale[kMost];

  void evaluate(AffineForm form, Z sign) {
    if constexpr (std::is_same_v<Z, float>) {
      if (evaluate_in_vectors(form, sign)) return;
    }
    for (int j = 0; j < count; ++j) evaluate_one(form, sign, j);
  }

 private:
  void evaluate_one(AffineForm form, Z sign, int j) {
    scale[j] = log_scale(form, s_raw[j], f[j]);
    e[j] = std::exp(sign * scale[j].s);
  }

  /// False if it is not for these.
  bool evaluate_in_vectors(AffineForm form, float sign) {
    if (form.bound == ScaleBound::kTanh || form.bound == ScaleBound::kLearnedTanh) {
      if (!std::all_of(f, f + count, [](float bound) { return bound <= cpu::kLargestExponent; })) return false;
      float h[kMost];
      cpu::tanh_scales(h, e, s_raw, f, sign, count);
      for (int j = 0; j < count; ++j) scale[j] = tanh_log_scale(h[j], s_raw[j], f[j]);
      return true;
    }
    const float shift = form.bound == ScaleBound::kSigmoid ? form.sigmoid_shift : 0;
    float s[kMost], ds[kMost];
    if (form.bound == ScaleBound::kSigmoid) {
      cpu::sigmoid_scales(s, ds, e, s_raw, shift, sign, count);
    } else {
      std::copy_n(s_raw, count, s);
      std::fill_n(ds, count, 1.0f);
      cpu::exp_scales(e, s_raw, sign, count);
    }
    for (int j = 0; j < count; ++j) {
      scale[j] = {s[j], ds[j], 0};
      if (std::abs(s_raw[j] + shift) > cpu::kLargestExponent) evaluate_one(form, sign, j);
    }
    return true;
  }
};

/// For one image: copied(element) where the mask is 1, transformed(element, LogScale, exp(sign * s)) where it is 0.
template <class Z, class Copied, class Transformed>
void for_each_element(MapShape shape, Mask mask, AffineForm form, int n, const float* st,
                      const cpu::ScratchVector<Z>& f, Z sign, const Copied& copied, const Transformed& transformed) {
  Run<Z> run;
  const auto finish = [&] {
    run.evaluate(form, sign);
    for (int j = 0; j < run.count; ++j) transformed(run.element[j], run.scale[j], run.e[j]);
    run.count = 0;
  };
  for (int y = 0; y < shape.h; ++y) {
    for (int x = 0; x < shape.w; ++x) {
      const std::size_t p = (std::size_t(n) * shape.h + y) * shape.w + x;
      for (int k = 0; k < shape.c; ++k) {
        const Element element{k, p * shape.c + k, p * 2 * shape.c + k, (p * 2 + 1) * shape.c + k};
        if (mask_value(mask, y, x, k, shape)) {
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
void affine_coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, Cpu) {
  const cpu::ScratchVector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double sum = 0;
    for_each_element(
        shape, mask, form, n, st, f, Z(1), [&](const Element& at) { z_out[at.i] = z[at.i]; },
        [&](const Element& at, const LogScale<Z>& scale, Z e) {
          z_out[at.i] = affine(z[at.i], Z(st[at.t]), e, form.shift_first);
          sum += scale.s;
        });
    logdet[n] += sum;
  }
}

template <class Z>
void affine_coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, Cpu) {
  const cpu::ScratchVector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double sum = 0;
    for_each_element(
        shape, mask, form, n, st, f, Z(-1), [&](const Element& at) { z[at.i] = z_out[at.i]; },
        [&](const Element& at, const LogScale<Z>& scale, Z e) {
          z[at.i] = affine_inverse(z_out[at.i], Z(st[at.t]), e, form.shift_first);
          sum += scale.s;
        });
    if (logdet) logdet[n] -= sum;
  }
}

template <class Z>
void affine_coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out,
                              const double* dlogdet, const Z* z, const float* st, const float* scaling_factor,
                              MapShape shape, Mask mask, AffineForm form, Cpu) {
  const cpu::ScratchVector<Z> f = scale_bounds<Z>(scaling_factor, shape.c);
  cpu::ScratchVector<double> partial(std::size_t(shape.n) * shape.c);  // of dscaling_factor, one row per image
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double* row = partial.data() + std::size_t(n) * shape.c;
    for_each_element(
        shape, mask, form, n, st, f, Z(1),
        [&](const Element& at) {
          if (dz) dz.write(at.i, dz_out[at.i]);
          if (dst) dst.write(at.s, 0.0f);
          if (dst) dst.write(at.t, 0.0f);
        },
        [&](const Element& at, const LogScale<Z>& scale, Z e) {
          const AffineGradient<Z> d =
              affine_backward(dz_out[at.i], Z(dlogdet[n]), z[at.i], Z(st[at.t]), e, form.shift_first);
          if (dz) dz.write(at.i, d.z);
          if (dst) dst.write(at.s, float(d.s * scale.ds_raw));
          if (dst) dst.write(at.t, float(d.t));
          row[at.k] += d.s * scale.dscaling;
        });
  }
  for (int k = 0; dscaling_factor && k < shape.c; ++k) {
    double sum = 0;
    for (int n = 0; n < shape.n; ++n) sum += partial[std::size_t(n) * shape.c + k];
    dscaling_factor.write(k, float(sum));
  }
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                       \
  template void affine_coupling_forward(Z*, double*, const Z*, const float*, const float*, MapShape, Mask, AffineForm, \
                                        Cpu);                                                                          \
  template void affine_coupling_inverse(Z*, double*, const Z*, const float*, const float*, MapShape, Mask, AffineForm, \
                                        Cpu);                                                                          \
  template void affine_coupling_backward(Grad<Z>, Grad<float>, Grad<float>, const Z*, const double*, const Z*,         \
                                         const float*, const float*, MapShape, Mask, AffineForm, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
