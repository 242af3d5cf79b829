// The convolutions of conv.h with products of bf16: threads over images, or over groups of images where a batch is
// summed.
#include <algorithm>

#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/bf16/products.h"
#include "kernels/cpu/bf16/rows.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/weight_gradient.h"

namespace flowsmith::core::cpu::bf16 {
namespace {

Layout layout_of(const ConvShape& shape, int channels) { return {shape.h, shape.w, channels, shape.kernel / 2}; }

}  // namespace

void conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape,
                  const TileFunctions& tiles) {
  static thread_local Bf16Scratch weights;
  static thread_local Scratch biases;
  const PackedWeights packed =
      pack_weights(weights, biases, weight, bias, {shape.kernel, shape.c_in, shape.c_out}, WeightUse::kForward);
  const Layout layout = layout_of(shape, shape.c_in);

#pragma omp parallel if (shape.n > 1)
  {
    static thread_local Bf16Scratch padded;
    static thread_local Scratch sums;
    const TileScope scope(tiles);
    Bf16* const image = padded.reserve(layout.size());
    float* const run = sums.reserve(std::size_t(layout.run()) * shape.c_out);
#pragma omp for schedule(static)
    for (int n = 0; n < shape.n; ++n) {
      pad_image(image, x + n * shape.x().image_size(), layout, shape.concat_elu);
      multiply_image(run, image, layout, packed, tiles);
      copy_run(y + n * shape.y().image_size(), run, layout, shape.c_out);
    }
  }
}

void conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape,
                        const TileFunctions& tiles) {
  static thread_local Bf16Scratch weights;
  static thread_local Scratch biases;
  const PackedWeights packed =
      pack_weights(weights, biases, weight, nullptr, {shape.kernel, shape.c_out, shape.c_in}, WeightUse::kBackwardData);
  const Layout layout = layout_of(shape, shape.c_out);
  const std::size_t x_size = shape.x().image_size();

#pragma omp parallel if (shape.n > 1)
  {
    static thread_local Bf16Scratch padded;
    static thread_local Scratch sums;
    const TileScope scope(tiles);
    Bf16* const image = padded.reserve(layout.size());
    float* const run = sums.reserve(std::size_t(layout.run()) * shape.c_in);
#pragma omp for schedule(static)
    for (int n = 0; n < shape.n; ++n) {
      pad_image(image, dy + n * shape.y().image_size(), layout, false);
      multiply_image(run, image, layout, packed, tiles);
      add_run_gradient({dx.data + n * x_size, dx.mode}, run, shape.concat_elu ? x + n * x_size : nullptr, layout,
                       shape.x_channels(), shape.concat_elu);
    }
  }
}

void conv_backward_weights(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                           const TileFunctions& tiles) {
  static thread_local Scratch sums;
  const GradientPlan plan{shape.kernel, shape.c_in, shape.c_out};
  const int groups = image_groups(shape.n);
  float* const partials = sums.reserve(groups * plan.size());
  const Layout in = layout_of(shape, shape.c_in), out = layout_of(shape, shape.c_out);

#pragma omp parallel if (groups > 1)
  {
    static thread_local Bf16Scratch padded_x, padded_dy, planes, pairs;
    const TileScope scope(tiles);
    Bf16* const x_bf16 = padded_x.reserve(in.size());
    Bf16* const dy_bf16 = padded_dy.reserve(out.size());
    Bf16* const x_planes = planes.reserve(in.planes_size());
    Bf16* const dy_pairs = pairs.reserve(out.pairs_size());
#pragma omp for schedule(static)
    for (int group = 0; group < groups; ++group) {
      float* const partial = partials + group * plan.size();
      std::fill_n(partial, plan.size(), 0.0f);
      for (int n = group_begin(shape.n, group); n < group_begin(shape.n, group + 1); ++n) {
        const float* const image_dy = dy + n * shape.y().image_size();
        add_pixels(partial + plan.weight_size(), image_dy, shape.y().pixels(), shape.c_out);
        pad_image(x_bf16, x + n * shape.x().image_size(), in, shape.concat_elu);
        to_planes(x_planes, x_bf16, in);
        pad_image(dy_bf16, image_dy, out, false);
        to_pairs(dy_pairs, dy_bf16, out);
        add_weight_gradient(partial, x_planes, dy_pairs, in, plan, tiles);
      }
    }
  }
  write_weight_gradient(dweight, dbias, partials, groups, plan.size(), plan);
}

}  // namespace flowsmith::core::cpu::bf16
