// Gradient of a convolution for its input on a GPU: da = conv(dy, weight turned by 180 degrees and transposed), dx = da
// or its ELU-concat gradient; the formulas are in kernels/conv.h and docs/math/gated_block.md.
//
// The product of conv_forward.cu with other weights: columns are input channels, the sum runs over taps and output
// channels. The weights turn while they are loaded. With ELU-concat the two columns that belong to one channel of x
// meet in one thread, so dx is written at once and da never exists.
//
// P pixels, P*(c_out + c_x)*4 bytes (+ c_x with ELU-concat, + c_x when accumulating) + weights; 2*k^2*c_in*c_out*P
// FLOPs.
#include "kernels/conv.h"
#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/conv_tile.h"
#include "kernels/cuda/library_conv.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

struct ConvBackwardDataTask {
  ConvInput in;
  ConvWeights weights;
  const float* x;
  Grad<float> dx;
};

template <NetPrecision kPrecision, class Cols>
__global__ void __launch_bounds__(Cols::kThreads, (kResidentBlocks<kPrecision, Cols>))
    conv_backward_data_kernel(ConvBackwardDataTask task) {
  FLOWSMITH_DYNAMIC_SHARED(std::uint32_t, shared);
  using Layout = BlockLayout<Cols>;
  const std::int64_t first_pixel = std::int64_t(blockIdx.x) * Layout::kPixels;
  const int first_column = int(blockIdx.y) * Cols::kOfHalf, channels = task.weights.column_channels;
  BlockTile<kPrecision, Cols> tile;
  convolve<kPrecision, true>(tile, Cols{}, task.in, task.weights, first_pixel, first_column, shared);
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const int column = first_column + Layout::warp_column() + tile.column(n, 0);
    for_each_row(Layout::kM, first_pixel + Layout::warp_row(), task.in.window.pixels,
                 [&](int m, int i, std::size_t pixel) {
                   Vector<float, 2> dx{{tile.sum[m][n][i], tile.sum[m][n][i + 1]}};
                   if constexpr (Cols::kHalves == 2) {
                     const float* const negative = &tile.sum[m][n + Cols::kTiles][i];
                     const Vector<float, 2> x = load_pair(task.x + pixel * channels, column, channels);
                     for (int c = 0; c < 2; ++c) dx[c] = concat_elu_gradient({dx[c], negative[c]}, x[c]);
                   }
                   write_pair(task.dx, pixel * channels, column, channels, dx);
                 });
  }
}

template <int kHalves, Gpu G>
void launch(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape, G gpu) {
  with_precision(gpu.precision, [&](auto precision) {
    constexpr NetPrecision kPrecision = decltype(precision)::value;
    with_columns<kPrecision, kHalves>(shape.x_channels(), [&](auto columns) {
      using Cols = decltype(columns);
      using Layout = BlockLayout<Cols>;
      using Stage = WeightStage<kPrecision, Cols, true>;
      const ConvBackwardDataTask task{
          conv_input<kPrecision, Stage>(dy, shape.y(), false, shape.kernel, Layout::kPixels),
          {weight, shape.c_in, shape.c_out, shape.kernel * shape.kernel, shape.c_out, shape.x_channels()},
          x,
          dx};
      const dim3 grid(unsigned((task.in.window.pixels + Layout::kPixels - 1) / Layout::kPixels),
                      unsigned((shape.x_channels() + Cols::kOfHalf - 1) / Cols::kOfHalf));
      const std::size_t shared_bytes = task.in.words() * 4 + Stage::kBothBytes;
      FLOWSMITH_LAUNCH((conv_backward_data_kernel<kPrecision, Cols>), grid, Cols::kThreads, shared_bytes, gpu, task);
    });
  });
}

}  // namespace

namespace cuda {

template <Gpu G>
std::size_t conv_backward_data_bytes(ConvShape shape, G gpu) {
  return by_libraries(shape, gpu) ? library_backward_data_bytes(shape, gpu) : 0;
}

template <Gpu G>
void launch_conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape,
                               void* scratch, G gpu) {
  if (!dx || shape.x().size() == 0) return;
  if (by_libraries(shape, gpu)) {
    library_backward_data(dx, dy, x, weight, shape, scratch, gpu);
  } else if (shape.concat_elu) {
    launch<2>(dx, dy, x, weight, shape, gpu);
  } else {
    launch<1>(dx, dy, x, weight, shape, gpu);
  }
}

template std::size_t conv_backward_data_bytes(ConvShape, ThisGpu);
template void launch_conv_backward_data(Grad<float>, const float*, const float*, const float*, ConvShape, void*,
                                        ThisGpu);

}  // namespace cuda

template <Gpu G>
void conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape, G gpu) {
  if (!dx) return;
  void* const scratch = gpu.workspace->reserve(cuda::conv_backward_data_bytes(shape, gpu));
  cuda::launch_conv_backward_data(dx, dy, x, weight, shape, scratch, gpu);
}

template void conv_backward_data(Grad<float>, const float*, const float*, const float*, ConvShape, ThisGpu);

}  // namespace flowsmith::core
