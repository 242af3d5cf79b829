// The product is cut into register tiles, whose factors are packed so that a tile reads each from front to back: the
// left one by all threads together, tile rows by tile rows, the right one by each thread for itself, just before it is
// used.
//
// A thread owns a range of columns, of all rows if there are enough columns for all threads, so that no two of them
// pack the same part of the right factor. It goes through its columns in panels of up to three vectors: a part of a
// panel, kDepthPart deep, lies in the first-level cache while the rows pass.
#include "kernels/cpu/matrix_product.h"

#include <algorithm>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrix_product.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/vector_math-inl.h"

#ifndef FLOWSMITH_CPU_MATRIX_PRODUCT_TYPES
#define FLOWSMITH_CPU_MATRIX_PRODUCT_TYPES
namespace flowsmith::core::cpu {

/// How the product is cut on this machine.
struct ProductPlan {
  int tile_rows = 0;  ///< of a register tile
  int vectors = 0;    ///< that hold the columns
  int lanes = 0;
};

/// A thread's share of a chunk of rows.
struct ProductShare {
  int first_block, end_block;    ///< rows, in tiles
  int first_vector, end_vector;  ///< columns, in vectors
};

struct ProductTask {
  Grad<float> to;
  Factor right;
  ProductSize size;
  const float* bias;
  Activation activation;
};

}  // namespace flowsmith::core::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

/// 24 sums in 32 registers, 12 in 16; a product as narrow as one vector takes more rows to have as many. Multiples of
/// 4, for pack().
inline constexpr bool kManySums = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;
inline constexpr int kTileRows = kManySums ? 8 : 4, kNarrowTileRows = 3 * kTileRows;

ProductPlan plan_product_impl(int columns) {
  const int vectors = (columns + kLanes - 1) / kLanes;
  return {vectors == 1 ? kNarrowTileRows : kTileRows, vectors, kLanes};
}

#if HWY_TARGET != HWY_SCALAR
/// Runs of four floats, 4 * stride apart, side by side in one vector.
template <class D>
HWY_INLINE hn::Vec<D> load_runs(D d, const float* from, Index stride) {
  constexpr int kCount = int(hn::MaxLanes(d));
  if constexpr (kCount <= 4) {
    return hn::LoadU(d, from);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_runs(half, from + kCount / 2 * stride, stride), load_runs(half, from, stride));
  }
}

/// As many elements as D has lanes, at four depths, turned: what lay along the depth then lies along the elements.
template <class D>
HWY_INLINE void pack_four_depths(D d, float* to, Index to_stride, const float* from, Index from_stride) {
  const hn::Repartition<double, D> pairs;
  const auto a = load_runs(d, from, from_stride), b = load_runs(d, from + from_stride, from_stride);
  const auto e = load_runs(d, from + 2 * from_stride, from_stride);
  const auto f = load_runs(d, from + 3 * from_stride, from_stride);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
  const auto ef_low = hn::BitCast(pairs, hn::InterleaveLower(d, e, f));
  const auto ef_high = hn::BitCast(pairs, hn::InterleaveUpper(d, e, f));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_low, ef_low)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_low, ef_low)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_high, ef_high)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_high, ef_high)), d, to + 3 * to_stride);
}

/// to[k * width + i] = from[i * stride + k] for i from `i` on in steps of kCount, as far as whole steps fit below
/// `count`; returns the first i that is left.
template <int kCount>
HWY_INLINE Index pack_turned(float* HWY_RESTRICT to, Index width, const float* from, Index stride, Index i, Index count,
                             Index depth) {
  if constexpr (kCount <= kLanes) {
    const hn::CappedTag<float, kCount> d;
    const Index whole = depth / 4 * 4;
    for (; i + kCount <= count; i += kCount) {
      const float* const rows = from + i * stride;
      for (Index k = 0; k < whole; k += 4) pack_four_depths(d, to + k * width + i, width, rows + k, stride);
      for (Index k = whole; k < depth; ++k) {
        for (Index j = 0; j < kCount; ++j) to[k * width + i + j] = rows[j * stride + k];
      }
    }
  }
  return i;
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
  i = pack_turned<16>(to, width, from, factor.stride, i, count, depth);
  i = pack_turned<8>(to, width, from, factor.stride, i, count, depth);
  i = pack_turned<4>(to, width, from, factor.stride, i, count, depth);
#endif
  for (; i < width; ++i) {
    for (Index k = 0; k < depth; ++k) to[k * width + i] = i < count ? from[i * factor.stride + k] : 0.0f;
  }
}

/// Rows first_row ... of the left factor, as one tile reads them.
void pack_left_impl(float* to, const Factor& left, ProductSize size, int tile_rows, int first_row) {
  pack(to, left, first_row, size.rows - first_row, tile_rows, 0, size.depth);
}

/// Vectors of the next panel where so many are left: panels of three where that leaves no single vector behind.
HWY_INLINE int panel_vectors(int left) { return left == 4 ? 2 : HWY_MIN(left, 3); }

/// Rows of the left factor by vectors of the right one, both packed, over a part of the depth.
struct ProductTile {
  const float *left, *right;
  Index depth;
  const float* start;  ///< what the sums of each row begin with; null: with `sums`
  float* sums;         ///< [row][vector], without gaps; where they go if `out` is null
  Grad<float> out;     ///< where they go when they are whole, out_stride from row to row
  Index out_stride;
  bool relu;  ///< on their way out
};

/// All sums in registers. GCC keeps an array of vectors there only if every loop over it is fully unrolled.
template <int kRows, int kVectors>
HWY_NOINLINE void product_tile(const ProductTile& tile) {
  const Floats d;
  Vector sum[kRows][kVectors];
#pragma GCC unroll 24
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[m][v] = hn::LoadU(d, tile.start ? tile.start + v * kLanes : tile.sums + (m * kVectors + v) * kLanes);
    }
  }
  const float *HWY_RESTRICT left = tile.left, *HWY_RESTRICT right = tile.right;
  for (Index k = 0; k < tile.depth; ++k, left += kRows, right += kVectors * kLanes) {
    Vector b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) b[v] = hn::LoadU(d, right + v * kLanes);
#pragma GCC unroll 24
    for (int m = 0; m < kRows; ++m) {
      const Vector a = hn::Set(d, left[m]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(a, b[v], sum[m][v]);
    }
  }
#pragma GCC unroll 24
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if (!tile.out) {
        hn::StoreU(sum[m][v], d, tile.sums + (m * kVectors + v) * kLanes);
      } else {
        const Vector value = tile.relu ? activate<Activation::kRelu>(sum[m][v]) : sum[m][v];
        write_first<true>(tile.out.data + m * tile.out_stride + v * kLanes, tile.out.mode, value, kLanes);
      }
    }
  }
}

using ProductTileFunction = void (*)(const ProductTile&);
HWY_INLINE ProductTileFunction find_product_tile(int vectors, bool narrow) {
  if (narrow) return &product_tile<kNarrowTileRows, 1>;
  if (vectors == 1) return &product_tile<kTileRows, 1>;
  return vectors == 2 ? &product_tile<kTileRows, 2> : &product_tile<kTileRows, 3>;
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

/// `packed`: the left factor, tile after tile.
void product_share_impl(const ProductTask& task, const ProductShare& share, const float* packed) {
  const int blocks = share.end_block - share.first_block;
  if (blocks <= 0) return;
  const bool narrow = task.size.columns <= kLanes;
  const Index tile_rows = narrow ? kNarrowTileRows : kTileRows, depth = task.size.depth;
  const int first = share.first_block * int(tile_rows);
  const int rows = HWY_MIN(blocks * int(tile_rows), task.size.rows - first);
  static thread_local Scratch panel_memory, sum_memory;
  float* const panel = panel_memory.reserve(kDepthPart * 3 * kLanes);
  float* const sums = sum_memory.reserve(blocks * tile_rows * 3 * kLanes);
  const bool relu = task.activation == Activation::kRelu, simple = relu || task.activation == Activation::kNone;
  for (int v = share.first_vector, step; v < share.end_vector; v += step) {
    step = panel_vectors(share.end_vector - v);
    const Index width = Index(step) * kLanes, column = Index(v) * kLanes, columns = task.size.columns - column;
    HWY_ALIGN float start[3 * kLanes] = {};
    if (task.bias) std::copy_n(task.bias + column, HWY_MIN(columns, width), start);
    // Whole tiles go from the registers to where they belong; the others wait in `sums` until they are cut.
    const int direct = simple && width <= columns ? rows / int(tile_rows) : 0;
    const Grad<float> to{task.to.data + Index(first) * task.size.columns + column, task.to.mode};
    const ProductTileFunction run = find_product_tile(step, narrow);
    for (Index k = 0; k == 0 || k < depth; k += kDepthPart) {
      const Index part = HWY_MIN(kDepthPart, depth - k);
      const bool last = k + part == depth;
      pack(panel, task.right, column, columns, width, k, part);
      for (int b = 0; b < blocks; ++b) {
        float* const out = to.data + b * tile_rows * task.size.columns;
        run({packed + (Index(share.first_block + b) * depth + k) * tile_rows,
             panel,
             part,
             k == 0 ? start : nullptr,
             sums + b * tile_rows * width,
             {last && b < direct ? out : nullptr, to.mode},
             task.size.columns,
             relu});
      }
    }
    const Index done = direct * tile_rows;
    with_activation(task.activation, [&](auto act) HWY_ATTR {
      finish<act()>({to.data + done * task.size.columns, to.mode}, task.size.columns, sums + done * width, width,
                    rows - int(done), columns);
    });
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {
namespace {

/// Rows that are computed at a time, so that their sums and factors stay in the second-level cache: a multiple of every
/// tile's. A panel is packed once for each chunk.
constexpr int kChunkRows = 192;

/// What thread `thread` of `threads` does of so many tiles of rows and vectors of columns.
ProductShare share_of(int thread, int threads, int blocks, int vectors) {
  const int across = std::min(threads, (vectors + 2) / 3), down = std::min(threads / across, blocks);
  if (thread >= across * down) return {};
  const int i = thread % across, j = thread / across;
  return {blocks * j / down, blocks * (j + 1) / down, vectors * i / across, vectors * (i + 1) / across};
}

}  // namespace

MatrixProduct::MatrixProduct(Grad<float> to, Factor left, Factor right, ProductSize size, const float* bias,
                             Activation activation)
    : to_(to), left_(left), right_(right), size_(size), bias_(bias), activation_(activation) {
  const ProductPlan plan = FLOWSMITH_DISPATCH(plan_product_impl)(size.columns);
  tile_rows_ = plan.tile_rows;
  vectors_ = plan.vectors;
  padded_columns_ = plan.vectors * plan.lanes;
}

std::size_t MatrixProduct::packed_size() const {
  return (std::size_t(blocks()) * tile_rows_ * size_.depth + 15) / 16 * 16;
}

MatrixProduct::Rows MatrixProduct::rows_of(int thread, int threads) const {
  const int first = blocks() * thread / threads * tile_rows_;
  return {first, std::min(blocks() * (thread + 1) / threads * tile_rows_, size_.rows) - first};
}

void MatrixProduct::pack(float* packed, int thread, int threads) const {
  const Rows rows = rows_of(thread, threads);
  for (int row = rows.first; row < rows.first + rows.count; row += tile_rows_) {
    FLOWSMITH_DISPATCH(pack_left_impl)(packed + std::size_t(row) * size_.depth, left_, size_, tile_rows_, row);
  }
}

void MatrixProduct::compute(const float* packed, int thread, int threads) const {
  if (size_.rows == 0 || size_.columns == 0) return;
  const ProductTask task{to_, right_, size_, bias_, activation_};
  const ProductShare all = share_of(thread, threads, blocks(), vectors_);
  const int chunk = kChunkRows / tile_rows_;
  for (int block = all.first_block; block < all.end_block; block += chunk) {
    ProductShare share = all;
    share.first_block = block;
    share.end_block = std::min(block + chunk, all.end_block);
    FLOWSMITH_DISPATCH(product_share_impl)(task, share, packed);
  }
}

}  // namespace flowsmith::core::cpu
#endif
