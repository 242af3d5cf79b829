#include "kernels/cpu/bf16/products.h"

#include <algorithm>

#include "kernels/cpu/weight_gradient.h"

namespace flowsmith::core::cpu::bf16 {
namespace {

constexpr std::size_t kParallelWeights = 16384;  ///< for fewer no threads are woken

/// Number of tiles in a block that begins `begin` before `end`.
int tiles_at(int begin, int end) { return end - begin > kTile ? 2 : 1; }

/// Runs the product; where whole tiles would reach beyond `rows` by `columns` sums, what fits is copied.
void multiply_block(TileProduct product, int rows, int columns, const TileFunctions& tiles) {
  const int row_tiles = tiles_at(0, rows), column_tiles = tiles_at(0, columns);
  const auto multiply = tiles.multiply[row_tiles - 1][column_tiles - 1];
  if (rows == row_tiles * kTile && columns == column_tiles * kTile) return multiply(product);
  alignas(64) float sums[kBlock * kBlock];
  float* const out = product.sums;
  const std::ptrdiff_t out_row = product.sums_row;
  product.sums = sums;
  product.sums_row = kBlock;
  multiply(product);
  for (int r = 0; r < rows; ++r) std::copy_n(sums + r * kBlock, columns, out + r * out_row);
}

}  // namespace

PackedWeights pack_weights(Bf16Scratch& weights, Scratch& biases, const float* weight, const float* bias,
                           const ConvPlan& plan, WeightUse use) {
  Bf16* const packed = weights.reserve(plan.weight_size());
  const int columns = plan.tiles() * kTile, channels = plan.channels(), taps = plan.kernel * plan.kernel;
  // Strides of the layer's weight in terms of the sum's channels.
  const bool forward = use == WeightUse::kForward;
  const std::ptrdiff_t in_stride = forward ? plan.c_out : 1, out_stride = forward ? 1 : plan.c_in;
#pragma omp parallel for collapse(2) schedule(static) if (plan.weight_size() > kParallelWeights)
  for (int tile = 0; tile < plan.tiles(); ++tile) {
    for (int ky = 0; ky < plan.kernel; ++ky) {
      Bf16* to = packed + (std::size_t(tile) * plan.kernel + ky) * plan.tile_size() / plan.kernel;
      Bf16* const end = to + plan.tile_size() / plan.kernel;
      const int first = tile * kTile, count = std::min(kTile, plan.c_out - first);
      for (int kx = 0; kx < plan.kernel; ++kx) {
        const int tap = ky * plan.kernel + kx;
        const float* const from =
            weight + std::size_t(forward ? tap : taps - 1 - tap) * plan.c_in * plan.c_out + first * out_stride;
        for (int i = 0; i < channels; i += 2, to += 2 * kTile) {
          for (int n = 0; n < kTile; ++n) {
            const float* const w = from + i * in_stride + n * out_stride;
            to[2 * n] = n < count && i < plan.c_in ? to_bf16(w[0]) : Bf16(0);
            to[2 * n + 1] = n < count && i + 1 < plan.c_in ? to_bf16(w[in_stride]) : Bf16(0);
          }
        }
      }
      std::fill(to, end, Bf16(0));
    }
  }
  float* const padded_bias = biases.reserve(columns);
  for (int o = 0; o < columns; ++o) padded_bias[o] = bias != nullptr && o < plan.c_out ? bias[o] : 0.0f;
  return {plan, packed, padded_bias};
}

void multiply_image(float* out, const Bf16* image, const Layout& layout, const PackedWeights& packed,
                    const TileFunctions& tiles) {
  const ConvPlan& plan = packed.plan;
  const int channels = plan.channels(), run = layout.run();
  for (int p = 0; p < run; p += kBlock) {
    for (int o = 0; o < plan.c_out; o += kBlock) {
      TileProduct product;
      product.a = image + std::ptrdiff_t(p) * channels;
      product.a_row = channels;
      product.a_outer = std::ptrdiff_t(layout.row()) * channels;
      product.b = packed.weight + o / kTile * plan.tile_size();
      product.b_row = 2 * kTile;
      product.b_tile = std::ptrdiff_t(plan.tile_size());
      product.outer_steps = plan.kernel;
      product.inner_steps = plan.steps();
      product.start = packed.bias + o;
      product.sums = out + std::ptrdiff_t(p) * plan.c_out + o;
      product.sums_row = plan.c_out;
      multiply_block(product, std::min(kBlock, run - p), std::min(kBlock, plan.c_out - o), tiles);
    }
  }
}

void add_weight_gradient(float* partial, const Bf16* planes, const Bf16* pairs, const Layout& layout,
                         const GradientPlan& plan, const TileFunctions& tiles) {
  const int rows = plan.rows(), columns = plan.columns(), plane = layout.plane();
  for (int m = 0; m < rows; m += kBlock) {
    for (int ky = 0; ky < plan.kernel; ++ky) {
      for (int kx = 0; kx < plan.kernel; ++kx) {
        for (int o = 0; o < columns; o += kBlock) {
          TileProduct product;
          product.a = planes + std::ptrdiff_t(m) * plane + ky * layout.row() + kx;
          product.a_row = plane;
          product.b = pairs + 2 * o;
          product.b_row = 2 * columns;
          product.b_tile = 2 * kTile;
          product.inner_steps = round_up(layout.run(), kDepth) / kDepth;
          product.sums = partial + (std::size_t(ky * plan.kernel + kx) * rows + m) * columns + o;
          product.sums_row = columns;
          product.start = product.sums;
          product.start_row = columns;
          tiles.multiply[tiles_at(m, rows) - 1][tiles_at(o, columns) - 1](product);
        }
      }
    }
  }
}

void write_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* partials, int groups,
                           std::size_t stride, const GradientPlan& plan) {
  if (dbias) write_group_sums(dbias, partials + plan.weight_size(), groups, stride, plan.c_out);
  if (!dweight) return;
  const int rows = plan.kernel * plan.kernel * plan.c_in;
#pragma omp parallel for schedule(static) if (plan.weight_size() > kParallelWeights)
  for (int row = 0; row < rows; ++row) {
    const int tap = row / plan.c_in, i = row % plan.c_in;
    const std::size_t from = (std::size_t(tap) * plan.rows() + i) * plan.columns();
    write_group_sums({dweight.data + std::size_t(row) * plan.c_out, dweight.mode}, partials + from, groups, stride,
                     plan.c_out);
  }
}

}  // namespace flowsmith::core::cpu::bf16
