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
namespace flowsmith::core::cpu::HWY_NAMESPACE {

/// Tiles along a side.
constexpr int tiles_along(int side) { return (side + 1) / 2; }

bool winograd_fits_impl(int h, int w, int c) {
  // One more multiply-add per pixel would be a direct convolution; the transforms are worth about as much.
  return c % kLanes == 0 && kWinogradPositions * tiles_along(h) * tiles_along(w) < 8 * h * w;
}

/// Some rows of tiles and their transformed values, [position][tile][channel]. Rows are those of all images, one image
/// after the other. The tiles of a position are followed by room for those that a register tile takes too many.
struct Chunk {
  int first_row, rows, tiles_per_row, rows_per_image;

  int image(int row) const { return (first_row + row) / rows_per_image; }
  /// The pixel row in that image with which tile row `row` of the chunk begins.
  int y(int row) const { return 2 * ((first_row + row) % rows_per_image); }

  int tiles() const { return rows * tiles_per_row; }
  int groups() const { return (tiles() + kGroupPixels - 1) / kGroupPixels; }
  /// Floats from a position to the next: never a multiple of what makes all 16 fall into the same lines of the cache.
  Index position_stride(int channels) const { return Index(groups()) * kGroupPixels * channels + 16; }
  /// The last register tile may read, and drop, a few channels behind the last position.
  std::size_t size(int channels) const { return std::size_t(kWinogradPositions) * position_stride(channels) + 64; }
};

/// Calls run(chunk) for equal chunks of at most about `tiles` tiles that cover all images.
template <class Run>
HWY_INLINE void for_each_chunk(const PaddedImage& input, int tiles, const Run& run) {
  const int tiles_per_row = tiles_along(input.w), rows_per_image = tiles_along(input.h);
  const int rows = input.count * rows_per_image, most = HWY_MAX(1, tiles / tiles_per_row);
  const int chunks = (rows + most - 1) / most;
  for (int i = 0; i < chunks; ++i) {
    const int first = rows * i / chunks;
    run(Chunk{first, rows * (i + 1) / chunks - first, tiles_per_row, rows_per_image});
  }
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

/// out = (B^T d) B, from the four columns of B^T d.
HWY_INLINE void store_input_tile(float* out, Index position, const Four& a, const Four& b, const Four& c,
                                 const Four& e) {
  const Floats d;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Four values = input_transform(a.v[i], b.v[i], c.v[i], e.v[i]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j, out += position) hn::StoreU(values.v[j], d, out);
  }
}

/// to = B^T d B of the chunk's tiles. What lies outside of an image and its border counts as zeros.
void transform_input(float* to, const PaddedImage& input, const Chunk& chunk) {
  static thread_local Scratch zeros;
  const Floats d;
  const Index c = input.c, position = chunk.position_stride(int(c)), row_stride = input.row_stride();
  float* const zero_row = zeros.reserve(row_stride);
  std::fill_n(zero_row, row_stride, 0.0f);
  const int border = input.border;
  for (int row = 0; row < chunk.rows; ++row) {
    const float* const image = input.data + chunk.image(row) * input.image_stride();
    const float* rows[4];
    for (int i = 0; i < 4; ++i) {
      const int y = chunk.y(row) - 1 + i;
      rows[i] = -border <= y && y < input.h + border ? image + (y + border) * row_stride : zero_row;
    }
    for (Index k = 0; k < c; k += kLanes) {
      const float* const from[4] = {rows[0] + k, rows[1] + k, rows[2] + k, rows[3] + k};
      const auto column = [&](int x) HWY_ATTR {
        const Index at = (x + border) * c;
        return input_transform(hn::LoadU(d, from[0] + at), hn::LoadU(d, from[1] + at), hn::LoadU(d, from[2] + at),
                               hn::LoadU(d, from[3] + at));
      };
      const auto column_or_zeros = [&](int x) HWY_ATTR {
        const Vector zero = hn::Zero(d);
        return -border <= x && x < input.w + border ? column(x) : Four{{zero, zero, zero, zero}};
      };
      Four left = column_or_zeros(-1), right = column(0);
      float* out = to + Index(row) * chunk.tiles_per_row * c + k;
      const int last = chunk.tiles_per_row - 1;
      for (int tile = 0; tile < last; ++tile, out += c) {
        const Four next_left = column(2 * tile + 1), next_right = column(2 * tile + 2);
        store_input_tile(out, position, left, right, next_left, next_right);
        left = next_left, right = next_right;
      }
      store_input_tile(out, position, left, right, column_or_zeros(2 * last + 1), column_or_zeros(2 * last + 2));
    }
  }
}

/// to = A dy A^T of the chunk's tiles, but for signs; dy of images of h by w pixels is zero outside.
void transform_gradient(float* to, const float* dy, Index row_stride, int h, int w, Index c, const Chunk& chunk) {
  const Floats d;
  const Index position = chunk.position_stride(int(c));
  for (int row = 0; row < chunk.rows; ++row) {
    const int y = chunk.y(row);
    const float* const top = dy + (Index(chunk.image(row)) * h + y) * row_stride;
    const bool has_bottom = y + 1 < h;
    for (int tile = 0; tile < chunk.tiles_per_row; ++tile) {
      const bool has_right = 2 * tile + 1 < w;
      const auto write_tile = [&](auto whole) HWY_ATTR {
        for (Index k = 0; k < c; k += kLanes) {
          const float* const from = top + Index(2 * tile) * c + k;
          const auto load = [&](bool inside, const float* at)
                                HWY_ATTR { return whole() || inside ? hn::LoadU(d, at) : hn::Zero(d); };
          const Four left = gradient_transform(hn::LoadU(d, from), load(has_bottom, from + row_stride));
          const Four right =
              gradient_transform(load(has_right, from + c), load(has_bottom && has_right, from + row_stride + c));
          float* out = to + (Index(row) * chunk.tiles_per_row + tile) * c + k;
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i) {
            const Four values = gradient_transform(left.v[i], right.v[i]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j, out += position) hn::StoreU(values.v[j], d, out);
          }
        }
      };
      if (has_bottom && has_right) {
        write_tile(std::true_type());
      } else {
        write_tile(std::false_type());
      }
    }
  }
}

/// Of the 16 positions, the one in row 1 and column 1 goes into all four outputs of a tile with a plus, so that is
/// where the bias belongs. In A dy A^T it holds the sum of the tile's four gradients.
constexpr int kTileSum = 5;

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
               int first_vector, const float* weight, const float* bias, int h, int w) {
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
    const float* const b = k == kTileSum ? bias : kNoBias;
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

  const bool direct = !plan.paired && !output.add && !output.accumulate && w % 2 == 0;
  const Index row_size = 2 * chunk.tiles_per_row * kStride;
  float* const rows = both_rows.reserve(2 * row_size);
  for (int row = 0; row < chunk.rows; ++row) {
    const bool has_bottom = chunk.y(row) + 1 < h;
    const int y = chunk.image(row) * h + chunk.y(row);  // among the rows of all images
    const float* const from = m + Index(row) * chunk.tiles_per_row * kStride;
    if (direct && has_bottom) {
      float* const out = output.data + y * output.row_stride + first_vector * kLanes;
      transform_output<kVectors>(out, out + output.row_stride, plan.c_out, from, position, chunk.tiles_per_row);
      continue;
    }
    transform_output<kVectors>(rows, rows + row_size, kStride, from, position, chunk.tiles_per_row);
    finish_group<true, kVectors>(output, plan, w, rows, {y, 0, w}, first_vector);
    if (has_bottom) finish_group<true, kVectors>(output, plan, w, rows + row_size, {y + 1, 0, w}, first_vector);
  }
}

void winograd_image_impl(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan,
                         const float* packed) {
  static thread_local Scratch transformed, products;
  constexpr int kTiles = 28;  // a position's inputs, weights and products share the first-level cache
  const float* const bias = packed + plan.weight_size();
  for_each_chunk(input, kTiles, [&](const Chunk& chunk) {
    float* const v = transformed.reserve(chunk.size(plan.c_in));
    float* const m = products.reserve(chunk.size(plan.block * kLanes));
    transform_input(v, input, chunk);
    for (int first = 0; first < plan.vectors; first += plan.block) {
      const float* const weight = packed + Index(first) * kLanes * kWinogradPositions * plan.c_in;
      const float* const b = bias + first * kLanes;
      switch (HWY_MIN(plan.block, plan.vectors - first)) {
        case 1:
          run_block<kMaxGroups, 1>(output, plan, v, m, chunk, first, weight, b, input.h, input.w);
          break;
        case 2:
          run_block<kManyRegisters ? 2 : 1, 2>(output, plan, v, m, chunk, first, weight, b, input.h, input.w);
          break;
        default:
          run_block<1, 3>(output, plan, v, m, chunk, first, weight, b, input.h, input.w);
          break;
      }
    }
  });
}

/// sums += the channels of all pixels.
void add_pixels(float* sums, const float* pixels, int count, int channels) {
  const Floats d;
  for (int c = 0; c < channels; c += kLanes) {
    Vector sum = hn::LoadU(d, sums + c);
    for (int i = 0; i < count; ++i) sum = hn::Add(sum, hn::LoadU(d, pixels + Index(i) * channels + c));
    hn::StoreU(sum, d, sums + c);
  }
}

void add_winograd_weight_gradient_impl(float* partial, const PaddedImage& input, const float* dy, Index dy_row_stride,
                                       const WeightGradientPlan& plan) {
  static thread_local Scratch inputs, gradients;
  constexpr int kTiles = 56;  // enough of them that loading and storing the sums costs little
  const GradientTileFunction run = find_gradient_tile(plan.tile_scalars, plan.tile_vectors, false);
  for_each_chunk(input, kTiles, [&](const Chunk& chunk) {
    float* const v = inputs.reserve(chunk.size(plan.c_in));
    float* const g = gradients.reserve(chunk.size(plan.c_out));
    transform_input(v, input, chunk);
    transform_gradient(g, dy, dy_row_stride, input.h, input.w, plan.c_out, chunk);
    add_pixels(partial + plan.weight_size(), g + kTileSum * chunk.position_stride(plan.c_out), chunk.tiles(),
               plan.c_out);
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

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

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

}  // namespace flowsmith::core::cpu
#endif
