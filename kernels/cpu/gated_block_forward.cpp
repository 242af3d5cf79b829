// The gated block's forward pass, one image per thread at a time: everything between x and y stays in the second-level
// cache, and from the 1x1 convolution to the layer norm in the first-level one, a few rows at a time.
#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/gated_block_rows.h"
#include "kernels/cpu/pixel_rows.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/winograd.h"
#include "kernels/gated_block.h"

namespace flowsmith::core {
namespace {

struct PackedBlock {
  cpu::ConvPlan plan3, plan1;
  const float *weight3, *weight1;
};

void forward_image(float* y, float* saved_h, float* saved_vg, const float* x, const PackedBlock& packed,
                   const float* gamma, const float* beta, GatedBlockShape shape) {
  static thread_local cpu::Scratch padded, conv3_output, rows_a, rows_vg, rows_r;
  const int c = shape.c, w = shape.w;
  const cpu::PaddedImage image = cpu::pad_image(padded.reserve(cpu::padded_size(shape.h, w, packed.plan3.c_in, 1)), x,
                                                shape.h, w, c, 1, shape.concat_elu_input);
  float* h = saved_h ? saved_h : conv3_output.reserve(shape.map().image_size());
  cpu::conv_image({h, std::ptrdiff_t(w) * c}, image, packed.plan3, packed.weight3);

  const int step = cpu::gated_block_rows(w);
  float* a = rows_a.reserve(cpu::padded_size(step, w, 2 * c, 0));
  float* own_vg = rows_vg.reserve(std::size_t(step) * w * 2 * c);
  float* r = rows_r.reserve(std::size_t(step) * w * c);
  for (int row = 0; row < shape.h; row += step) {
    const int rows = step < shape.h - row ? step : shape.h - row;
    const std::size_t pixels = std::size_t(rows) * w, first = std::size_t(row) * w * c;
    float* vg = saved_vg ? saved_vg + 2 * first : own_vg;
    const cpu::PaddedImage tile = cpu::pad_image(a, h + first, rows, w, c, 0, true);
    cpu::conv_image({vg, std::ptrdiff_t(w) * 2 * c}, tile, packed.plan1, packed.weight1);
    cpu::gate_pixels(r, x + first, vg, pixels, c);
    cpu::layer_norm_pixels(y + first, r, gamma, beta, pixels, c, shape.norm_eps);
  }
}

}  // namespace

void gated_block_forward(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                         GatedBlockShape shape, Cpu stream) {
  if (stream.precision == NetPrecision::kBf16) {
    return cpu::bf16::gated_block_forward(y, saved, x, weights, shape, cpu::bf16::tiles_of(stream));
  }
  static thread_local cpu::Scratch weight3, weight1;
  const ConvShape conv3 = shape.conv3(), conv1 = shape.conv1();
  const bool winograd = cpu::winograd_fits(shape.h, shape.w, shape.c);
  PackedBlock packed{cpu::plan_conv(3, conv3.c_in, conv3.c_out, false, winograd),
                     cpu::plan_conv(1, conv1.c_in, conv1.c_out, false), nullptr, nullptr};
  float* packed3 = weight3.reserve(packed.plan3.packed_size());
  float* packed1 = weight1.reserve(packed.plan1.packed_size());
  cpu::pack_weights(packed3, weights.weight3, weights.bias3, packed.plan3, cpu::WeightUse::kForward);
  cpu::pack_weights(packed1, weights.weight1, weights.bias1, packed.plan1, cpu::WeightUse::kForward);
  packed.weight3 = packed3;
  packed.weight1 = packed1;

  const std::size_t size = shape.map().image_size();
#pragma omp parallel for schedule(static) if (shape.n > 1)
  for (int n = 0; n < shape.n; ++n) {
    forward_image(y + n * size, saved.h ? saved.h + n * size : nullptr, saved.vg ? saved.vg + 2 * n * size : nullptr,
                  x + n * size, packed, weights.gamma, weights.beta, shape);
  }
}

}  // namespace flowsmith::core
