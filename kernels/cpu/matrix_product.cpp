// The product is cut into register tiles, whose factors are packed so that a tile reads each from front to back: the
// left one by all threads together, tile rows by tile rows, the right one by each thread for itself, just before it is
// used.
//
// A thread owns a range of columns, of all rows if there are enough columns for all threads. It goes through them in
// panels of up to three vectors: a part of a panel, kDepthPart deep, lies in the first-level cache while the rows pass.
#include "kernels/cpu/matrix_product.h"

#include <omp.h>

#include <algorithm>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrix_product.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/gradient_tile-inl.h"

#ifndef FLOWSMITH_CPU_MATRIX_PRODUCT_TYPES
#define FLOWSMITH_CPU_MATRIX_PRODUCT_TYPES
namespace flowsmith::cpu {

/// How the product is cut on this machine.
struct ProductPlan {
  int tile_rows = 0;  ///< of a register tile
  int vectors = 0;    ///< that hold the columns
};

/// A thread's share of a chunk of rows.
struct ProductShare {
  int first_block, end_block;    ///< rows, in tiles
  int first_vector, end_vector;  ///< columns, in vectors
};

struct ProductTask {
  Grad<float> to;
  Factor left, right;
  ProductSize size;
  const float* bias;
  Activation activation;
};

}  // namespace flowsmith::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::cpu::HWY_NAMESPACE {

/// 24 sums in 32 registers, 12 in 16; a product as narrow as one vector takes more rows to have as many. Multiples of
/// 4, for pack().
inline constexpr bool kManySums = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;
inline constexpr int kTileRows = kManySums ? 8 : 4, kNarrowTileRows = 3 * kTileRows;

ProductPlan plan_product_impl(int columns) {
  const int vectors = (columns + kLanes - 1) / kLanes;
  return {vectors == 1 ? kNarrowTileRows : kTileRows, vectors};
}

#if HWY_TARGET != HWY_SCALAR
/// Four elements at four depths, turned: what lay along the depth then lies along the elements.
HWY_INLINE void pack_four(float* to, Index to_stride, const float* from, Index from_stride) {
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> pairs;
  const auto a = hn::LoadU(d, from), b = hn::LoadU(d, from + from_stride);
  const auto e = hn::LoadU(d, from + 2 * from_stride), f = hn::LoadU(d, from + 3 * from_stride);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto ef_low = hn::BitCast(pairs, hn::InterleaveLower(d, e, f));
  const auto ef_high = hn::BitCast(pairs, hn::InterleaveUpper(d, e, f));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_low, ef_low)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_low, ef_low)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_high, ef_high)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_high, ef_high)), d, to + 3 * to_stride);
}
#endif

/// to[k][i] = element first + i of the factor at depth first_depth + k, i < width, k < depth; 0 for elements from
/// `count` on.
void pack(float* HWY_RESTRICT to, const Factor& factor, Index first, Index count, Index width, Index first_depth,
          Index depth) {
  count = HWY_MIN(count, width);
  if (!factor.along_depth) {
    const float* from = factor.data + first_depth * factor.stride + first;
    for (Index k = 0; k < depth; ++k, to += width, from += factor.stride) {
      Index i = 0;
      for (; i + kLanes <= count; i += kLanes) hn::StoreU(hn::LoadU(Floats(), from + i), Floats(), to + i);
#if HWY_TARGET != HWY_SCALAR
      const hn::FixedTag<float, 4> four;
      for (; i + 4 <= count; i += 4) hn::StoreU(hn::LoadU(four, from + i), four, to + i);
#endif
      for (; i < count; ++i) to[i] = from[i];
      for (; i < width; ++i) to[i] = 0;
    }
    return;
  }
  const float* const from = factor.data + first * factor.stride + first_depth;
  Index i = 0;
#if HWY_TARGET != HWY_SCALAR
  const Index whole = depth / 4 * 4;
  for (; i + 4 <= count; i += 4) {
    const float* const row = from + i * factor.stride;
    for (Index k = 0; k < whole; k += 4) pack_four(to + k * width + i, width, row + k, factor.stride);
    for (Index k = whole; k < depth; ++k) {
      for (Index j = 0; j < 4; ++j) to[k * width + i + j] = row[j * factor.stride + k];
    }
  }
#endif
  for (; i < width; ++i) {
    for (Index k = 0; k < depth; ++k) to[k * width + i] = i < count ? from[i * factor.stride + k] : 0.0f;
  }
}

/// Rows first_row ... of the left factor, as one tile reads them.
void pack_left_impl(float* to, const ProductTask& task, int tile_rows, int first_row) {
  pack(to, task.left, first_row, task.size.rows - first_row, tile_rows, 0, task.size.depth);
}

/// Vectors of the next panel where so many are left: panels of three where that leaves no single vector behind.
HWY_INLINE int panel_vectors(int left) { return left == 4 ? 2 : HWY_MIN(left, 3); }

HWY_INLINE GradientTileFunction product_tile(int vectors, bool narrow) {
  if (narrow) return &gradient_tile<kNarrowTileRows, 1>;
  if (vectors == 1) return &gradient_tile<kTileRows, 1>;
  return vectors == 2 ? &gradient_tile<kTileRows, 2> : &gradient_tile<kTileRows, 3>;
}

/// Activates `rows` rows of sums and writes their first `columns` columns.
template <Activation kActivation>
void finish(Grad<float> to, Index to_stride, const float* sums, Index width, int rows, Index columns) {
  const Index count = HWY_MIN(columns, width);
  for (int r = 0; r < rows; ++r, sums += width, to.data += to_stride) {
    Index c = 0;
    for (; c + kLanes <= count; c += kLanes) {
      write_first<true>(to.data + c, to.mode, activate<kActivation>(hn::LoadU(Floats(), sums + c)), kLanes);
    }
    if (c < count) write_first(to.data + c, to.mode, activate<kActivation>(hn::LoadU(Floats(), sums + c)), count - c);
  }
}

/// Depth of the part of a panel that lies in the first-level cache: three vectors of 64 bytes take 24 KB.
inline constexpr Index kDepthPart = 128 * 16 / (kLanes > 8 ? 16 : 8);

/// `packed`: the left factor's rows from first_row on, tile after tile.
void product_share_impl(const ProductTask& task, const ProductShare& share, const float* packed, int first_row) {
  const int blocks = share.end_block - share.first_block;
  if (blocks <= 0) return;
  const bool narrow = task.size.columns <= kLanes;
  const Index tile_rows = narrow ? kNarrowTileRows : kTileRows, depth = task.size.depth;
  const int first = first_row + share.first_block * int(tile_rows);
  const int rows = HWY_MIN(blocks * int(tile_rows), task.size.rows - first);
  static thread_local Scratch panel_memory, sum_memory;
  float* const panel = panel_memory.reserve(kDepthPart * 3 * kLanes);
  float* const sums = sum_memory.reserve(blocks * tile_rows * 3 * kLanes);
  for (int v = share.first_vector, step; v < share.end_vector; v += step) {
    step = panel_vectors(share.end_vector - v);
    const Index width = Index(step) * kLanes, column = Index(v) * kLanes, columns = task.size.columns - column;
    for (Index c = 0; c < width; c += kLanes) {
      const Vector start =
          task.bias && c < columns ? load_first(task.bias + column + c, columns - c) : hn::Zero(Floats());
      for (Index r = 0; r < blocks * tile_rows; ++r) hn::StoreU(start, Floats(), sums + r * width + c);
    }
    const GradientTileFunction run = product_tile(step, narrow);
    for (Index k = 0; k < depth; k += kDepthPart) {
      const Index part = HWY_MIN(kDepthPart, depth - k);
      pack(panel, task.right, column, columns, width, k, part);
      GradientTile tile{nullptr, panel, 0, tile_rows, 0, width, 1, int(part)};
      for (int b = 0; b < blocks; ++b) {
        tile.scalars = packed + (Index(share.first_block + b) * depth + k) * tile_rows;
        run(tile, sums + b * tile_rows * width);
      }
    }
    const Grad<float> to{task.to.data + Index(first) * task.size.columns + column, task.to.mode};
    with_activation(task.activation,
                    [&](auto act) HWY_ATTR { finish<act()>(to, task.size.columns, sums, width, rows, columns); });
  }
}

}  // namespace flowsmith::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::cpu {
namespace {

/// Rows that are packed and computed at a time: a multiple of every tile's. A panel is packed once for each chunk.
constexpr int kChunkRows = 192;
/// Multiply-adds that one thread does in the time that it takes to wake others. A sum of none counts as 16: starting
/// and finishing it.
constexpr double kMinParallelProducts = 250000;

/// What thread `thread` of `threads` does of so many tiles of rows and vectors of columns.
ProductShare share_of(int thread, int threads, int blocks, int vectors) {
  const int across = std::min(threads, (vectors + 2) / 3), down = std::min(threads / across, blocks);
  if (thread >= across * down) return {};
  const int i = thread % across, j = thread / across;
  return {blocks * j / down, blocks * (j + 1) / down, vectors * i / across, vectors * (i + 1) / across};
}

}  // namespace

void matrix_product(Grad<float> to, Factor left, Factor right, ProductSize size, const float* bias,
                    Activation activation) {
  if (size.rows == 0 || size.columns == 0) return;
  const ProductTask task{to, left, right, size, bias, activation};
  const ProductPlan plan = FLOWSMITH_DISPATCH(plan_product_impl)(size.columns);
  const int chunk_rows = std::min(size.rows, kChunkRows);
  static thread_local Scratch memory;
  const std::size_t block_size = std::size_t(plan.tile_rows) * size.depth;
  float* const packed = memory.reserve((chunk_rows + plan.tile_rows - 1) / plan.tile_rows * block_size);
  const bool parallel = double(size.rows) * size.columns * (size.depth + 16) > kMinParallelProducts;

#pragma omp parallel if (parallel)
  for (int first = 0; first < size.rows; first += kChunkRows) {
    const int rows = std::min(kChunkRows, size.rows - first);
    const int blocks = (rows + plan.tile_rows - 1) / plan.tile_rows;
#pragma omp for schedule(static)
    for (int b = 0; b < blocks; ++b) {
      FLOWSMITH_DISPATCH(pack_left_impl)(packed + b * block_size, task, plan.tile_rows, first + b * plan.tile_rows);
    }
    FLOWSMITH_DISPATCH(product_share_impl)
    (task, share_of(omp_get_thread_num(), omp_get_num_threads(), blocks, plan.vectors), packed, first);
#pragma omp barrier
  }
}

}  // namespace flowsmith::cpu
#endif
