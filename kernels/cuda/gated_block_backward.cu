// Gradients of the gated residual block on a GPU; the chain of formulas is in docs/math/gated_block.md.
//
//   1. one fused kernel: dr (layer norm), dvg (gate), dh (1x1 product, ELU-concat of h)
//   2. dx = dr + the 3x3 convolution's gradient for x of dh     (conv_backward_data.cu)
//   3. gradients of the two convolutions' weights from dvg and dh (weight_gradient.cu)
//
// The fused kernel divides pixels and channels as gated_block_forward.cu does: r and its statistics are computed again
// from x and vg, dvg goes to shared memory as the left factor of the product with the transposed 1x1 weight, and the
// two columns of that product that belong to a channel of h meet in one thread.
//
// Memory plan of 1: x, vg, dy, h in, dx, dvg, dh out: P*C*9*4 bytes + weights; dvg and dh in scratch memory. 8*P*C^2
// FLOPs. All: the forward's FLOPs twice. dvg and dh are read again by 2 and 3, as are x and h.
#include <algorithm>

#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/gated_block_pixels.h"
#include "kernels/cuda/gated_block_rows.h"
#include "kernels/cuda/group_sum.h"
#include "kernels/gated_block.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

struct GatedBlockBackwardTask {
  std::int64_t pixels;
  const float *dy, *x, *h, *vg, *gamma;
  ConvWeights weights1;
  Grad<float> dx;
  float *dvg, *dh;
  float* norm_partials;  ///< (blocks, dgamma and dbeta)
  float norm_eps;
};

/// The block's share of dgamma and dbeta: sums over its rows of dy * xh and dy.
template <class Cols>
__device__ void write_norm_partial(float* partial, const ChannelValues<Cols>& xh, const ChannelValues<Cols>& dy) {
  using Layout = BlockLayout<Cols>;
  FLOWSMITH_SHARED(float, sums, [2][Layout::kRowWarps][Cols::kOfHalf]);
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      float dgamma = 0, dbeta = 0;
#pragma unroll
      for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
        for (int i = c; i < 4; i += 2) {
          dgamma += dy[m][n][i] * xh[m][n][i];
          dbeta += dy[m][n][i];
        }
      }
      // Lanes of the same channel are four apart.
      for (int distance = 4; distance <= 16; distance *= 2) {
        dgamma += __shfl_xor_sync(0xffffffffu, dgamma, distance);
        dbeta += __shfl_xor_sync(0xffffffffu, dbeta, distance);
      }
      if (lane_index() < 4) {
        sums[0][warp_index() / Cols::kWarps][channel_of_tile<Cols>(n) + c] = dgamma;
        sums[1][warp_index() / Cols::kWarps][channel_of_tile<Cols>(n) + c] = dbeta;
      }
    }
  }
  __syncthreads();
  for (int i = int(threadIdx.x); i < 2 * Cols::kOfHalf; i += Cols::kThreads) {
    float sum = 0;
    for (int warp = 0; warp < Layout::kRowWarps; ++warp) sum += sums[i / Cols::kOfHalf][warp][i % Cols::kOfHalf];
    partial[i] = sum;
  }
}

/// dr of the layer norm at r = x + value * sigmoid(gate); 0 in rows behind the last pixel.
template <class Cols>
__device__ void layer_norm_gradient(ChannelValues<Cols>& dr, const GatedBlockBackwardTask& task,
                                    std::int64_t warp_pixel) {
  using Layout = BlockLayout<Cols>;
  constexpr int kChannels = Cols::kOfHalf;
  ChannelValues<Cols> xh{};
  for_each_value<Cols>([&](int m, int n, int i) { dr[m][n][i] = 0; });
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const int channel = channel_of_tile<Cols>(n);
    for_each_row(Layout::kM, warp_pixel, task.pixels, [&](int m, int i, std::size_t pixel) {
      const float* const vg = task.vg + pixel * 2 * kChannels + channel;
      const Vector<float, 2> x = load_vector<2>(task.x + pixel * kChannels + channel);
      const Vector<float, 2> value = load_vector<2>(vg), gate = load_vector<2>(vg + kChannels);
      const Vector<float, 2> dy = load_vector<2>(task.dy + pixel * kChannels + channel);
      for (int c = 0; c < 2; ++c) {
        xh[m][n][i + c] = x[c] + value[c] * sigmoid(gate[c]);
        dr[m][n][i + c] = dy[c];
      }
    });
  }
  RowValues<Cols> rstd;
  normalize_rows<Cols>(xh, rstd, task.norm_eps);
  write_norm_partial<Cols>(task.norm_partials + std::size_t(blockIdx.x) * 2 * kChannels, xh, dr);

  RowValues<Cols> sum_g{}, sum_g_xh{};
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const Vector<float, 2> gamma = load_vector<2>(task.gamma + channel_of_tile<Cols>(n));
#pragma unroll
    for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        dr[m][n][i] *= gamma[i % 2];
        sum_g[m][i / 2] += dr[m][n][i];
        sum_g_xh[m][i / 2] += dr[m][n][i] * xh[m][n][i];
      }
    }
  }
  sum_rows<Cols>(sum_g);
  sum_rows<Cols>(sum_g_xh);
  for_each_value<Cols>([&](int m, int n, int i) {
    const float mean_g = sum_g[m][i / 2] / float(kChannels), mean_g_xh = sum_g_xh[m][i / 2] / float(kChannels);
    dr[m][n][i] = rstd[m][i / 2] * (dr[m][n][i] - mean_g - xh[m][n][i] * mean_g_xh);
  });
}

template <NetPrecision kPrecision, class Cols>
__global__ void __launch_bounds__(Cols::kThreads, (kResidentBlocks<kPrecision, Cols, true>))
    gated_block_backward_kernel(GatedBlockBackwardTask task) {
  FLOWSMITH_DYNAMIC_SHARED(std::uint32_t, shared);
  using Layout = BlockLayout<Cols>;
  using Own = OwnTile<kPrecision, Cols>;
  constexpr int kChannels = Cols::kOfHalf;
  const std::int64_t first_pixel = std::int64_t(blockIdx.x) * Layout::kPixels;
  const std::int64_t warp_pixel = first_pixel + Layout::warp_row();
  const PixelTile own{shared, Own::kStride};

  {
    ChannelValues<Cols> dr;
    layer_norm_gradient<Cols>(dr, task, warp_pixel);
#pragma unroll
    for (int n = 0; n < Cols::kTiles; ++n) {
      const int channel = channel_of_tile<Cols>(n);
#pragma unroll
      for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
          const int row = row_of_tile<Cols>(m, i);
          Vector<float, 2> dvalue{}, dgate{};
          if (first_pixel + row < task.pixels) {
            const std::size_t pixel = std::size_t(first_pixel + row);
            const std::size_t value_at = pixel * 2 * kChannels + channel, gate_at = value_at + kChannels;
            const Vector<float, 2> value = load_vector<2>(task.vg + value_at);
            const Vector<float, 2> gate = load_vector<2>(task.vg + gate_at);
            for (int c = 0; c < 2; ++c) {
              const float d = dr[m][n][i + c];
              const SigmoidPair<float> s = sigmoid_pair(gate[c]);
              dvalue[c] = d * s.of;
              dgate[c] = d * value[c] * s.of * s.of_negative;
            }
            if (task.dx.data != nullptr) {
              write_vector(task.dx, pixel * kChannels + channel, Vector<float, 2>{{dr[m][n][i], dr[m][n][i + 1]}});
            }
            store_vector(task.dvg + value_at, dvalue);
            store_vector(task.dvg + gate_at, dgate);
          }
          store_words<kPrecision>(Own::word(own, row, 0, channel), dvalue[0], dvalue[1]);
          store_words<kPrecision>(Own::word(own, row, 1, channel), dgate[0], dgate[1]);
        }
      }
    }
  }

  BlockTile<kPrecision, Cols> da;
  WeightStage<kPrecision, Cols, true> stage;
  const TileChannels own_channels = Own::channels();
  stage.fetch(task.weights1, own_channels, 0, 0, 0);
  const PlainRows<typename BlockTile<kPrecision, Cols>::Rows> rows(own, Layout::warp_row());
  multiply_stages(da, stage, shared + Own::kWords, rows, task.weights1, own_channels, 0, Layout::warp_column(),
                  warp_pixel < task.pixels);
#pragma unroll
  for (int n = 0; n < Cols::kTiles; ++n) {
    const int channel = channel_of_tile<Cols>(n);
    for_each_row(Layout::kM, warp_pixel, task.pixels, [&](int m, int i, std::size_t pixel) {
      const float *const positive = &da.sum[m][n][i], *const negative = &da.sum[m][n + Cols::kTiles][i];
      const Vector<float, 2> h = load_vector<2>(task.h + pixel * kChannels + channel);
      store_vector(task.dh + pixel * kChannels + channel,
                   Vector<float, 2>{{concat_elu_gradient({positive[0], negative[0]}, h[0]),
                                     concat_elu_gradient({positive[1], negative[1]}, h[1])}});
    });
  }
}

/// The same in every precision: a block's pixels do not hang on how its warps share them.
int fused_blocks(GatedBlockShape shape) {
  int blocks = 0;
  with_block_columns<2, 2>(shape.c, [&](auto columns) {
    constexpr int kPixels = BlockLayout<decltype(columns)>::kPixels;
    blocks = int((std::size_t(shape.n) * shape.map().pixels() + kPixels - 1) / kPixels);
  });
  return blocks;
}

template <Gpu G>
void launch_fused(GatedBlockBackwardTask task, Grad<float> dgamma, Grad<float> dbeta, GatedBlockShape shape, G gpu) {
  const int blocks = fused_blocks(shape);
  if (blocks > 0) {
    with_precision(gpu.precision, [&](auto precision) {
      constexpr NetPrecision kPrecision = decltype(precision)::value;
      with_block_columns<kWideM<kPrecision>, kWideM<kPrecision>>(shape.c, [&](auto columns) {
        using Cols = decltype(columns);
        constexpr std::size_t kSharedBytes =
            OwnTile<kPrecision, Cols>::kWords * 4 + WeightStage<kPrecision, Cols, true>::kBothBytes;
        FLOWSMITH_LAUNCH((gated_block_backward_kernel<kPrecision, Cols>), dim3(unsigned(blocks)), Cols::kThreads,
                         kSharedBytes, gpu, task);
      });
    });
  }
  add_groups(dgamma, std::size_t(shape.c), dbeta, std::size_t(shape.c), task.norm_partials, std::size_t(blocks), gpu);
}

}  // namespace

template <Gpu G>
void gated_block_backward(Grad<float> dx, GatedBlockGrads<float> grads, const float* dy,
                          GatedBlockSaved<const float> saved, const float* x, GatedBlockWeights<float> weights,
                          GatedBlockShape shape, G gpu) {
  const std::size_t map_bytes = aligned(shape.map().size() * sizeof(float));
  const bool fused = is_fused(shape.c, gpu);
  // Sums on their way and what convolutions need: the norm's and each convolution's, one after the other.
  const std::size_t norm_bytes =
      fused ? std::size_t(fused_blocks(shape)) * 2 * shape.c * sizeof(float) : gate_norm_backward_bytes<G>(shape.map());
  const std::size_t sums_bytes =
      std::max({norm_bytes, conv_backward_data_bytes(shape.conv1(), gpu), conv_backward_data_bytes(shape.conv3(), gpu),
                weight_gradient_bytes(shape.conv1(), gpu), weight_gradient_bytes(shape.conv3(), gpu)});
  auto* const scratch = static_cast<char*>(gpu.workspace->reserve(3 * map_bytes + sums_bytes));
  auto* const dvg = reinterpret_cast<float*>(scratch);
  auto* const dh = reinterpret_cast<float*>(scratch + 2 * map_bytes);
  auto* const sums = reinterpret_cast<float*>(scratch + 3 * map_bytes);

  if (fused) {
    const int c = shape.c;
    const GatedBlockBackwardTask task{std::int64_t(shape.n) * std::int64_t(shape.map().pixels()),
                                      dy,
                                      x,
                                      saved.h,
                                      saved.vg,
                                      weights.gamma,
                                      {weights.weight1, 2 * c, 2 * c, 1, c, c},
                                      dx,
                                      dvg,
                                      dh,
                                      sums,
                                      float(shape.norm_eps)};
    launch_fused(task, grads.gamma, grads.beta, shape, gpu);
  } else {
    gate_norm_backward(dx, dvg, grads.gamma, grads.beta, dy, x, saved.vg, weights.gamma, shape.map(), shape.norm_eps,
                       sums, gpu);
    launch_conv_backward_data(Grad<float>{dh}, dvg, saved.h, weights.weight1, shape.conv1(), sums, gpu);
  }
  launch_conv_backward_data(Grad<float>{dx.data, GradMode::kAccumulate}, dh, x, weights.weight3, shape.conv3(), sums,
                            gpu);
  launch_weight_gradient(grads.weight1, grads.bias1, dvg, saved.h, shape.conv1(), sums, gpu);
  launch_weight_gradient(grads.weight3, grads.bias3, dh, x, shape.conv3(), sums, gpu);
}

template void gated_block_backward(Grad<float>, GatedBlockGrads<float>, const float*, GatedBlockSaved<const float>,
                                   const float*, GatedBlockWeights<float>, GatedBlockShape, ThisGpu);

}  // namespace flowsmith::core
