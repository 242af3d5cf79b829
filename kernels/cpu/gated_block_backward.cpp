// The gated block's backward pass, one image at a time, in groups of images for the sums over the batch.
//
//   dr   = layer norm backward of dy at r = x + value * sigmoid(gate), recomputed
//   dvg  = gate backward of dr
//   dh   = 1x1 convolution backward of dvg, through the ELU-concat of h; its weights' gradient
//   dx   = dr + 3x3 convolution backward of dh, through the ELU-concat of x; its weights' gradient
//
// The first three lines run over a few rows at a time, whose intermediate maps never leave the first-level cache; dh
// lands in the middle of a zero-bordered image, from where the fourth line reads it.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/gated_block_rows.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/pixel_rows.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/weight_gradient.h"
#include "kernels/cpu/winograd.h"
#include "kernels/gated_block.h"

namespace flowsmith::core {
namespace {

/// What all images share.
struct BackwardPass {
  GatedBlockShape shape;
  cpu::ConvPlan data3, data1;
  cpu::WeightGradientPlan gradient3, gradient1;
  const float *weight3 = nullptr, *weight1 = nullptr;  ///< packed
  const float* gamma = nullptr;
  bool wants_dx = false, wants3 = false, wants1 = false;

  /// Floats of a group's sums: the 3x3 convolution's, the 1x1 convolution's, gamma's and beta's.
  std::size_t norm_offset() const { return gradient3.size() + gradient1.size(); }
  std::size_t sums_size() const { return norm_offset() + std::size_t(2 * shape.c + 15) / 16 * 16; }
};

/// One image's tensors.
struct ImageTensors {
  const float *dy, *x, *h, *vg;
};

/// dr (h,w,c) and dh, the latter inside a border of zeros; adds to the group's sums.
void backward_to_h(float* dr, float* dh, float* sums, const ImageTensors& image, const BackwardPass& pass) {
  static thread_local cpu::Scratch rows_r, rows_dvg, rows_a;
  const int c = pass.shape.c, w = pass.shape.w, h = pass.shape.h;
  const std::ptrdiff_t dh_row = std::ptrdiff_t(w + 2) * c;
  cpu::zero_border(dh, h, w, c, 1);

  const int step = cpu::gated_block_rows(w);
  float* r = rows_r.reserve(std::size_t(step) * w * c);
  float* dvg = rows_dvg.reserve(cpu::padded_size(step, w, 2 * c, 0));
  float* a = rows_a.reserve(cpu::padded_size(step, w, 2 * c, 0));
  float* dgamma = sums + pass.norm_offset();
  for (int row = 0; row < h; row += step) {
    const int rows = std::min(step, h - row);
    const std::size_t pixels = std::size_t(rows) * w, first = std::size_t(row) * w * c;
    cpu::gate_pixels(r, image.x + first, image.vg + 2 * first, pixels, c);
    cpu::layer_norm_gradient_pixels({dr + first}, dgamma, dgamma + c, image.dy + first, r, pass.gamma, pixels, c,
                                    pass.shape.norm_eps);
    cpu::gate_gradient_pixels({}, {dvg}, dr + first, image.vg + 2 * first, pixels, c);
    const cpu::PaddedImage elu_h = cpu::pad_image(a, image.h + first, rows, w, c, 0, true);
    if (pass.wants1) {
      cpu::add_weight_gradient(sums + pass.gradient3.size(), elu_h, dvg, std::ptrdiff_t(w) * 2 * c, pass.gradient1);
    }
    if (pass.wants_dx || pass.wants3) {
      cpu::conv_image({dh + (row + 1) * dh_row + c, dh_row, elu_h}, {dvg, rows, w, 2 * c, 0}, pass.data1, pass.weight1);
    }
  }
}

void backward_image(Grad<float> dx, float* sums, const ImageTensors& image, const BackwardPass& pass) {
  static thread_local cpu::Scratch own_dr, padded_dh, padded_x;
  const int c = pass.shape.c, w = pass.shape.w, h = pass.shape.h;
  float* dr = own_dr.reserve(pass.shape.map().image_size());
  float* dh = padded_dh.reserve(cpu::padded_size(h, w, c, 1));
  backward_to_h(dr, dh, sums, image, pass);
  const std::ptrdiff_t dh_row = std::ptrdiff_t(w + 2) * c;
  const bool concat_elu = pass.shape.concat_elu_input;
  const cpu::PaddedImage input =
      cpu::pad_image(padded_x.reserve(cpu::padded_size(h, w, pass.gradient3.c_in, 1)), image.x, h, w, c, 1, concat_elu);
  if (pass.wants3) cpu::add_weight_gradient(sums, input, dh + dh_row + c, dh_row, pass.gradient3);
  if (dx) {
    cpu::conv_image(
        {dx.data, std::ptrdiff_t(w) * c, concat_elu ? input : cpu::PaddedImage{}, dr, dx.mode == GradMode::kAccumulate},
        {dh, h, w, c, 1}, pass.data3, pass.weight3);
  }
}

}  // namespace

void gated_block_backward(Grad<float> dx, GatedBlockGrads<float> grads, const float* dy,
                          GatedBlockSaved<const float> saved, const float* x, GatedBlockWeights<float> weights,
                          GatedBlockShape shape, Cpu stream) {
  if (stream.precision == NetPrecision::kBf16) {
    return cpu::bf16::gated_block_backward(dx, grads, dy, saved, x, weights, shape, cpu::bf16::tiles_of(stream));
  }
  static thread_local cpu::Scratch weight3, weight1, group_sums;
  const ConvShape conv3 = shape.conv3(), conv1 = shape.conv1();
  const bool winograd = cpu::winograd_fits(shape.h, shape.w, shape.c);
  BackwardPass pass{shape, cpu::plan_conv(3, conv3.c_out, conv3.c_in, shape.concat_elu_input, winograd),
                    cpu::plan_conv(1, conv1.c_out, conv1.c_in, true),
                    cpu::plan_weight_gradient(3, conv3.c_in, conv3.c_out, winograd),
                    cpu::plan_weight_gradient(1, conv1.c_in, conv1.c_out)};
  pass.wants_dx = bool(dx);
  pass.wants3 = grads.weight3 || grads.bias3;
  pass.wants1 = grads.weight1 || grads.bias1;
  pass.gamma = weights.gamma;
  float* packed3 = weight3.reserve(pass.data3.packed_size());
  float* packed1 = weight1.reserve(pass.data1.packed_size());
  cpu::pack_weights(packed3, weights.weight3, nullptr, pass.data3, cpu::WeightUse::kBackwardData);
  cpu::pack_weights(packed1, weights.weight1, nullptr, pass.data1, cpu::WeightUse::kBackwardData);
  pass.weight3 = packed3;
  pass.weight1 = packed1;

  const int groups = cpu::image_groups(shape.n);
  const std::size_t stride = pass.sums_size(), size = shape.map().image_size();
  float* partials = group_sums.reserve(groups * stride);
#pragma omp parallel for schedule(static) if (groups > 1)
  for (int group = 0; group < groups; ++group) {
    float* sums = partials + group * stride;
    std::fill_n(sums, stride, 0.0f);
    for (int n = cpu::group_begin(shape.n, group); n < cpu::group_begin(shape.n, group + 1); ++n) {
      const ImageTensors image{dy + n * size, x + n * size, saved.h + n * size, saved.vg + 2 * n * size};
      Grad<float> image_dx = dx;
      if (dx) image_dx.data += n * size;
      backward_image(image_dx, sums, image, pass);
    }
  }
  cpu::write_weight_gradient(grads.weight3, grads.bias3, partials, groups, stride, pass.gradient3);
  cpu::write_weight_gradient(grads.weight1, grads.bias1, partials + pass.gradient3.size(), groups, stride,
                             pass.gradient1);
  const float* norm = partials + pass.norm_offset();
  if (grads.gamma) cpu::write_group_sums(grads.gamma, norm, groups, stride, shape.c);
  if (grads.beta) cpu::write_group_sums(grads.beta, norm + shape.c, groups, stride, shape.c);
}

}  // namespace flowsmith::core
