// The pointwise parts of the networks in vectors over the channels of a pixel.
#include "kernels/cpu/pixel_rows.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/simd_targets.h"
#include "kernels/layer_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pixel_rows.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::cpu::HWY_NAMESPACE {

/// dst (+)= value in the first `count` lanes.
HWY_INLINE void write_first(float* dst, GradMode mode, Vector value, Index count) {
  if (mode == GradMode::kAccumulate) value = hn::Add(load_first(dst, count), value);
  store_first(value, dst, count);
}

void concat_elu_impl(float* out, const float* x, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, x += c, out += 2 * c) {
    for (int k = 0; k < c; k += kLanes) {
      const EluPair pair = elu_pair(load_first(x + k, c - k));
      store_first(pair.positive, out + k, c - k);
      store_first(pair.negative, out + c + k, c - k);
    }
  }
}

void concat_elu_gradient_impl(Grad<float> dx, const float* dy, const float* x, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, x += c, dy += 2 * c, dx.data += c) {
    for (int k = 0; k < c; k += kLanes) {
      const Vector value =
          elu_pair_gradient(load_first(dy + k, c - k), load_first(dy + c + k, c - k), load_first(x + k, c - k));
      write_first(dx.data + k, dx.mode, value, c - k);
    }
  }
}

void gate_impl(float* y, const float* x, const float* vg, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, y += c, x += c, vg += 2 * c) {
    for (int k = 0; k < c; k += kLanes) {
      const Sigmoid gate = sigmoid(load_first(vg + c + k, c - k));
      const Vector value = load_first(vg + k, c - k);
      store_first(hn::MulAdd(value, gate.value, load_first(x + k, c - k)), y + k, c - k);
    }
  }
}

void gate_gradient_impl(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, dy += c, vg += 2 * c) {
    for (int k = 0; k < c; k += kLanes) {
      const Index count = c - k;
      const Vector gradient = load_first(dy + k, count);
      if (dx) write_first(dx.data + p * c + k, dx.mode, gradient, count);
      if (!dvg) continue;
      const Sigmoid gate = sigmoid(load_first(vg + c + k, count));
      const Vector dvalue = hn::Mul(gradient, gate.value);
      const Vector dgate = hn::Mul(hn::Mul(dvalue, gate.complement), load_first(vg + k, count));
      write_first(dvg.data + 2 * p * c + k, dvg.mode, dvalue, count);
      write_first(dvg.data + (2 * p + 1) * c + k, dvg.mode, dgate, count);
    }
  }
}

HWY_INLINE float sum_of_lanes(Vector v) { return hn::GetLane(hn::SumOfLanes(Floats(), v)); }

struct PixelStatistics {
  Vector mean, rstd;
};
HWY_INLINE PixelStatistics statistics(const float* x, int c) {
  const Floats d;
  Vector sum = hn::Zero(d);
  for (int k = 0; k < c; k += kLanes) sum = hn::Add(sum, load_first(x + k, c - k));
  const Vector mean = hn::Set(d, sum_of_lanes(sum) / float(c));
  Vector squares = hn::Zero(d);
  for (int k = 0; k < c; k += kLanes) {
    const Vector centered = keep_first(hn::Sub(load_first(x + k, c - k), mean), c - k);
    squares = hn::MulAdd(centered, centered, squares);
  }
  const float variance = sum_of_lanes(squares) / float(c);
  return {mean, hn::Set(d, 1.0f / std::sqrt(variance + float(kLayerNormEps)))};
}

void layer_norm_impl(float* y, const float* x, const float* gamma, const float* beta, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, y += c, x += c) {
    const PixelStatistics s = statistics(x, c);
    for (int k = 0; k < c; k += kLanes) {
      const Index count = c - k;
      const Vector normal = hn::Mul(hn::Sub(load_first(x + k, count), s.mean), s.rstd);
      store_first(hn::MulAdd(normal, load_first(gamma + k, count), load_first(beta + k, count)), y + k, count);
    }
  }
}

void layer_norm_gradient_impl(Grad<float> dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                              const float* gamma, std::size_t pixels, int c) {
  const Floats d;
  for (std::size_t p = 0; p < pixels; ++p, dy += c, x += c) {
    const PixelStatistics s = statistics(x, c);
    Vector sum = hn::Zero(d), weighted = hn::Zero(d);
    for (int k = 0; k < c; k += kLanes) {
      const Index count = c - k;
      const Vector normal = hn::Mul(hn::Sub(load_first(x + k, count), s.mean), s.rstd);
      const Vector gradient = load_first(dy + k, count);
      const Vector g = hn::Mul(gradient, load_first(gamma + k, count));
      sum = hn::Add(sum, g);
      weighted = hn::MulAdd(g, normal, weighted);
      store_first(hn::MulAdd(gradient, normal, load_first(dgamma + k, count)), dgamma + k, count);
      store_first(hn::Add(load_first(dbeta + k, count), gradient), dbeta + k, count);
    }
    if (!dx) continue;
    const Vector mean_g = hn::Set(d, sum_of_lanes(sum) / float(c));
    const Vector mean_weighted = hn::Set(d, sum_of_lanes(weighted) / float(c));
    for (int k = 0; k < c; k += kLanes) {
      const Index count = c - k;
      const Vector normal = hn::Mul(hn::Sub(load_first(x + k, count), s.mean), s.rstd);
      const Vector g = hn::Mul(load_first(dy + k, count), load_first(gamma + k, count));
      const Vector value = hn::Mul(s.rstd, hn::NegMulAdd(normal, mean_weighted, hn::Sub(g, mean_g)));
      write_first(dx.data + p * c + k, dx.mode, value, count);
    }
  }
}

}  // namespace flowsmith::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::cpu {

HWY_EXPORT(concat_elu_impl);
HWY_EXPORT(concat_elu_gradient_impl);
HWY_EXPORT(gate_impl);
HWY_EXPORT(gate_gradient_impl);
HWY_EXPORT(layer_norm_impl);
HWY_EXPORT(layer_norm_gradient_impl);

void concat_elu_pixels(float* out, const float* x, std::size_t pixels, int c) {
  HWY_DYNAMIC_DISPATCH(concat_elu_impl)(out, x, pixels, c);
}
void concat_elu_gradient_pixels(Grad<float> dx, const float* dy, const float* x, std::size_t pixels, int c) {
  HWY_DYNAMIC_DISPATCH(concat_elu_gradient_impl)(dx, dy, x, pixels, c);
}
void gate_pixels(float* y, const float* x, const float* vg, std::size_t pixels, int c) {
  HWY_DYNAMIC_DISPATCH(gate_impl)(y, x, vg, pixels, c);
}
void gate_gradient_pixels(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, std::size_t pixels,
                          int c) {
  HWY_DYNAMIC_DISPATCH(gate_gradient_impl)(dx, dvg, dy, vg, pixels, c);
}
void layer_norm_pixels(float* y, const float* x, const float* gamma, const float* beta, std::size_t pixels, int c) {
  HWY_DYNAMIC_DISPATCH(layer_norm_impl)(y, x, gamma, beta, pixels, c);
}
void layer_norm_gradient_pixels(Grad<float> dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                                const float* gamma, std::size_t pixels, int c) {
  HWY_DYNAMIC_DISPATCH(layer_norm_gradient_impl)(dx, dgamma, dbeta, dy, x, gamma, pixels, c);
}

PaddedImage pad_image(float* out, const float* x, int h, int w, int c, int border, bool concat_elu) {
  const int channels = concat_elu ? 2 * c : c;
  const std::size_t pixel = channels, row = std::size_t(w + 2 * border) * pixel;
  std::memset(out, 0, border * row * sizeof(float));
  std::memset(out + (border + h) * row, 0, border * row * sizeof(float));
  for (int y = 0; y < h; ++y) {
    float* to = out + (border + y) * row;
    const float* from = x + std::size_t(y) * w * c;
    std::memset(to, 0, border * pixel * sizeof(float));
    std::memset(to + (border + w) * pixel, 0, border * pixel * sizeof(float));
    if (concat_elu) {
      concat_elu_pixels(to + border * pixel, from, w, c);
    } else {
      std::memcpy(to + border * pixel, from, std::size_t(w) * c * sizeof(float));
    }
  }
  return {out, h, w, channels, border};
}

}  // namespace flowsmith::cpu
#endif
