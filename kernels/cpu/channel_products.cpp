#include "kernels/cpu/channel_products.h"

#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/channel_products.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kRows = 4;  // of a register tile: with two vectors each, eight sums are in flight

/// A register tile of kCount rows and kVectors vectors: sum over k < depth of x[k * x_step + row * x_stride] times the
/// vectors at y[k * y_step]; finish(row, vector, sum) gets the results.
template <int kCount, int kVectors, class T, class Finish>
HWY_INLINE void tile(const T* x, std::size_t x_stride, std::size_t x_step, const T* y, std::size_t y_step,
                     std::size_t depth, const Finish& finish) {
  const hn::ScalableTag<T> d;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  hn::Vec<decltype(d)> sums[kCount][kVectors];
  for (int r = 0; r < kCount; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (std::size_t k = 0; k < depth; ++k) {
    hn::Vec<decltype(d)> vectors[kVectors];
    for (int v = 0; v < kVectors; ++v) vectors[v] = hn::LoadU(d, y + k * y_step + v * kLanes);
    for (int r = 0; r < kCount; ++r) {
      const auto factor = hn::Set(d, x[k * x_step + r * x_stride]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(factor, vectors[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kCount; ++r) {
    for (int v = 0; v < kVectors; ++v) finish(r, v, sums[r][v]);
  }
}

/// All tiles of `rows` rows and `columns` columns, the last vector of which may be padding: finish(row, first column,
/// sums of the vector).
template <class T, class Finish>
HWY_INLINE void tiles(const T* x, std::size_t x_stride, std::size_t x_step, const T* y, std::size_t y_step,
                      std::size_t depth, std::size_t rows, std::size_t columns, const Finish& finish) {
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  for (std::size_t column = 0; column < columns;) {
    const bool two = columns - column > kLanes;
    for (std::size_t row = 0; row < rows;) {
      const auto put = [&](int r, int v, auto sum) { finish(row + r, column + v * kLanes, sum); };
      const T* const from = x + row * x_stride;
      const bool whole = rows - row >= kRows;
      if (whole && two) {
        tile<kRows, 2>(from, x_stride, x_step, y + column, y_step, depth, put);
      } else if (whole) {
        tile<kRows, 1>(from, x_stride, x_step, y + column, y_step, depth, put);
      } else if (two) {
        tile<1, 2>(from, x_stride, x_step, y + column, y_step, depth, put);
      } else {
        tile<1, 1>(from, x_stride, x_step, y + column, y_step, depth, put);
      }
      row += whole ? kRows : 1;
    }
    column += two ? 2 * kLanes : kLanes;
  }
}

template <class T>
HWY_INLINE void multiply(T* out, const T* in, const T* columns, std::size_t pixels, int c) {
  const std::size_t stride = padded_channels(c);
  tiles(in, stride, 1, columns, stride, c, pixels, c,
        [&](std::size_t p, std::size_t o, auto sum) { hn::StoreU(sum, hn::ScalableTag<T>(), out + p * stride + o); });
}

template <class T>
HWY_INLINE void add_products(double* sums, const T* a, const T* b, std::size_t pixels, int c) {
  const hn::ScalableTag<T> d;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  const std::size_t stride = padded_channels(c);
  tiles(a, 1, stride, b, stride, pixels, c, c, [&](std::size_t o, std::size_t i, auto sum) {
    HWY_ALIGN T lanes[kLanes];
    hn::Store(sum, d, lanes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[o * stride + i + lane] += double(lanes[lane]);
  });
}

void multiply_float_impl(float* out, const float* in, const float* columns, std::size_t pixels, int c) {
  multiply(out, in, columns, pixels, c);
}
void multiply_double_impl(double* out, const double* in, const double* columns, std::size_t pixels, int c) {
  multiply(out, in, columns, pixels, c);
}
void add_products_float_impl(double* sums, const float* a, const float* b, std::size_t pixels, int c) {
  add_products(sums, a, b, pixels, c);
}
void add_products_double_impl(double* sums, const double* a, const double* b, std::size_t pixels, int c) {
  add_products(sums, a, b, pixels, c);
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

void multiply_channels(float* out, const float* in, const float* columns, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(multiply_float_impl)(out, in, columns, pixels, c);
}
void multiply_channels(double* out, const double* in, const double* columns, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(multiply_double_impl)(out, in, columns, pixels, c);
}
void add_channel_products(double* sums, const float* a, const float* b, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(add_products_float_impl)(sums, a, b, pixels, c);
}
void add_channel_products(double* sums, const double* a, const double* b, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(add_products_double_impl)(sums, a, b, pixels, c);
}

}  // namespace flowsmith::core::cpu
#endif
