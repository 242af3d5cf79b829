// Convolution forward on a GPU: y = bias + conv(a, weight), a = x or concat_elu(x); the formula is in kernels/conv.h.
//
// An implicit matrix product: rows are pixels, columns output channels, the sum runs over taps and input channels. A
// block of 4 warps owns 128 pixels and up to 32 channels, or 64 pixels and up to 64 channels; more channels take more
// blocks.
//
// Memory plan: the pixels and what their windows reach are read once per block and kept in shared memory as the tensor
// cores want them, ELU-concat applied on the way (conv_window.h); weights pass through two stages of shared memory
// (conv_weights.h); sums stay in registers. P pixels, P*(c_in + c_out)*4 bytes + weights; 2*k^2*c_in*c_out*P FLOPs.
// The reads of x exceed that by the window's edge (2 rows of the image per block) and those of weights by the number of
// blocks, both mostly from L2.
#include "kernels/conv.h"
#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/conv_tile.h"
#include "kernels/cuda/library_conv.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

struct ConvForwardTask {
  ConvInput in;
  ConvWeights weights;
  const float* bias;
  float* y;
};

template <NetPrecision kPrecision, class Cols>
__global__ void __launch_bounds__(Cols::kThreads, (kResidentBlocks<kPrecision, Cols>))
    conv_forward_kernel(ConvForwardTask task) {
  FLOWSMITH_DYNAMIC_SHARED(std::uint32_t, shared);
  using Layout = BlockLayout<Cols>;
  const std::int64_t first_pixel = std::int64_t(blockIdx.x) * Layout::kPixels;
  const int first_column = int(blockIdx.y) * Cols::kOfHalf, channels = task.weights.column_channels;
  BlockTile<kPrecision, Cols> tile;
  convolve<kPrecision, false>(tile, Cols{}, task.in, task.weights, first_pixel, first_column, shared);
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const int column = first_column + Layout::warp_column() + tile.column(n, 0);
    const Vector<float, 2> bias = load_pair(task.bias, column, channels);
    for_each_row(Layout::kM, first_pixel + Layout::warp_row(), task.in.window.pixels,
                 [&](int m, int i, std::size_t pixel) {
                   store_pair(task.y + pixel * channels, column, channels,
                              {{tile.sum[m][n][i] + bias[0], tile.sum[m][n][i + 1] + bias[1]}});
                 });
  }
}

}  // namespace

namespace cuda {

template <Gpu G>
std::size_t conv_forward_bytes(ConvShape shape, G gpu) {
  return by_libraries(shape, gpu) ? library_forward_bytes(shape, gpu) : 0;
}

template <Gpu G>
void launch_conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape,
                         void* scratch, G gpu) {
  if (shape.y().size() == 0) return;
  if (by_libraries(shape, gpu)) return library_forward(y, x, weight, bias, shape, scratch, gpu);
  with_precision(gpu.precision, [&](auto precision) {
    constexpr NetPrecision kPrecision = decltype(precision)::value;
    with_columns<kPrecision, 1>(shape.c_out, [&](auto columns) {
      using Cols = decltype(columns);
      using Layout = BlockLayout<Cols>;
      using Stage = WeightStage<kPrecision, Cols, false>;
      ConvForwardTask task{
          conv_input<kPrecision, Stage>(x, shape.x(), shape.concat_elu, shape.kernel, Layout::kPixels),
          {weight, shape.c_in, shape.c_out, shape.kernel * shape.kernel, shape.x_channels(), shape.c_out},
          bias,
          y};
      const dim3 grid(unsigned((task.in.window.pixels + Layout::kPixels - 1) / Layout::kPixels),
                      unsigned((shape.c_out + Cols::kOfHalf - 1) / Cols::kOfHalf));
      const std::size_t shared_bytes = task.in.words() * 4 + Stage::kBothBytes;
      FLOWSMITH_LAUNCH((conv_forward_kernel<kPrecision, Cols>), grid, Cols::kThreads, shared_bytes, gpu, task);
    });
  });
}

template std::size_t conv_forward_bytes(ConvShape, ThisGpu);
template void launch_conv_forward(float*, const float*, const float*, const float*, ConvShape, void*, ThisGpu);

}  // namespace cuda

template <Gpu G>
void conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape, G gpu) {
  void* const scratch = gpu.workspace->reserve(cuda::conv_forward_bytes(shape, gpu));
  cuda::launch_conv_forward(y, x, weight, bias, shape, scratch, gpu);
}

template void conv_forward(float*, const float*, const float*, const float*, ConvShape, ThisGpu);

}  // namespace flowsmith::core
