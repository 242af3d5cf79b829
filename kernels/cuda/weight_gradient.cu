// Gradients of a convolution for its weights and bias on a GPU: dweight[tap][k][o] = sum over pixels of a[pixel +
// tap][k] * dy[pixel][o], dbias[o] = sum of dy; the formulas are in kernels/conv.h.
//
// A matrix product whose sum runs over all pixels of the batch: rows are pairs (tap, input channel), columns output
// channels. A block owns all taps of 32 input channels (1x1: of 64) and up to 32 (64) output channels, so that it reads
// its channels of x once for all taps, and one group of neighbouring pixels, 128 at a time. The groups' sums go to
// scratch memory and are added in order by a second kernel; the number of groups hangs on the shape alone.
//
// Memory plan: pixels of x (with what the windows reach; ELU-concat applied) and of dy in shared memory, pixel by
// pixel, as in the forward kernel. The product needs them channel by channel: TF32 reads words across rows, bfloat16
// turns 8x8 blocks on the way (ldmatrix). The bias takes dy as it was before it was rounded. P*(c_x + c_out)*4 bytes +
// groups * weights, twice; 2*k^2*c_in*c_out*P FLOPs. dy is read once per 32 input channels, mostly from L2.
#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/conv_tile.h"
#include "kernels/cuda/group_sum.h"
#include "kernels/cuda/library_conv.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

constexpr int kTilePixels = 128;
/// Two blocks for each multiprocessor of an H100; a constant, so that every GPU adds in the same order.
constexpr std::int64_t kWantedBlocks = 264;

/// The part of the product that a block owns.
template <int kKernel, int kN_>
struct BlockShape {
  static constexpr int kN = kN_;
  static constexpr int kTaps = kKernel * kKernel;
  static constexpr int kChannels = kKernel == 3 ? 32 : 64;  ///< input channels, both halves of an ELU-concat together
  static constexpr int kM = kKernel == 3 ? 3 : 1;           ///< tiles of 16 rows of a warp
  static constexpr int kThreads = 32 * kTaps * kChannels / 16 / kM;
  static constexpr int kColumns = 8 * kN;
};

/// Words between the pixels of the two tiles, so that the lanes of a load have banks of their own.
template <NetPrecision kPrecision>
constexpr int row_stride(int channels) {
  if (kPrecision == NetPrecision::kBf16) return channels / 2 % 8 == 4 ? channels / 2 : channels / 2 + 4;
  return channels % 16 == 8 ? channels : channels + 8;
}

struct WeightGradientTask {
  ConvWindow window;
  const float *x, *dy;
  int x_channels, halves, c_out;
  std::int64_t tiles;  ///< of kTilePixels
  bool wants_weight, wants_bias;
  float* partials;  ///< (groups, dweight and dbias)
};

/// Where a row of a warp's product comes from.
struct RowTile {
  int tap, channel;  ///< of its first row
};

template <class Shape>
__device__ RowTile row_tile(int m) {
  constexpr int kTilesOfTap = Shape::kChannels / 16;
  const int i = warp_index() * Shape::kM + m;
  return {i / kTilesOfTap, i % kTilesOfTap * 16};
}

/// tile += one step over pixels: 8 of them, 16 for kBf16.
template <NetPrecision kPrecision, class Shape>
__device__ void multiply_pixels(WarpTile<kPrecision, Shape::kM, Shape::kN>& tile, PixelTile x, PixelTile dy,
                                const ConvWindow& window, const unsigned* taps_inside, int first) {
  const int lane = lane_index(), g = lane / 4, t = lane % 4;
  if constexpr (kPrecision == NetPrecision::kBf16) {
    std::uint32_t b[Shape::kN][2];
#pragma unroll
    for (int n = 0; n < Shape::kN; ++n) load_matrices_transposed(b[n], dy.row(first + lane % 16) + n * 4);
    const int pixel = first + lane % 8 + lane / 16 * 8;
#pragma unroll
    for (int m = 0; m < Shape::kM; ++m) {
      const RowTile rows = row_tile<Shape>(m);
      std::uint32_t a[4];
      load_matrices_transposed(
          a, x.row(window.row_of_tap(pixel, taps_inside[pixel], rows.tap)) + (rows.channel + lane / 8 % 2 * 8) / 2);
#pragma unroll
      for (int n = 0; n < Shape::kN; ++n) tile.multiply_add(tile.sum[m][n], a, b[n]);
    }
  } else if constexpr (kPrecision == NetPrecision::kTf32) {
    std::uint32_t b[Shape::kN][2];
#pragma unroll
    for (int n = 0; n < Shape::kN; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) b[n][i] = dy.row(first + t + 4 * i)[n * 8 + g];
    }
#pragma unroll
    for (int m = 0; m < Shape::kM; ++m) {
      const RowTile rows = row_tile<Shape>(m);
      std::uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int pixel = first + t + 4 * i;
        const std::uint32_t* const words =
            x.row(window.row_of_tap(pixel, taps_inside[pixel], rows.tap)) + rows.channel + g;
        a[2 * i] = words[0];
        a[2 * i + 1] = words[8];
      }
#pragma unroll
      for (int n = 0; n < Shape::kN; ++n) tile.multiply_add(tile.sum[m][n], a, b[n]);
    }
  } else {
#pragma unroll 2
    for (int pixel = first; pixel < first + kStepWords; ++pixel) {
      Vector<std::uint32_t, 2> b[Shape::kN];
#pragma unroll
      for (int n = 0; n < Shape::kN; ++n) b[n] = load_vector<2>(dy.row(pixel) + n * 8 + 2 * t);
#pragma unroll
      for (int m = 0; m < Shape::kM; ++m) {
        const RowTile rows = row_tile<Shape>(m);
        const std::uint32_t* const words =
            x.row(window.row_of_tap(pixel, taps_inside[pixel], rows.tap)) + rows.channel + g;
        const float a[2] = {__uint_as_float(words[0]), __uint_as_float(words[8])};
#pragma unroll
        for (int n = 0; n < Shape::kN; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) add_product(tile.sum[m][n][i], a[i / 2], __uint_as_float(b[n][i % 2]));
        }
      }
    }
  }
}

/// Puts kColumns channels of dy, from `first_column` on, into shared memory, zeros where there are none, and adds them
/// to the four that the thread holds of the bias.
template <NetPrecision kPrecision, int kColumns>
__device__ void load_gradients(PixelTile tile, Four<float>& bias, const WeightGradientTask& task,
                               std::int64_t first_pixel, int first_column) {
  const LoadLanes threads(kColumns / 4);
  const int column = threads.lane * 4;
  if (column >= kColumns) return;
  const bool whole = task.c_out % 4 == 0 && is_aligned<float, 4>(task.dy);
  for (int first = threads.row; first < kTilePixels; first += kLoadsInFlight * threads.rows) {
    Four<float> fours[kLoadsInFlight];
#pragma unroll
    for (int i = 0; i < kLoadsInFlight; ++i) {
      const std::int64_t pixel = first_pixel + first + i * threads.rows;
      const float* const from = task.dy + std::size_t(pixel) * task.c_out;
      fours[i] = Four<float>{};
      if (pixel >= task.window.pixels) continue;
      if (whole && first_column + column < task.c_out) {
        fours[i] = load_vector<4>(from + first_column + column);
      } else {
        fours[i] = load_four(from, std::size_t(first_column + column), std::size_t(task.c_out));
      }
    }
#pragma unroll
    for (int i = 0; i < kLoadsInFlight; ++i) {
      const int row = first + i * threads.rows;
      if (row >= kTilePixels) break;
      store_words<kPrecision>(tile.row(row) + column / kPerWord<kPrecision>, fours[i]);
#pragma unroll
      for (int c = 0; c < 4; ++c) bias[c] += fours[i][c];
    }
  }
}

/// Adds what the threads hold of the bias, row of threads after row of threads.
template <int kColumns>
__device__ void write_bias(float* to, float* shared, const Four<float>& bias, int first_column, int channels) {
  const LoadLanes threads(kColumns / 4);
  if (threads.lane * 4 < kColumns) store_vector(shared + threads.row * kColumns + threads.lane * 4, bias);
  __syncthreads();
  const int column = int(threadIdx.x);
  if (column < kColumns && first_column + column < channels) {
    float sum = 0;
    for (int row = 0; row < threads.rows; ++row) sum += shared[row * kColumns + column];
    to[first_column + column] = sum;
  }
}

/// Grid: groups, blocks of input channels, blocks of output channels.
template <NetPrecision kPrecision, int kKernel, int kN>
__global__ void __launch_bounds__((BlockShape<kKernel, kN>::kThreads), 2)
    weight_gradient_kernel(WeightGradientTask task) {
  using Shape = BlockShape<kKernel, kN>;
  FLOWSMITH_DYNAMIC_SHARED(std::uint32_t, shared);
  FLOWSMITH_SHARED(unsigned, taps_inside, [kTilePixels]);
  const ConvWindow& window = task.window;
  const PixelTile x{shared, row_stride<kPrecision>(Shape::kChannels)};
  const PixelTile dy{shared + window.all_rows() * x.stride, row_stride<kPrecision>(Shape::kColumns)};
  const int padded = Shape::kChannels / task.halves, first_channel = int(blockIdx.y) * padded;
  const TileChannels channels{first_channel, min(padded, task.x_channels - first_channel), padded, task.halves};
  const int first_column = int(blockIdx.z) * Shape::kColumns;

  clear_zero_rows(x, window);
  WarpTile<kPrecision, Shape::kM, kN> tile;
  Four<float> bias{};
  const std::int64_t end_tile = task.tiles * (blockIdx.x + 1) / gridDim.x;
  for (std::int64_t i = task.tiles * blockIdx.x / gridDim.x; i < end_tile; ++i) {
    const std::int64_t first_pixel = i * kTilePixels;
    if (task.wants_weight) load_window<kPrecision>(x, window, first_pixel, task.x, task.x_channels, channels);
    load_gradients<kPrecision, Shape::kColumns>(dy, bias, task, first_pixel, first_column);
    for (int p = int(threadIdx.x); p < kTilePixels; p += Shape::kThreads) {
      taps_inside[p] = window.taps_inside(first_pixel + p);
    }
    __syncthreads();
    if (task.wants_weight) {
      const int pixels = int(min(std::int64_t(kTilePixels), window.pixels - first_pixel));
      for (int p = 0; p < pixels; p += kStepNumbers<kPrecision>) {
        multiply_pixels<kPrecision, Shape>(tile, x, dy, window, taps_inside, p);
      }
    }
    __syncthreads();
  }

  const int c_in = task.halves * task.x_channels;
  const std::size_t weight_size = std::size_t(Shape::kTaps) * c_in * task.c_out;
  float* const partial = task.partials + blockIdx.x * (weight_size + task.c_out);
  if (task.wants_bias && blockIdx.y == 0) {
    write_bias<Shape::kColumns>(partial + weight_size, reinterpret_cast<float*>(shared), bias, first_column,
                                task.c_out);
  }
  if (!task.wants_weight) return;
#pragma unroll
  for (int m = 0; m < Shape::kM; ++m) {
    const RowTile rows = row_tile<Shape>(m);
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const int row = rows.channel + tile.row(0, i), half = row / padded, channel = row - half * padded;
      if (channel >= channels.count) continue;
      float* const to =
          partial + (std::size_t(rows.tap) * c_in + half * task.x_channels + channels.first + channel) * task.c_out;
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        store_pair(to, first_column + tile.column(n, 0), task.c_out, {{tile.sum[m][n][i], tile.sum[m][n][i + 1]}});
      }
    }
  }
}

int blocks(int size, int of_block) { return (size + of_block - 1) / of_block; }

/// How many tiles of columns a block takes: a 3x3 window keeps three times as many rows and so half as many columns.
template <class Run>
void with_column_tiles(ConvShape shape, Run run) {
  const auto with_kernel = [&](auto kernel) {
    constexpr int kScale = decltype(kernel)::value == 3 ? 1 : 2;
    const int tiles = blocks(shape.c_out, 8 * kScale);
    const int of_block = blocks(tiles, blocks(tiles, 4));
    if (of_block <= 1) return run(BlockShape<decltype(kernel)::value, 1 * kScale>{}, kernel);
    if (of_block == 2) return run(BlockShape<decltype(kernel)::value, 2 * kScale>{}, kernel);
    if (of_block == 3) return run(BlockShape<decltype(kernel)::value, 3 * kScale>{}, kernel);
    return run(BlockShape<decltype(kernel)::value, 4 * kScale>{}, kernel);
  };
  if (shape.kernel == 3) return with_kernel(std::integral_constant<int, 3>{});
  return with_kernel(std::integral_constant<int, 1>{});
}

struct GradientPlan {
  std::int64_t tiles = 0, groups = 0;
  int channel_blocks = 0, column_blocks = 0;
};

template <class Shape>
GradientPlan gradient_plan(ConvShape shape) {
  GradientPlan plan;
  plan.tiles = (std::int64_t(shape.n) * std::int64_t(shape.y().pixels()) + kTilePixels - 1) / kTilePixels;
  plan.channel_blocks = blocks(shape.x_channels(), Shape::kChannels / (shape.concat_elu ? 2 : 1));
  plan.column_blocks = blocks(shape.c_out, Shape::kColumns);
  const std::int64_t wanted = std::max<std::int64_t>(1, kWantedBlocks / (plan.channel_blocks * plan.column_blocks));
  plan.groups = std::min(plan.tiles, wanted);
  return plan;
}

}  // namespace

namespace cuda {

template <Gpu G>
std::size_t weight_gradient_bytes(ConvShape shape, G gpu) {
  if (by_libraries(shape, gpu)) return library_weight_gradient_bytes(shape, gpu);
  std::size_t groups = 0;
  with_column_tiles(shape, [&](auto block, auto) { groups = gradient_plan<decltype(block)>(shape).groups; });
  return groups * (shape.weight_size() + shape.c_out) * sizeof(float);
}

template <Gpu G>
void launch_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                            void* scratch, G gpu) {
  if (!dweight && !dbias) return;
  if (by_libraries(shape, gpu)) return library_weight_gradient(dweight, dbias, dy, x, shape, scratch, gpu);
  auto* const partials = static_cast<float*>(scratch);
  with_column_tiles(shape, [&](auto block, auto kernel) {
    using Shape = decltype(block);
    constexpr int kKernel = decltype(kernel)::value;
    const GradientPlan plan = gradient_plan<Shape>(shape);
    if (plan.groups > 0) {
      with_precision(gpu.precision, [&](auto precision) {
        constexpr NetPrecision kPrecision = decltype(precision)::value;
        const WeightGradientTask task{conv_window(shape.y(), kKernel, kTilePixels),
                                      x,
                                      dy,
                                      shape.x_channels(),
                                      shape.concat_elu ? 2 : 1,
                                      shape.c_out,
                                      plan.tiles,
                                      bool(dweight),
                                      bool(dbias),
                                      partials};
        const std::size_t words = std::size_t(task.window.all_rows()) * row_stride<kPrecision>(Shape::kChannels) +
                                  kTilePixels * row_stride<kPrecision>(Shape::kColumns);
        const dim3 grid(unsigned(plan.groups), dweight ? unsigned(plan.channel_blocks) : 1u,
                        unsigned(plan.column_blocks));
        FLOWSMITH_LAUNCH((weight_gradient_kernel<kPrecision, kKernel, Shape::kN>), grid, Shape::kThreads, words * 4,
                         gpu, task);
      });
    }
    add_groups(dweight, shape.weight_size(), dbias, std::size_t(shape.c_out), partials, std::size_t(plan.groups), gpu);
  });
}

template std::size_t weight_gradient_bytes(ConvShape, ThisGpu);
template void launch_weight_gradient(Grad<float>, Grad<float>, const float*, const float*, ConvShape, void*, ThisGpu);

}  // namespace cuda

template <Gpu G>
void conv_backward_weights(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                           G gpu) {
  if (!dweight && !dbias) return;
  void* const scratch = gpu.workspace->reserve(cuda::weight_gradient_bytes(shape, gpu));
  cuda::launch_weight_gradient(dweight, dbias, dy, x, shape, scratch, gpu);
}

template void conv_backward_weights(Grad<float>, Grad<float>, const float*, const float*, ConvShape, ThisGpu);

}  // namespace flowsmith::core
