// The convolutions of conv.h: threads over images, or over groups of images where a batch is summed.
#include "kernels/conv.h"

#include <algorithm>

#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/channel_subset.h"
#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/weight_gradient.h"
#include "kernels/cpu/winograd.h"

namespace flowsmith {
namespace {

/// The pixels where a checkerboard mask is `value`; all without one.
cpu::PixelSubset pixels_of(const ConvMask& mask, bool value) {
  if (mask.channels == 0 || mask.mask.kind != MaskKind::kCheckerboard) return {};
  return {2, mask_value(mask.mask, 0, 0, 0, {}) == value ? 0 : 1};
}

/// Image n of a batch of `count` as convolutions read it: a copy with its border and ELU-concat; the image itself where
/// it needs neither and enough of the batch lies behind it for what tiles read too far.
cpu::PaddedImage readable_image(const float* batch, int n, int count, MapShape image, int border, bool concat_elu) {
  const std::size_t size = image.image_size();
  const float* const x = batch + n * size;
  const std::size_t needed = cpu::padded_size(image.h, image.w, image.c * (concat_elu ? 2 : 1), border);
  if (border == 0 && !concat_elu && needed <= (count - n) * size) return {x, image.h, image.w, image.c, 0};
  static thread_local cpu::Scratch padded;
  return cpu::pad_image(padded.reserve(needed), x, image.h, image.w, image.c, border, concat_elu);
}

/// Whether Winograd's algorithm computes it and its gradients: between many channels, all of which are wanted.
bool by_winograd(const ConvShape& s) {
  return s.kernel == 3 && s.x_mask.channels == 0 && s.y_mask.channels == 0 && cpu::winograd_fits(s.h, s.w, s.c_in) &&
         cpu::winograd_fits(s.h, s.w, s.c_out);
}

}  // namespace

void conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape, Cpu stream) {
  if (cpu::has_channel_mask(shape)) return cpu::conv_forward_of_channels(y, x, weight, bias, shape, stream);
  if (stream.precision == NetPrecision::kBf16 && cpu::bf16::takes(shape)) {
    return cpu::bf16::conv_forward(y, x, weight, bias, shape, cpu::bf16::tiles_of(stream));
  }
  static thread_local cpu::Scratch weights;
  const cpu::ConvPlan plan = cpu::plan_conv(shape.kernel, shape.c_in, shape.c_out, false, by_winograd(shape));
  float* packed = weights.reserve(plan.packed_size());
  cpu::pack_weights(packed, weight, bias, plan, cpu::WeightUse::kForward);
  const int border = shape.kernel / 2;

#pragma omp parallel for schedule(static) if (shape.n > 1)
  for (int n = 0; n < shape.n; ++n) {
    const cpu::PaddedImage image = readable_image(x, n, shape.n, shape.x(), border, shape.concat_elu);
    cpu::ConvOutput output{y + n * shape.y().image_size(), std::ptrdiff_t(shape.w) * shape.c_out};
    output.pixels = pixels_of(shape.y_mask, false);
    cpu::conv_image(output, image, plan, packed);
  }
}

void conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape,
                        Cpu stream) {
  if (!dx) return;
  if (cpu::has_channel_mask(shape)) return cpu::conv_backward_data_of_channels(dx, dy, x, weight, shape, stream);
  if (stream.precision == NetPrecision::kBf16 && cpu::bf16::takes(shape)) {
    return cpu::bf16::conv_backward_data(dx, dy, x, weight, shape, cpu::bf16::tiles_of(stream));
  }
  static thread_local cpu::Scratch weights;
  const cpu::ConvPlan plan =
      cpu::plan_conv(shape.kernel, shape.c_out, shape.c_in, shape.concat_elu, by_winograd(shape));
  float* packed = weights.reserve(plan.packed_size());
  cpu::pack_weights(packed, weight, nullptr, plan, cpu::WeightUse::kBackwardData);
  const int border = shape.kernel / 2;
  const std::size_t x_size = shape.x().image_size();

#pragma omp parallel for schedule(static) if (shape.n > 1)
  for (int n = 0; n < shape.n; ++n) {
    const cpu::PaddedImage image = readable_image(dy, n, shape.n, shape.y(), border, false);
    cpu::ConvOutput output{dx.data + n * x_size, std::ptrdiff_t(shape.w) * shape.x_channels()};
    if (shape.concat_elu) {
      static thread_local cpu::Scratch elu;
      output.elu = cpu::pad_image(elu.reserve(cpu::padded_size(shape.h, shape.w, shape.c_in, 0)), x + n * x_size,
                                  shape.h, shape.w, shape.x_channels(), 0, true);
    }
    output.accumulate = dx.mode == GradMode::kAccumulate;
    output.pixels = pixels_of(shape.x_mask, true);
    cpu::conv_image(output, image, plan, packed);
  }
}

void conv_backward_weights(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                           Cpu stream) {
  if (!dweight && !dbias) return;
  if (cpu::has_channel_mask(shape)) {
    return cpu::conv_backward_weights_of_channels(dweight, dbias, dy, x, shape, stream);
  }
  if (stream.precision == NetPrecision::kBf16 && cpu::bf16::takes(shape)) {
    return cpu::bf16::conv_backward_weights(dweight, dbias, dy, x, shape, cpu::bf16::tiles_of(stream));
  }
  static thread_local cpu::Scratch sums;
  const cpu::WeightGradientPlan plan =
      cpu::plan_weight_gradient(shape.kernel, shape.c_in, shape.c_out, by_winograd(shape));
  const int groups = cpu::image_groups(shape.n);
  float* partials = sums.reserve(groups * plan.size());
  const int border = shape.kernel / 2;

#pragma omp parallel for schedule(static) if (groups > 1)
  for (int group = 0; group < groups; ++group) {
    float* partial = partials + group * plan.size();
    std::fill_n(partial, plan.size(), 0.0f);
    for (int n = cpu::group_begin(shape.n, group); n < cpu::group_begin(shape.n, group + 1); ++n) {
      const cpu::PaddedImage image = readable_image(x, n, shape.n, shape.x(), border, shape.concat_elu);
      cpu::add_weight_gradient(partial, image, dy + n * shape.y().image_size(), std::ptrdiff_t(shape.w) * shape.c_out,
                               plan, pixels_of(shape.y_mask, false));
    }
  }
  cpu::write_weight_gradient(dweight, dbias, partials, groups, plan.size(), plan);
}

}  // namespace flowsmith
