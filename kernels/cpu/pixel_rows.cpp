// The pointwise parts of the networks in vectors over the channels of a pixel.
#include "kernels/cpu/pixel_rows.h"

#include <cstring>

#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/simd_dispatch.h"
#include "kernels/layer_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pixel_rows.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

void activation_impl(float* y, const float* x, std::size_t size, Activation activation) {
  with_activation(activation, [=](auto act) HWY_ATTR {
    for (std::size_t i = 0; i < size; i += kLanes) {
      store_first(activate<act()>(load_first(x + i, Index(size - i))), y + i, Index(size - i));
    }
  });
}

void activation_gradient_impl(Grad<float> dx, const float* dy, const float* y, std::size_t size,
                              Activation activation) {
  with_activation(activation, [=](auto act) HWY_ATTR {
    for (std::size_t i = 0; i < size; i += kLanes) {
      const Index count = Index(size - i);
      const Vector derivative = activation_derivative<act()>(load_first(y + i, count));
      write_first(dx.data + i, dx.mode, hn::Mul(load_first(dy + i, count), derivative), count);
    }
  });
}

template <bool kWhole>
void concat_elu_loop(float* out, const float* x, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, x += c, out += 2 * c) {
    for (int k = 0; k < c; k += kLanes) {
      const EluPair pair = elu_pair(load_first<kWhole>(x + k, c - k));
      store_first<kWhole>(pair.positive, out + k, c - k);
      store_first<kWhole>(pair.negative, out + c + k, c - k);
    }
  }
}

template <bool kWhole>
void concat_elu_gradient_loop(Grad<float> dx, const float* dy, const float* x, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, x += c, dy += 2 * c, dx.data += c) {
    for (int k = 0; k < c; k += kLanes) {
      const Vector value = elu_pair_gradient(load_first<kWhole>(dy + k, c - k), load_first<kWhole>(dy + c + k, c - k),
                                             elu_pair(load_first<kWhole>(x + k, c - k)));
      write_first<kWhole>(dx.data + k, dx.mode, value, c - k);
    }
  }
}

template <bool kWhole>
void gate_loop(float* y, const float* x, const float* vg, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, y += c, x += c, vg += 2 * c) {
    for (int k = 0; k < c; k += kLanes) {
      const Sigmoid gate = sigmoid(load_first<kWhole>(vg + c + k, c - k));
      const Vector value = load_first<kWhole>(vg + k, c - k);
      store_first<kWhole>(hn::MulAdd(value, gate.value, load_first<kWhole>(x + k, c - k)), y + k, c - k);
    }
  }
}

template <bool kWhole>
void gate_gradient_loop(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, dy += c, vg += 2 * c) {
    for (int k = 0; k < c; k += kLanes) {
      const Index count = c - k;
      const Vector gradient = load_first<kWhole>(dy + k, count);
      if (dx) write_first<kWhole>(dx.data + p * c + k, dx.mode, gradient, count);
      if (!dvg) continue;
      const Sigmoid gate = sigmoid(load_first<kWhole>(vg + c + k, count));
      const Vector dvalue = hn::Mul(gradient, gate.value);
      const Vector dgate = hn::Mul(hn::Mul(dvalue, gate.complement), load_first<kWhole>(vg + k, count));
      write_first<kWhole>(dvg.data + 2 * p * c + k, dvg.mode, dvalue, count);
      write_first<kWhole>(dvg.data + (2 * p + 1) * c + k, dvg.mode, dgate, count);
    }
  }
}

/// Pixels whose sums over the channels are formed together: the lanes of four vectors are added in three steps of
/// shuffles instead of four each.
inline constexpr int kNormPixels = 4;
using Four = hn::CappedTag<float, kNormPixels>;

/// out[p] = sum of the lanes of v[p].
HWY_INLINE void sums_of_lanes(const Vector* v, float* out) {
#if HWY_TARGET == HWY_SCALAR
  for (int p = 0; p < kNormPixels; ++p) out[p] = hn::GetLane(v[p]);
#else
  const Floats d;
  const hn::Repartition<double, Floats> pairs;
  // In each block of four lanes: sums of lanes 0, 2 and 1, 3 of two pixels, then all four of four pixels.
  const Vector ab = hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
  const Vector cd = hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3]));
  const auto ab2 = hn::BitCast(pairs, ab), cd2 = hn::BitCast(pairs, cd);
  const Vector sums = hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, ab2, cd2)),
                              hn::BitCast(d, hn::InterleaveUpper(pairs, ab2, cd2)));
  HWY_ALIGN float blocks[kLanes];
  hn::Store(sums, d, blocks);
  auto total = hn::Load(Four(), blocks);
  for (int i = kNormPixels; i < kLanes; i += kNormPixels) total = hn::Add(total, hn::Load(Four(), blocks + i));
  hn::Store(total, Four(), out);
#endif
}

/// Of kNormPixels pixels. The variance comes from one pass over the distances to the pixel's first channel: that lies
/// within sqrt(C) standard deviations of the mean, so the subtraction of squares costs no more than C roundings.
struct Statistics {
  HWY_ALIGN float mean[kNormPixels], rstd[kNormPixels];
};
HWY_INLINE Statistics statistics(const Vector* sums, const Vector* squares, const float* x, int pixels, int c,
                                 float eps) {
  HWY_ALIGN float sum[kNormPixels], square[kNormPixels];
  sums_of_lanes(sums, sum);
  sums_of_lanes(squares, square);
  Statistics s;
  const float scale = 1.0f / float(c);
  for (int p = 0; p < kNormPixels; ++p) {
    const float distance = sum[p] * scale;
    s.mean[p] = p < pixels ? x[p * c] + distance : 0.0f;
    const float variance = square[p] * scale - distance * distance;
    s.rstd[p] = variance < 0 ? 0.0f : variance;  // rounding may leave less than nothing
  }
  for (int p = 0; p < kNormPixels; p += int(hn::MaxLanes(Four()))) {
    const auto shifted = hn::Add(hn::Load(Four(), s.rstd + p), hn::Set(Four(), eps));
    hn::Store(hn::Div(hn::Set(Four(), 1.0f), hn::Sqrt(shifted)), Four(), s.rstd + p);
  }
  return s;
}

template <bool kWhole>
void layer_norm_loop(float* y, const float* x, const float* gamma, const float* beta, std::size_t pixels, int c,
                     float eps) {
  const Floats d;
  for (std::size_t first = 0; first < pixels; first += kNormPixels, y += kNormPixels * c, x += kNormPixels * c) {
    const int group = int(HWY_MIN(std::size_t(kNormPixels), pixels - first));
    Vector sums[kNormPixels], squares[kNormPixels];
#pragma GCC unroll 4
    for (int p = 0; p < kNormPixels; ++p) {
      sums[p] = squares[p] = hn::Zero(d);
      if (p >= group) continue;
      const Vector origin = hn::Set(d, x[p * c]);
      for (int k = 0; k < c; k += kLanes) {
        const Vector distance = keep_first<kWhole>(hn::Sub(load_first<kWhole>(x + p * c + k, c - k), origin), c - k);
        sums[p] = hn::Add(sums[p], distance);
        squares[p] = hn::MulAdd(distance, distance, squares[p]);
      }
    }
    const Statistics s = statistics(sums, squares, x, group, c, eps);
    for (int k = 0; k < c; k += kLanes) {
      const Vector scale = load_first<kWhole>(gamma + k, c - k), shift = load_first<kWhole>(beta + k, c - k);
      for (int p = 0; p < group; ++p) {
        const Vector centered = hn::Sub(load_first<kWhole>(x + p * c + k, c - k), hn::Set(d, s.mean[p]));
        const Vector normal = hn::Mul(centered, hn::Set(d, s.rstd[p]));
        store_first<kWhole>(hn::MulAdd(normal, scale, shift), y + p * c + k, c - k);
      }
    }
  }
}

template <bool kWhole>
void layer_norm_gradient_loop(Grad<float> dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                              const float* gamma, std::size_t pixels, int c, float eps) {
  const Floats d;
  for (std::size_t first = 0; first < pixels; first += kNormPixels, dy += kNormPixels * c, x += kNormPixels * c) {
    const int group = int(HWY_MIN(std::size_t(kNormPixels), pixels - first));
    Vector sums[kNormPixels], squares[kNormPixels], gradients[kNormPixels], products[kNormPixels];
#pragma GCC unroll 4
    for (int p = 0; p < kNormPixels; ++p) {
      sums[p] = squares[p] = gradients[p] = products[p] = hn::Zero(d);
      if (p >= group) continue;
      const Vector origin = hn::Set(d, x[p * c]);
      for (int k = 0; k < c; k += kLanes) {
        const Vector distance = keep_first<kWhole>(hn::Sub(load_first<kWhole>(x + p * c + k, c - k), origin), c - k);
        const Vector g = hn::Mul(load_first<kWhole>(dy + p * c + k, c - k), load_first<kWhole>(gamma + k, c - k));
        sums[p] = hn::Add(sums[p], distance);
        squares[p] = hn::MulAdd(distance, distance, squares[p]);
        gradients[p] = hn::Add(gradients[p], g);
        products[p] = hn::MulAdd(g, distance, products[p]);
      }
    }
    const Statistics s = statistics(sums, squares, x, group, c, eps);
    HWY_ALIGN float mean_g[kNormPixels], mean_product[kNormPixels];
    sums_of_lanes(gradients, mean_g);
    sums_of_lanes(products, mean_product);
    for (int p = 0; p < group; ++p) {
      mean_g[p] /= float(c);
      // sum of g * (x - mean), from that of g * (x - origin)
      mean_product[p] = (mean_product[p] / float(c) - mean_g[p] * (s.mean[p] - x[p * c])) * s.rstd[p];
    }
    for (int k = 0; k < c; k += kLanes) {
      const Index count = c - k;
      const Vector scale = load_first<kWhole>(gamma + k, count);
      Vector gamma_sum = load_first<kWhole>(dgamma + k, count), beta_sum = load_first<kWhole>(dbeta + k, count);
      for (int p = 0; p < group; ++p) {
        const Vector rstd = hn::Set(d, s.rstd[p]);
        const Vector normal = hn::Mul(hn::Sub(load_first<kWhole>(x + p * c + k, count), hn::Set(d, s.mean[p])), rstd);
        const Vector gradient = load_first<kWhole>(dy + p * c + k, count);
        gamma_sum = hn::MulAdd(gradient, normal, gamma_sum);
        beta_sum = hn::Add(beta_sum, gradient);
        if (!dx) continue;
        const Vector g = hn::Mul(gradient, scale);
        const Vector centered = hn::Sub(g, hn::Set(d, mean_g[p]));
        const Vector value = hn::Mul(rstd, hn::NegMulAdd(normal, hn::Set(d, mean_product[p]), centered));
        write_first<kWhole>(dx.data + (first + p) * c + k, dx.mode, value, count);
      }
      store_first<kWhole>(gamma_sum, dgamma + k, count);
      store_first<kWhole>(beta_sum, dbeta + k, count);
    }
  }
}

void concat_elu_impl(float* out, const float* x, std::size_t pixels, int c) {
  (c % kLanes == 0 ? &concat_elu_loop<true> : &concat_elu_loop<false>)(out, x, pixels, c);
}
void concat_elu_gradient_impl(Grad<float> dx, const float* dy, const float* x, std::size_t pixels, int c) {
  (c % kLanes == 0 ? &concat_elu_gradient_loop<true> : &concat_elu_gradient_loop<false>)(dx, dy, x, pixels, c);
}
void gate_impl(float* y, const float* x, const float* vg, std::size_t pixels, int c) {
  (c % kLanes == 0 ? &gate_loop<true> : &gate_loop<false>)(y, x, vg, pixels, c);
}
void gate_gradient_impl(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, std::size_t pixels, int c) {
  (c % kLanes == 0 ? &gate_gradient_loop<true> : &gate_gradient_loop<false>)(dx, dvg, dy, vg, pixels, c);
}
void layer_norm_impl(float* y, const float* x, const float* gamma, const float* beta, std::size_t pixels, int c,
                     float eps) {
  (c % kLanes == 0 ? &layer_norm_loop<true> : &layer_norm_loop<false>)(y, x, gamma, beta, pixels, c, eps);
}
void layer_norm_gradient_impl(Grad<float> dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                              const float* gamma, std::size_t pixels, int c, float eps) {
  (c % kLanes == 0 ? &layer_norm_gradient_loop<true> : &layer_norm_gradient_loop<false>)(dx, dgamma, dbeta, dy, x,
                                                                                         gamma, pixels, c, eps);
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

void activate_run(float* y, const float* x, std::size_t size, Activation activation) {
  FLOWSMITH_DISPATCH(activation_impl)(y, x, size, activation);
}
void activation_gradient_run(Grad<float> dx, const float* dy, const float* y, std::size_t size, Activation activation) {
  FLOWSMITH_DISPATCH(activation_gradient_impl)(dx, dy, y, size, activation);
}
void concat_elu_pixels(float* out, const float* x, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(concat_elu_impl)(out, x, pixels, c);
}
void concat_elu_gradient_pixels(Grad<float> dx, const float* dy, const float* x, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(concat_elu_gradient_impl)(dx, dy, x, pixels, c);
}
void gate_pixels(float* y, const float* x, const float* vg, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(gate_impl)(y, x, vg, pixels, c);
}
void gate_gradient_pixels(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, std::size_t pixels,
                          int c) {
  FLOWSMITH_DISPATCH(gate_gradient_impl)(dx, dvg, dy, vg, pixels, c);
}
void layer_norm_pixels(float* y, const float* x, const float* gamma, const float* beta, std::size_t pixels, int c,
                       double eps) {
  FLOWSMITH_DISPATCH(layer_norm_impl)(y, x, gamma, beta, pixels, c, float(eps));
}
void layer_norm_gradient_pixels(Grad<float> dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                                const float* gamma, std::size_t pixels, int c, double eps) {
  FLOWSMITH_DISPATCH(layer_norm_gradient_impl)(dx, dgamma, dbeta, dy, x, gamma, pixels, c, float(eps));
}

void zero_border(float* out, int h, int w, int c, int border) {
  const std::size_t row = std::size_t(w + 2 * border) * c, side = std::size_t(border) * c;
  std::memset(out, 0, border * row * sizeof(float));
  for (int y = border; y < border + h; ++y) {
    std::memset(out + y * row, 0, side * sizeof(float));
    std::memset(out + (y + 1) * row - side, 0, side * sizeof(float));
  }
  std::memset(out + (border + h) * row, 0, border * row * sizeof(float));
}

PaddedImage pad_image(float* out, const float* x, int h, int w, int c, int border, bool concat_elu) {
  const int channels = concat_elu ? 2 * c : c;
  zero_border(out, h, w, channels, border);
  for (int y = 0; y < h; ++y) {
    float* to = out + (std::size_t(border + y) * (w + 2 * border) + border) * channels;
    const float* from = x + std::size_t(y) * w * c;
    if (concat_elu) {
      concat_elu_pixels(to, from, w, c);
    } else {
      std::memcpy(to, from, std::size_t(w) * c * sizeof(float));
    }
  }
  return {out, h, w, channels, border};
}

}  // namespace flowsmith::core::cpu
#endif
