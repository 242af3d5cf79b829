// The gated residual block forward on a GPU, fused: h = conv3x3(a), vg = conv1x1(concat_elu(h)), r = x + value *
// sigmoid(gate), y = layer_norm(r), with a = concat_elu(x) or x; see kernels/gated_block.h.
//
// A block of 4 or 8 warps owns 128 pixels (16 and 32 channels) or 64 pixels (48 and 64) and all their channels. Its
// first product (conv_tile.h) leaves h in registers; concat_elu(h) goes to shared memory where x was and is the left
// factor of the second product, in which value and gate of a channel belong to one thread. The layer norm's sums are
// shuffles within the four lanes of a pixel, and a pass through shared memory where two warps share one.
//
// Memory plan: x once (with the windows' edges, and again for the residual, from L2), y once, h and vg once if somebody
// will want gradients: P*C*4*(2 or 5) bytes + weights. 44*P*C^2 FLOPs with ELU-concat in front, 26*P*C^2 without. Other
// widths, and convolutions by cuDNN: two convolutions and one pass for the rest.
//
// Any width up to 64 was fused once, with a check at every access: twice the machine code, most of it never run.
#include <algorithm>

#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/gated_block_pixels.h"
#include "kernels/cuda/gated_block_rows.h"
#include "kernels/gated_block.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

struct GatedBlockForwardTask {
  ConvInput in;
  ConvWeights weights3, weights1;
  const float *bias3, *bias1, *gamma, *beta;
  float *y, *h, *vg;  ///< h and vg may be null
  float norm_eps;
};

/// The first product's columns: without a second half.
template <class Cols>
using HiddenColumns = Columns<Cols::kTiles, Cols::kWarps, 1, Cols::kM>;

template <NetPrecision kPrecision, class Cols>
__global__ void __launch_bounds__(Cols::kThreads, (kResidentBlocks<kPrecision, Cols>))
    gated_block_forward_kernel(GatedBlockForwardTask task) {
  FLOWSMITH_DYNAMIC_SHARED(std::uint32_t, shared);
  using Layout = BlockLayout<Cols>;
  using Own = OwnTile<kPrecision, Cols>;
  constexpr int kChannels = Cols::kOfHalf;
  const std::int64_t first_pixel = std::int64_t(blockIdx.x) * Layout::kPixels, pixels = task.in.window.pixels;
  const PixelTile own{shared, Own::kStride};

  {
    BlockTile<kPrecision, HiddenColumns<Cols>> hidden;
    convolve<kPrecision, false>(hidden, HiddenColumns<Cols>{}, task.in, task.weights3, first_pixel, 0, shared);
#pragma unroll
    for (int n = 0; n < Cols::kTiles; ++n) {
      const int channel = channel_of_tile<Cols>(n);
      const Vector<float, 2> bias = load_vector<2>(task.bias3 + channel);
#pragma unroll
      for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const Vector<float, 2> h{{hidden.sum[m][n][i] + bias[0], hidden.sum[m][n][i + 1] + bias[1]}};
          const int row = row_of_tile<Cols>(m, i);
          const ConcatElu first = concat_elu<kPrecision>(h[0]), second = concat_elu<kPrecision>(h[1]);
          store_words<kPrecision>(Own::word(own, row, 0, channel), first.positive, second.positive);
          store_words<kPrecision>(Own::word(own, row, 1, channel), first.negative, second.negative);
          if (task.h != nullptr && first_pixel + row < pixels) {
            store_vector(task.h + std::size_t(first_pixel + row) * kChannels + channel, h);
          }
        }
      }
    }
  }

  BlockTile<kPrecision, Cols> gated;
  WeightStage<kPrecision, Cols, false> stage;
  const TileChannels own_channels = Own::channels();
  stage.fetch(task.weights1, own_channels, 0, 0, 0);
  const PlainRows<typename BlockTile<kPrecision, Cols>::Rows> rows(own, Layout::warp_row());
  multiply_stages(gated, stage, shared + Own::kWords, rows, task.weights1, own_channels, 0, Layout::warp_column(),
                  first_pixel + Layout::warp_row() < pixels);

  ChannelValues<Cols> r{};  // 0 in rows behind the last pixel
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const int channel = channel_of_tile<Cols>(n);
    const Vector<float, 2> value_bias = load_vector<2>(task.bias1 + channel);
    const Vector<float, 2> gate_bias = load_vector<2>(task.bias1 + kChannels + channel);
    for_each_row(Layout::kM, first_pixel + Layout::warp_row(), pixels, [&](int m, int i, std::size_t pixel) {
      const float *const values = &gated.sum[m][n][i], *const gates = &gated.sum[m][n + Cols::kTiles][i];
      const Vector<float, 2> value{{values[0] + value_bias[0], values[1] + value_bias[1]}};
      const Vector<float, 2> gate{{gates[0] + gate_bias[0], gates[1] + gate_bias[1]}};
      const Vector<float, 2> x = load_vector<2>(task.in.x + pixel * kChannels + channel);
      for (int c = 0; c < 2; ++c) r[m][n][i + c] = x[c] + value[c] * sigmoid(gate[c]);
      if (task.vg != nullptr) {
        float* const vg = task.vg + pixel * 2 * kChannels + channel;
        store_vector(vg, value);
        store_vector(vg + kChannels, gate);
      }
    });
  }
  RowValues<Cols> rstd;
  normalize_rows<Cols>(r, rstd, task.norm_eps);
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const int channel = channel_of_tile<Cols>(n);
    const Vector<float, 2> gamma = load_vector<2>(task.gamma + channel);
    const Vector<float, 2> beta = load_vector<2>(task.beta + channel);
    for_each_row(Layout::kM, first_pixel + Layout::warp_row(), pixels, [&](int m, int i, std::size_t pixel) {
      store_vector(task.y + pixel * kChannels + channel,
                   Vector<float, 2>{{r[m][n][i] * gamma[0] + beta[0], r[m][n][i + 1] * gamma[1] + beta[1]}});
    });
  }
}

template <Gpu G>
void launch_fused(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                  GatedBlockShape shape, G gpu) {
  with_precision(gpu.precision, [&](auto precision) {
    constexpr NetPrecision kPrecision = decltype(precision)::value;
    with_block_columns<2, kWideM<kPrecision>>(shape.c, [&](auto columns) {
      using Cols = decltype(columns);
      using Stage3 = WeightStage<kPrecision, HiddenColumns<Cols>, false>;
      const int c = shape.c, c_in = shape.conv3().c_in;
      const GatedBlockForwardTask task{
          conv_input<kPrecision, Stage3>(x, shape.map(), shape.concat_elu_input, 3, BlockLayout<Cols>::kPixels),
          {weights.weight3, c_in, c, 9, c, c},
          {weights.weight1, 2 * c, 2 * c, 1, c, c},
          weights.bias3,
          weights.bias1,
          weights.gamma,
          weights.beta,
          y,
          saved.h,
          saved.vg,
          float(shape.norm_eps)};
      const std::size_t shared_bytes =
          std::max(task.in.words() * 4 + Stage3::kBothBytes,
                   OwnTile<kPrecision, Cols>::kWords * 4 + WeightStage<kPrecision, Cols, false>::kBothBytes);
      constexpr int kPixels = BlockLayout<Cols>::kPixels;
      FLOWSMITH_LAUNCH((gated_block_forward_kernel<kPrecision, Cols>),
                       dim3(unsigned((task.in.window.pixels + kPixels - 1) / kPixels)), Cols::kThreads, shared_bytes,
                       gpu, task);
    });
  });
}

}  // namespace

template <Gpu G>
void gated_block_forward(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                         GatedBlockShape shape, G gpu) {
  if (shape.map().size() == 0) return;
  if (is_fused(shape.c, gpu)) {
    launch_fused(y, saved, x, weights, shape, gpu);
    return;
  }
  const std::size_t size = shape.map().size(), maps_bytes = aligned(3 * size * sizeof(float));
  const std::size_t conv_bytes =
      std::max(conv_forward_bytes(shape.conv3(), gpu), conv_forward_bytes(shape.conv1(), gpu));
  auto* const scratch = static_cast<char*>(gpu.workspace->reserve(maps_bytes + conv_bytes));
  auto* const maps = reinterpret_cast<float*>(scratch);
  float* const vg = saved.vg != nullptr ? saved.vg : maps;
  float* const h = saved.h != nullptr ? saved.h : maps + 2 * size;
  launch_conv_forward(h, x, weights.weight3, weights.bias3, shape.conv3(), scratch + maps_bytes, gpu);
  launch_conv_forward(vg, h, weights.weight1, weights.bias1, shape.conv1(), scratch + maps_bytes, gpu);
  gate_norm_forward(y, x, vg, weights.gamma, weights.beta, shape.map(), shape.norm_eps, gpu);
}

template void gated_block_forward(float*, GatedBlockSaved<float>, const float*, GatedBlockWeights<float>,
                                  GatedBlockShape, ThisGpu);

}  // namespace flowsmith::core
