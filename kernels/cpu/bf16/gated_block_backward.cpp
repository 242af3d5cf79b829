// The gated block's backward pass, one image at a time, in groups of images for the sums over the batch.
//
//   dr   = layer norm backward of dy at r = x + value * sigmoid(gate), recomputed
//   dvg  = gate backward of dr
//   dh   = 1x1 convolution backward of dvg, through the ELU-concat of h; its weights' gradient
//   dx   = dr + 3x3 convolution backward of dh, through the ELU-concat of x; its weights' gradient
//
// The first three lines run over a few pixels at a time, whose maps never leave the first-level cache.
#include <algorithm>

#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/bf16/products.h"
#include "kernels/cpu/bf16/rows.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/pixel_rows.h"
#include "kernels/cpu/weight_gradient.h"

namespace flowsmith::core::cpu::bf16 {
namespace {

/// What all images share.
struct BackwardPass {
  GatedBlockShape shape;
  GradientPlan gradient3, gradient1;
  const TileFunctions& tiles;
  PackedWeights data3 = {}, data1 = {};
  const float* gamma = nullptr;
  bool wants_dx = false, wants3 = false, wants1 = false;

  /// Floats of a group's sums: the 3x3 convolution's, the 1x1 convolution's, gamma's and beta's.
  std::size_t norm_offset() const { return gradient3.size() + gradient1.size(); }
  std::size_t sums_size() const { return norm_offset() + std::size_t(round_up(2 * shape.c, kTile)); }
};

/// One image's tensors.
struct ImageTensors {
  const float *dy, *x, *h, *vg;
};

/// dh (h,w,c), and dx (+)= dr; adds to the group's sums.
void backward_to_h(float* dh, Grad<float> dx, float* sums, const ImageTensors& image, const BackwardPass& pass) {
  static thread_local Bf16Scratch rounded, planes, pairs;
  static thread_local Scratch chunk_r, chunk_dr, chunk_dvg, chunk_da;
  const int c = pass.shape.c, pixels = int(pass.shape.map().pixels());
  const std::size_t chunk_size = std::size_t(kChunk) * c;
  const Layout whole{1, kChunk, 2 * c, 0};
  Bf16* const image_bf16 = rounded.reserve(whole.size());
  Bf16* const a_planes = planes.reserve(whole.planes_size());
  Bf16* const dvg_pairs = pairs.reserve(whole.pairs_size());
  float* const r = chunk_r.reserve(chunk_size);
  float* const dr = chunk_dr.reserve(chunk_size);
  float* const dvg = chunk_dvg.reserve(2 * chunk_size);
  float* const da = chunk_da.reserve(2 * chunk_size);
  float* const sums1 = sums + pass.gradient3.size();
  float* const dgamma = sums + pass.norm_offset();
  for (int pixel = 0; pixel < pixels; pixel += kChunk) {
    const Layout chunk{1, std::min(kChunk, pixels - pixel), 2 * c, 0};
    const std::size_t first = std::size_t(pixel) * c;
    gate_pixels(r, image.x + first, image.vg + 2 * first, chunk.w, c);
    layer_norm_gradient_pixels({dr}, dgamma, dgamma + c, image.dy + first, r, pass.gamma, chunk.w, c,
                               pass.shape.norm_eps);
    Grad<float> chunk_dx = dx;
    if (dx) chunk_dx.data += first;
    gate_gradient_pixels(chunk_dx, {dvg}, dr, image.vg + 2 * first, chunk.w, c);
    if (pass.wants1) {
      add_pixels(sums1 + pass.gradient1.weight_size(), dvg, chunk.w, 2 * c);
      pad_image(image_bf16, image.h + first, chunk, true);
      to_planes(a_planes, image_bf16, chunk);
    }
    pad_image(image_bf16, dvg, chunk, false);
    if (pass.wants1) {
      to_pairs(dvg_pairs, image_bf16, chunk);
      add_weight_gradient(sums1, a_planes, dvg_pairs, chunk, pass.gradient1, pass.tiles);
    }
    if (pass.wants_dx || pass.wants3) {
      multiply_image(da, image_bf16, chunk, pass.data1, pass.tiles);
      concat_elu_gradient_pixels({dh + first}, da, image.h + first, chunk.w, c);
    }
  }
}

void backward_image(Grad<float> dx, float* sums, const ImageTensors& image, const BackwardPass& pass) {
  static thread_local Bf16Scratch padded_dh, padded_x, planes, pairs;
  static thread_local Scratch own_dh, run;
  const GatedBlockShape& shape = pass.shape;
  float* const dh = own_dh.reserve(shape.map().image_size());
  backward_to_h(dh, dx, sums, image, pass);
  if (!pass.wants_dx && !pass.wants3) return;

  const Layout in{shape.h, shape.w, shape.conv3().c_in, 1}, out{shape.h, shape.w, shape.c, 1};
  Bf16* const dh_bf16 = padded_dh.reserve(out.size());
  pad_image(dh_bf16, dh, out, false);
  if (pass.wants3) {
    add_pixels(sums + pass.gradient3.weight_size(), dh, shape.map().pixels(), shape.c);
    Bf16* const x_bf16 = padded_x.reserve(in.size());
    Bf16* const x_planes = planes.reserve(in.planes_size());
    Bf16* const dh_pairs = pairs.reserve(out.pairs_size());
    pad_image(x_bf16, image.x, in, shape.concat_elu_input);
    to_planes(x_planes, x_bf16, in);
    to_pairs(dh_pairs, dh_bf16, out);
    add_weight_gradient(sums, x_planes, dh_pairs, in, pass.gradient3, pass.tiles);
  }
  if (dx) {
    float* const da = run.reserve(std::size_t(in.run()) * in.c);
    multiply_image(da, dh_bf16, out, pass.data3, pass.tiles);
    add_run_gradient({dx.data, GradMode::kAccumulate}, da, image.x, in, shape.c, shape.concat_elu_input);
  }
}

}  // namespace

void gated_block_backward(Grad<float> dx, GatedBlockGrads<float> grads, const float* dy,
                          GatedBlockSaved<const float> saved, const float* x, GatedBlockWeights<float> weights,
                          GatedBlockShape shape, const TileFunctions& tiles) {
  static thread_local Bf16Scratch weight3, weight1;
  static thread_local Scratch bias3, bias1, group_sums;
  const ConvShape conv3 = shape.conv3(), conv1 = shape.conv1();
  BackwardPass pass{shape, {3, conv3.c_in, conv3.c_out}, {1, conv1.c_in, conv1.c_out}, tiles};
  pass.data3 =
      pack_weights(weight3, bias3, weights.weight3, nullptr, {3, conv3.c_out, conv3.c_in}, WeightUse::kBackwardData);
  pass.data1 =
      pack_weights(weight1, bias1, weights.weight1, nullptr, {1, conv1.c_out, conv1.c_in}, WeightUse::kBackwardData);
  pass.wants_dx = bool(dx);
  pass.wants3 = grads.weight3 || grads.bias3;
  pass.wants1 = grads.weight1 || grads.bias1;
  pass.gamma = weights.gamma;

  const int groups = image_groups(shape.n);
  const std::size_t stride = pass.sums_size(), size = shape.map().image_size();
  float* const partials = group_sums.reserve(groups * stride);
#pragma omp parallel if (groups > 1)
  {
    const TileScope scope(tiles);
#pragma omp for schedule(static)
    for (int group = 0; group < groups; ++group) {
      float* const sums = partials + group * stride;
      std::fill_n(sums, stride, 0.0f);
      for (int n = group_begin(shape.n, group); n < group_begin(shape.n, group + 1); ++n) {
        const ImageTensors image{dy + n * size, x + n * size, saved.h + n * size, saved.vg + 2 * n * size};
        Grad<float> image_dx = dx;
        if (dx) image_dx.data += n * size;
        backward_image(image_dx, sums, image, pass);
      }
    }
  }
  write_weight_gradient(grads.weight3, grads.bias3, partials, groups, stride, pass.gradient3);
  write_weight_gradient(grads.weight1, grads.bias1, partials + pass.gradient3.size(), groups, stride, pass.gradient1);
  const float* const norm = partials + pass.norm_offset();
  if (grads.gamma) write_group_sums(grads.gamma, norm, groups, stride, shape.c);
  if (grads.beta) write_group_sums(grads.beta, norm + shape.c, groups, stride, shape.c);
}

}  // namespace flowsmith::core::cpu::bf16
