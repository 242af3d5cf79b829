// Cuts the weight gradient of one image into register tiles.
#include "kernels/cpu/weight_gradient.h"

#include <algorithm>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd_dispatch.h"
#include "kernels/cpu/winograd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/weight_gradient.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/gradient_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

int rounded_up(int value, int step) { return (value + step - 1) / step * step; }

WeightGradientPlan plan_weight_gradient_impl(int kernel, int c_in, int c_out, bool winograd) {
  WeightGradientPlan plan{kernel, c_in, c_out, winograd, c_out < kLanes, kLanes};
  if (plan.swapped) {
    plan.tile_scalars = HWY_MIN(c_out, 4);
    plan.tile_vectors = kSwappedVectors;
    plan.scalars = c_out;
    plan.vectors = rounded_up((plan.row_length() + kLanes - 1) / kLanes, kSwappedVectors);
    return plan;
  }
  const int channel_vectors = (c_out + kLanes - 1) / kLanes;
  double best = 0;
  for (const GradientTileSize& tile : kGradientTiles) {
    const int scalars = rounded_up(plan.row_length(), tile.scalars);
    const int vectors = rounded_up(channel_vectors, tile.vectors);
    // Multiply-adds and loads of one pixel; a tile of fewer than 8 sums waits for its own results.
    const double work = double(scalars) * vectors;
    const double loads = work / tile.vectors + work / tile.scalars;
    const double cost = work * std::max(1.0, 8.0 / (tile.scalars * tile.vectors)) + 0.5 * loads;
    if (best == 0 || cost < best) {
      best = cost;
      plan.tile_scalars = tile.scalars;
      plan.tile_vectors = tile.vectors;
      plan.scalars = scalars;
      plan.vectors = vectors;
    }
  }
  return plan;
}

void add_bias_gradient(float* sums, const float* dy, Index row_stride, int rows, int width, int channels) {
  const Floats d;
  int c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    Vector sum = hn::LoadU(d, sums + c);
    for (int y = 0; y < rows; ++y) {
      const float* row = dy + y * row_stride + c;
      for (int x = 0; x < width; ++x) sum = hn::Add(sum, hn::LoadU(d, row + Index(x) * channels));
    }
    hn::StoreU(sum, d, sums + c);
  }
  if (c == channels) return;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int k = c; k < channels; ++k) sums[k] += dy[y * row_stride + Index(x) * channels + k];
    }
  }
}

/// Rows per pass: enough pixels that loading and storing a tile's sums costs little beside them, and few enough that
/// they stay near while all tiles run over them.
int rows_per_pass(int width) { return HWY_MAX(1, 112 / width); }

void add_weight_gradient_impl(float* partial, const PaddedImage& input, const float* dy, Index dy_row_stride,
                              const WeightGradientPlan& plan, PixelSubset pixels) {
  if (plan.winograd) return add_winograd_weight_gradient(partial, input, dy, dy_row_stride, plan);
  add_bias_gradient(partial + plan.weight_size(), dy, dy_row_stride, input.h, input.w, plan.c_out);

  Index dy_pixel = plan.c_out;
  if (!plan.swapped && plan.vectors * kLanes != plan.c_out) {
    // Whole vectors of channels: the last pixel's would reach beyond dy.
    static thread_local Scratch padded_dy;
    const Index padded = Index(plan.vectors) * kLanes;
    float* to = padded_dy.reserve(std::size_t(input.h) * input.w * padded);
    for (int y = 0; y < input.h; ++y) {
      for (int x = 0; x < input.w; ++x) {
        float* pixel = to + (Index(y) * input.w + x) * padded;
        std::copy_n(dy + y * dy_row_stride + Index(x) * plan.c_out, plan.c_out, pixel);
        std::fill(pixel + plan.c_out, pixel + padded, 0.0f);
      }
    }
    dy = to;
    dy_pixel = padded;
    dy_row_stride = padded * input.w;
  }

  const int radius = plan.kernel / 2;
  const GradientTileFunction run = find_gradient_tile(plan.tile_scalars, plan.tile_vectors, plan.swapped);
  const int step = rows_per_pass(input.w);
  for (int first = 0; first < input.h; first += step) {
    // Kernel rows inside tiles: they read nearly the same channels of the same pixels.
    for (int m = 0; m < plan.scalars; m += plan.tile_scalars) {
      const int count = HWY_MIN(plan.tile_scalars, plan.scalars - m);
      const GradientTileFunction tile_run =
          count == plan.tile_scalars ? run : find_gradient_tile(count, plan.tile_vectors, true);
      for (int ky = 0; ky < plan.kernel; ++ky) {
        // Rows of dy whose input row exists; the others would add zeros.
        const int begin = HWY_MAX(first, radius - ky);
        const int end = HWY_MIN(HWY_MIN(first + step, input.h), input.h + radius - ky);
        // Of a subset, the rows whose pixels lie in the same columns follow each other at the distance of its step.
        for (int row = begin; row < HWY_MIN(end, begin + pixels.step); ++row) {
          GradientTile tile;
          tile.rows = (end - row + pixels.step - 1) / pixels.step;
          tile.width = pixels.count(row, input.w);
          const int column = pixels.first(row);
          const float* in = input.data + (row + ky) * input.row_stride() + Index(column) * input.c;
          const float* out = dy + row * dy_row_stride + column * dy_pixel;
          const Index in_row = pixels.step * input.row_stride(), in_pixel = Index(pixels.step) * input.c;
          const Index out_row = pixels.step * dy_row_stride, out_pixel = pixels.step * dy_pixel;
          for (int v = 0; v < plan.vectors; v += plan.tile_vectors) {
            if (plan.swapped) {
              tile.scalars = out + m, tile.scalar_row = out_row, tile.scalar_pixel = out_pixel;
              tile.vectors = in + v * kLanes, tile.vector_row = in_row, tile.vector_pixel = in_pixel;
            } else {
              tile.scalars = in + m, tile.scalar_row = in_row, tile.scalar_pixel = in_pixel;
              tile.vectors = out + v * kLanes, tile.vector_row = out_row, tile.vector_pixel = out_pixel;
            }
            tile_run(tile, partial + plan.tile_offset(ky, m, v));
          }
        }
      }
    }
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

namespace {

/// write(i, sum over groups of first[group * stride + i]) for i < size, a block at a time so that each group's
/// memory is walked in order.
template <class Write>
void sum_groups(int size, int groups, std::size_t stride, const float* first, Write write) {
  constexpr int kBlock = 64;
  for (int begin = 0; begin < size; begin += kBlock) {
    const int count = std::min(kBlock, size - begin);
    float sums[kBlock] = {};
    for (int g = 0; g < groups; ++g) {
      const float* from = first + g * stride + begin;
      for (int i = 0; i < count; ++i) sums[i] += from[i];
    }
    for (int i = 0; i < count; ++i) write(begin + i, sums[i]);
  }
}

void write_winograd_weights(Grad<float> dweight, const float* partials, int groups, std::size_t stride,
                            const WeightGradientPlan& plan) {
  const int width = plan.tile_vectors * plan.lanes;
#pragma omp parallel for schedule(static) if (plan.weight_size() > 16384)
  for (int i = 0; i < plan.c_in; ++i) {
    const int m = i / plan.tile_scalars * plan.tile_scalars;
    ScratchVector<float> sums(std::size_t(plan.c_out) * kWinogradPositions);
    for (int k = 0; k < kWinogradPositions; ++k) {
      for (int o = 0; o < plan.c_out; o += width) {
        const std::size_t from = plan.tile_offset(k, m, o / plan.lanes) + std::size_t(i - m) * width;
        sum_groups(std::min(width, plan.c_out - o), groups, stride, partials + from,
                   [&](int c, float sum) { sums[std::size_t(o + c) * kWinogradPositions + k] = sum; });
      }
    }
    for (int o = 0; o < plan.c_out; ++o) {
      float taps[9];
      winograd_taps(&sums[std::size_t(o) * kWinogradPositions], taps);
      for (int tap = 0; tap < 9; ++tap) dweight.write((std::size_t(tap) * plan.c_in + i) * plan.c_out + o, taps[tap]);
    }
  }
}

}  // namespace

WeightGradientPlan plan_weight_gradient(int kernel, int c_in, int c_out, bool winograd) {
  return FLOWSMITH_DISPATCH(plan_weight_gradient_impl)(kernel, c_in, c_out, winograd);
}

void add_weight_gradient(float* partial, const PaddedImage& input, const float* dy, std::ptrdiff_t dy_row_stride,
                         const WeightGradientPlan& plan, PixelSubset pixels) {
  FLOWSMITH_DISPATCH(add_weight_gradient_impl)(partial, input, dy, dy_row_stride, plan, pixels);
}

void write_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* partials, int groups,
                           std::size_t stride, const WeightGradientPlan& plan) {
  if (dbias) write_group_sums(dbias, partials + plan.weight_size(), groups, stride, plan.c_out);
  if (!dweight) return;
  if (plan.winograd) return write_winograd_weights(dweight, partials, groups, stride, plan);
  const int rows = plan.kernel * plan.row_length();
#pragma omp parallel for schedule(static) if (plan.weight_size() > 16384)
  for (int row = 0; row < rows; ++row) {
    const int ky = row / plan.row_length(), j = row % plan.row_length();
    if (plan.swapped) {
      const int v = j / plan.lanes / plan.tile_vectors * plan.tile_vectors, width = plan.tile_vectors * plan.lanes;
      for (int o = 0; o < plan.c_out; ++o) {
        const int m = o / plan.tile_scalars * plan.tile_scalars;
        const std::size_t from = plan.tile_offset(ky, m, v) + std::size_t(o - m) * width + (j - v * plan.lanes);
        sum_groups(1, groups, stride, partials + from,
                   [&](int, float sum) { dweight.write(std::size_t(row) * plan.c_out + o, sum); });
      }
      continue;
    }
    const int m = j / plan.tile_scalars * plan.tile_scalars, width = plan.tile_vectors * plan.lanes;
    for (int o = 0; o < plan.c_out; o += width) {
      const std::size_t from = plan.tile_offset(ky, m, o / plan.lanes) + std::size_t(j - m) * width;
      sum_groups(std::min(width, plan.c_out - o), groups, stride, partials + from,
                 [&](int i, float sum) { dweight.write(std::size_t(row) * plan.c_out + o + i, sum); });
    }
  }
}

void write_group_sums(Grad<float> dst, const float* partials, int groups, std::size_t stride, std::size_t size) {
  sum_groups(int(size), groups, stride, partials, [&](int i, float sum) { dst.write(i, sum); });
}

}  // namespace flowsmith::core::cpu
#endif
