// Per chunk of tile rows: all 16 transformed inputs [position][tile][channel] into the second-level cache; then
// position after position a matrix product in the register tiles of conv_tile-inl.h and gradient_tile-inl.h, whose
// operands fit the first-level cache.
//
// Floor per pixel: 4 c_in c_out multiply-adds instead of 9; besides them 6 additions, 4 writes and 4 reads per input
// channel (columns of neighbouring tiles are shared), and 6 additions, 4 writes and 4 reads per output channel.
#include "kernels/cpu/winograd.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd_dispatch.h"
#include "kernels/cpu/weight_gradient.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/conv_finish-inl.h"
#include "kernels/cpu/conv_tile-inl.h"
#include "kernels/cpu/gradient_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::cpu::HWY_NAMESPACE {

bool winograd_fits_impl(int h, int w, int c) { return h % 2 == 0 && w % 2 == 0 && c % kLanes == 0; }

/// Some rows of tiles and their transformed values, [position][tile][channel]. The tiles of a position are followed by
/// room for those that a register tile takes too many.
struct Chunk {
  int first_row, rows, tiles_per_row;

  int tiles() const { return rows * tiles_per_row; }
  int groups() const { return (tiles() + kGroupPixels - 1) / kGroupPixels; }
  /// Floats from a position to the next: never a multiple of what makes all 16 fall into the same lines of the cache.
  Index position_stride(int channels) const { return Index(groups()) * kGroupPixels * channels + 16; }
  /// The last register tile may read, and drop, a few channels behind the last position.
  std::size_t size(int channels) const { return std::size_t(kWinogradPositions) * position_stride(channels) + 64; }
};

/// Calls run(chunk) for chunks of about `tiles` tiles that cover an image of h by w pixels.
template <class Run>
HWY_INLINE void for_each_chunk(int h, int w, int tiles, const Run& run) {
  const int tiles_per_row = w / 2, rows = h / 2;
  const int step = HWY_MAX(1, tiles / tiles_per_row);
  for (int row = 0; row < rows; row += step) run(Chunk{row, HWY_MIN(step, rows - row), tiles_per_row});
}

struct Four {
  Vector v[4];
};
/// B^T d and A r, on four and on two values.
HWY_INLINE Four input_transform(Vector a, Vector b, Vector c, Vector d) {
  return {{hn::Sub(a, c), hn::Add(b, c), hn::Sub(c, b), hn::Sub(b, d)}};
}
/// Without the sign of its last row, which winograd_taps() gives back.
HWY_INLINE Four gradient_transform(Vector a, Vector b) { return {{a, hn::Add(a, b), hn::Sub(a, b), b}}; }

/// to = B^T d B of the chunk's tiles.
void transform_input(float* to, const PaddedImage& input, const Chunk& chunk) {
  const Floats d;
  const Index c = input.c, row_stride = input.row_stride(), position = chunk.position_stride(int(c));
  for (int row = 0; row < chunk.rows; ++row) {
    const float* const rows = input.data + Index(2 * (chunk.first_row + row)) * row_stride;
    float* const tiles = to + Index(row) * chunk.tiles_per_row * c;
    for (Index k = 0; k < c; k += kLanes) {
      const auto column = [&](Index x) HWY_ATTR {
        const float* const from = rows + x * c + k;
        return input_transform(hn::LoadU(d, from), hn::LoadU(d, from + row_stride), hn::LoadU(d, from + 2 * row_stride),
                               hn::LoadU(d, from + 3 * row_stride));
      };
      Four left = column(0), right = column(1);
      for (int tile = 0; tile < chunk.tiles_per_row; ++tile) {
        const Four next_left = column(2 * tile + 2), next_right = column(2 * tile + 3);
        float* out = tiles + Index(tile) * c + k;
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const Four values = input_transform(left.v[i], right.v[i], next_left.v[i], next_right.v[i]);
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j, out += position) hn::StoreU(values.v[j], d, out);
        }
        left = next_left, right = next_right;
      }
    }
  }
}

/// to = A dy A^T of the chunk's tiles, but for signs.
void transform_gradient(float* to, const float* dy, Index row_stride, Index c, const Chunk& chunk) {
  const Floats d;
  const Index position = chunk.position_stride(int(c));
  for (int row = 0; row < chunk.rows; ++row) {
    const float* const top = dy + Index(2 * (chunk.first_row + row)) * row_stride;
    for (int tile = 0; tile < chunk.tiles_per_row; ++tile) {
      for (Index k = 0; k < c; k += kLanes) {
        const float* const from = top + Index(2 * tile) * c + k;
        const Four left = gradient_transform(hn::LoadU(d, from), hn::LoadU(d, from + row_stride));
        const Four right = gradient_transform(hn::LoadU(d, from + c), hn::LoadU(d, from + row_stride + c));
        float* out = to + (Index(row) * chunk.tiles_per_row + tile) * c + k;
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const Four values = gradient_transform(left.v[i], right.v[i]);
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j, out += position) hn::StoreU(values.v[j], d, out);
        }
      }
    }
  }
}

/// A^T m A of one row of tiles, with kVectors vectors of channels: rows `top` and `bottom` of the output.
template <int kVectors>
HWY_INLINE void transform_output(float* top, float* bottom, Index pixel_stride, const float* m, Index position,
                                 int tiles) {
  const Floats d;
  for (int tile = 0; tile < tiles; ++tile, m += kVectors * kLanes) {
    for (int v = 0; v < kVectors; ++v) {
      const float* from = m + v * kLanes;
      Vector upper[4], lower[4];  // A^T m
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j, from += position) {
        const Vector a = hn::LoadU(d, from), b = hn::LoadU(d, from + 4 * position);
        const Vector e = hn::LoadU(d, from + 8 * position), f = hn::LoadU(d, from + 12 * position);
        const Vector sum = hn::Add(b, e), difference = hn::Sub(b, e);
        upper[j] = hn::Add(a, sum);
        lower[j] = hn::Sub(difference, f);
      }
      const auto store_row = [&](const Vector* row, float* out) HWY_ATTR {
        const Vector sum = hn::Add(row[1], row[2]), difference = hn::Sub(row[1], row[2]);
        hn::StoreU(hn::Add(row[0], sum), d, out);
        hn::StoreU(hn::Sub(difference, row[3]), d, out + pixel_stride);
      };
      store_row(upper, top + v * kLanes);
      store_row(lower, bottom + v * kLanes);
    }
    top += 2 * pixel_stride;
    bottom += 2 * pixel_stride;
  }
}

/// One block of output channels of one chunk: the 16 products into m, their transform into the output.
template <int kGroups, int kVectors>
void run_block(const ConvOutput& output, const ConvPlan& plan, const float* v, float* m, const Chunk& chunk,
               int first_vector, const float* weight, const float* bias, int w) {
  static thread_local Scratch both_rows;
  constexpr Index kStride = kVectors * kLanes;
  const Index input_position = chunk.position_stride(plan.c_in), position = chunk.position_stride(int(kStride));
  HWY_ALIGN static constexpr float kNoBias[kStride] = {};
  TileInput tile;
  tile.pixel_stride = plan.c_in;
  tile.row_stride = 0;
  tile.ky_begin = 0, tile.ky_end = 1;
  tile.row_length = plan.c_in;
  for (int k = 0; k < kWinogradPositions; ++k) {
    const float* const in = v + k * input_position;
    const float* const w_k = weight + Index(k) * plan.c_in * kStride;
    // Of the 16, the one in row 1 and column 1 goes into all four outputs with a plus: that is where the bias belongs.
    const float* const b = k == 5 ? bias : kNoBias;
    const auto run = [&](auto groups, int g) HWY_ATTR {
      float* out[kMaxGroups];
      for (int i = 0; i < groups(); ++i) {
        tile.in[i] = in + Index(g + i) * kGroupPixels * plan.c_in;
        out[i] = m + k * position + Index(g + i) * kGroupPixels * kStride;
      }
      tile.ahead = tile.in[0] + input_position;
      conv_tile<groups(), kVectors>(tile, w_k, b, out, kStride);
    };
    int g = 0;
    for (; g + kGroups <= chunk.groups(); g += kGroups) run(std::integral_constant<int, kGroups>(), g);
    for (; g < chunk.groups(); ++g) run(std::integral_constant<int, 1>(), g);
  }

  const bool direct = !plan.paired && !output.add && !output.accumulate;
  float* const rows = direct ? nullptr : both_rows.reserve(2 * w * kStride);
  for (int row = 0; row < chunk.rows; ++row) {
    const int y = 2 * (chunk.first_row + row);
    const float* const from = m + Index(row) * chunk.tiles_per_row * kStride;
    if (direct) {
      float* const out = output.data + y * output.row_stride + first_vector * kLanes;
      transform_output<kVectors>(out, out + output.row_stride, plan.c_out, from, position, chunk.tiles_per_row);
      continue;
    }
    transform_output<kVectors>(rows, rows + w * kStride, kStride, from, position, chunk.tiles_per_row);
    finish_group<true, kVectors>(output, plan, w, rows, {y, 0, w}, first_vector);
    finish_group<true, kVectors>(output, plan, w, rows + w * kStride, {y + 1, 0, w}, first_vector);
  }
}

void winograd_image_impl(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan,
                         const float* packed) {
  static thread_local Scratch transformed, products;
  constexpr int kTiles = 28;  // a position's inputs, weights and products share the first-level cache
  const float* const bias = packed + plan.weight_size();
  for_each_chunk(input.h, input.w, kTiles, [&](const Chunk& chunk) {
    float* const v = transformed.reserve(chunk.size(plan.c_in));
    float* const m = products.reserve(chunk.size(plan.block * kLanes));
    transform_input(v, input, chunk);
    for (int first = 0; first < plan.vectors; first += plan.block) {
      const float* const weight = packed + Index(first) * kLanes * kWinogradPositions * plan.c_in;
      const float* const b = bias + first * kLanes;
      switch (HWY_MIN(plan.block, plan.vectors - first)) {
        case 1:
          run_block<kMaxGroups, 1>(output, plan, v, m, chunk, first, weight, b, input.w);
          break;
        case 2:
          run_block<kManyRegisters ? 2 : 1, 2>(output, plan, v, m, chunk, first, weight, b, input.w);
          break;
        default:
          run_block<1, 3>(output, plan, v, m, chunk, first, weight, b, input.w);
          break;
      }
    }
  });
}

void add_winograd_weight_gradient_impl(float* partial, const PaddedImage& input, const float* dy, Index dy_row_stride,
                                       const WeightGradientPlan& plan) {
  static thread_local Scratch inputs, gradients;
  constexpr int kTiles = 56;  // enough of them that loading and storing the sums costs little
  const GradientTileFunction run = find_gradient_tile(plan.tile_scalars, plan.tile_vectors, false);
  for_each_chunk(input.h, input.w, kTiles, [&](const Chunk& chunk) {
    float* const v = inputs.reserve(chunk.size(plan.c_in));
    float* const g = gradients.reserve(chunk.size(plan.c_out));
    transform_input(v, input, chunk);
    transform_gradient(g, dy, dy_row_stride, plan.c_out, chunk);
    GradientTile tile;
    tile.scalar_row = tile.vector_row = 0;
    tile.scalar_pixel = plan.c_in, tile.vector_pixel = plan.c_out;
    tile.rows = 1, tile.width = chunk.tiles();
    for (int k = 0; k < kWinogradPositions; ++k) {
      for (int i = 0; i < plan.scalars; i += plan.tile_scalars) {
        tile.scalars = v + k * chunk.position_stride(plan.c_in) + i;
        for (int o = 0; o < plan.vectors; o += plan.tile_vectors) {
          tile.vectors = g + k * chunk.position_stride(plan.c_out) + o * kLanes;
          run(tile, partial + plan.tile_offset(k, i, o));
        }
      }
    }
  });
}

}  // namespace flowsmith::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::cpu {

bool winograd_fits(int h, int w, int c) { return FLOWSMITH_DISPATCH(winograd_fits_impl)(h, w, c); }

/// packed: for each block of output channels [position][c_in][channel of the block], then the bias.
void pack_winograd_weights(float* packed, const float* weight, const float* bias, const ConvPlan& plan, WeightUse use) {
  const ScratchVector<int> channels = packed_channels(plan);
  const int total = plan.packed_channels(), block = plan.block * plan.lanes;
  const bool forward = use == WeightUse::kForward;
  const std::ptrdiff_t in_stride = forward ? plan.c_out : 1, out_stride = forward ? 1 : plan.c_in;
  const std::ptrdiff_t tap_stride = std::ptrdiff_t(plan.c_in) * plan.c_out;

#pragma omp parallel for schedule(static) if (plan.weight_size() > 16384)
  for (int i = 0; i < plan.c_in; ++i) {
    for (int o = 0; o < total; ++o) {
      const float* const g = weight + i * in_stride + channels[o] * out_stride;
      float half[4][3];  // G g
      for (int x = 0; x < 3; ++x) {
        const auto tap = [&](int y) { return g[(forward ? 3 * y + x : 8 - 3 * y - x) * tap_stride]; };
        const float outer = tap(0) + tap(2), inner = tap(1);
        half[0][x] = tap(0), half[3][x] = tap(2);
        half[1][x] = 0.5f * (outer + inner), half[2][x] = 0.5f * (outer - inner);
      }
      const int first = o / block * block, width = std::min(block, total - first);
      float* to = packed + std::size_t(first) * kWinogradPositions * plan.c_in + std::size_t(i) * width + (o - first);
      const std::size_t position = std::size_t(plan.c_in) * width;
      for (int y = 0; y < 4; ++y, to += 4 * position) {
        const float outer = half[y][0] + half[y][2], inner = half[y][1];
        to[0] = half[y][0];
        to[position] = 0.5f * (outer + inner);
        to[2 * position] = 0.5f * (outer - inner);
        to[3 * position] = half[y][2];
      }
    }
  }
  float* packed_bias = packed + plan.weight_size();
  for (int o = 0; o < total; ++o) packed_bias[o] = bias ? bias[channels[o]] : 0.0f;
}

void winograd_taps(const float* sums, float* taps) {
  float half[3][4];  // G^T s
  for (int x = 0; x < 4; ++x) {
    const auto s = [&](int y) { return sums[4 * y + x]; };
    half[0][x] = s(0) + 0.5f * (s(1) + s(2));
    half[1][x] = 0.5f * (s(1) - s(2));
    half[2][x] = 0.5f * (s(1) + s(2)) - s(3);  // minus: see gradient_transform
  }
  for (int y = 0; y < 3; ++y) {
    const float* const h = half[y];
    taps[3 * y] = h[0] + 0.5f * (h[1] + h[2]);
    taps[3 * y + 1] = 0.5f * (h[1] - h[2]);
    taps[3 * y + 2] = 0.5f * (h[1] + h[2]) - h[3];
  }
}

void winograd_image(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan, const float* packed) {
  FLOWSMITH_DISPATCH(winograd_image_impl)(output, input, plan, packed);
}

void add_winograd_weight_gradient(float* partial, const PaddedImage& input, const float* dy,
                                  std::ptrdiff_t dy_row_stride, const WeightGradientPlan& plan) {
  FLOWSMITH_DISPATCH(add_winograd_weight_gradient_impl)(partial, input, dy, dy_row_stride, plan);
}

}  // namespace flowsmith::cpu
#endif
