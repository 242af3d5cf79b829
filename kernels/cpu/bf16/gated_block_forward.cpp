// The gated block's forward pass, one image per thread at a time. The 3x3 convolution runs over the image with its
// border; then come pixels in a row, so many that their tiles are whole and stay in the first-level cache: ELU-concat
// rounded into an image of bf16, the 1x1 convolution, gate and layer norm.
#include <algorithm>

#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/bf16/products.h"
#include "kernels/cpu/bf16/rows.h"
#include "kernels/cpu/pixel_rows.h"

namespace flowsmith::core::cpu::bf16 {
namespace {

struct PackedBlock {
  PackedWeights conv3, conv1;
};

void forward_image(float* y, float* saved_h, float* saved_vg, const float* x, const PackedBlock& packed,
                   const float* gamma, const float* beta, GatedBlockShape shape, const TileFunctions& tiles) {
  static thread_local Bf16Scratch padded, rounded;
  static thread_local Scratch run, conv3_output, own_vg, sums;
  const int c = shape.c;
  const Layout layout{shape.h, shape.w, shape.conv3().c_in, 1};
  Bf16* const image = padded.reserve(layout.size());
  pad_image(image, x, layout, shape.concat_elu_input);
  float* const conv3 = run.reserve(std::size_t(layout.run()) * c);
  multiply_image(conv3, image, layout, packed.conv3, tiles);
  float* const h = saved_h ? saved_h : conv3_output.reserve(shape.map().image_size());
  copy_run(h, conv3, layout, c);

  const int pixels = int(shape.map().pixels());
  Bf16* const a = rounded.reserve(Layout{1, kChunk, 2 * c, 0}.size());
  float* const r = sums.reserve(std::size_t(kChunk) * c);
  for (int pixel = 0; pixel < pixels; pixel += kChunk) {
    const Layout chunk{1, std::min(kChunk, pixels - pixel), 2 * c, 0};
    const std::size_t first = std::size_t(pixel) * c;
    float* const vg = saved_vg ? saved_vg + 2 * first : own_vg.reserve(std::size_t(kChunk) * 2 * c);
    pad_image(a, h + first, chunk, true);
    multiply_image(vg, a, chunk, packed.conv1, tiles);
    gate_pixels(r, x + first, vg, chunk.w, c);
    layer_norm_pixels(y + first, r, gamma, beta, chunk.w, c, shape.norm_eps);
  }
}

}  // namespace

void gated_block_forward(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                         GatedBlockShape shape, const TileFunctions& tiles) {
  static thread_local Bf16Scratch weight3, weight1;
  static thread_local Scratch bias3, bias1;
  const ConvShape conv3 = shape.conv3(), conv1 = shape.conv1();
  const PackedBlock packed{
      pack_weights(weight3, bias3, weights.weight3, weights.bias3, {3, conv3.c_in, conv3.c_out}, WeightUse::kForward),
      pack_weights(weight1, bias1, weights.weight1, weights.bias1, {1, conv1.c_in, conv1.c_out}, WeightUse::kForward)};
  const std::size_t size = shape.map().image_size();
#pragma omp parallel if (shape.n > 1)
  {
    const TileScope scope(tiles);
#pragma omp for schedule(static)
    for (int n = 0; n < shape.n; ++n) {
      forward_image(y + n * size, saved.h ? saved.h + n * size : nullptr, saved.vg ? saved.vg + 2 * n * size : nullptr,
                    x + n * size, packed, weights.gamma, weights.beta, shape, tiles);
    }
  }
}

}  // namespace flowsmith::core::cpu::bf16
