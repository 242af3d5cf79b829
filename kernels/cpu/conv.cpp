// The convolutions of conv.h: threads over images, or over groups of images where a batch is summed.
#include "kernels/conv.h"

#include <omp.h>

#include <algorithm>

#include "kernels/cpu/bf16/kernels.h"
#include "kernels/cpu/channel_subset.h"
#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/weight_gradient.h"
#include "kernels/cpu/winograd.h"

namespace flowsmith::core {
namespace {

/// The pixels where a checkerboard mask is `value`; all without one.
cpu::PixelSubset pixels_of(const ConvMask& mask, bool value) {
  if (mask.channels == 0 || mask.mask.kind != MaskKind::kCheckerboard) return {};
  return {2, mask_value(mask.mask, 0, 0, 0, {}) == value ? 0 : 1};
}

/// Whether Winograd's algorithm computes it and its gradients: between many channels, all of which are wanted.
bool by_winograd(const ConvShape& s) {
  return s.kernel == 3 && s.x_mask.channels == 0 && s.y_mask.channels == 0 && cpu::winograd_fits(s.h, s.w, s.c_in) &&
         cpu::winograd_fits(s.h, s.w, s.c_out);
}

/// Of `images`, how many a thread convolves at once: of small ones, by Winograd's algorithm, so many that their tiles
/// fill the register tiles, as seven images of 7 x 7 pixels do, and no more than leave work for all threads. It changes
/// no bit of what they become.
int images_at_once(const ConvShape& s, int images, int threads) {
  constexpr int kEnoughPixels = 343;
  if (!by_winograd(s) || s.concat_elu) return 1;
  return std::max(1, std::min(kEnoughPixels / (s.h * s.w), images / threads));
}

/// A batch, or a part of it, in equal runs of at most so many images: run i of `count` begins at begin(i).
struct ImageRuns {
  int first, images, count;

  ImageRuns(int first_image, int end, int most)
      : first(first_image), images(end - first_image), count((images + most - 1) / most) {}
  int begin(int i) const { return first + int(static_cast<long long>(images) * i / count); }
};

/// `count` images from the first-th on of a batch as convolutions read them. One is copied, with its border and
/// ELU-concat: even Winograd's algorithm, which needs no border, reads the copy faster. Several, and what needs neither
/// border nor ELU-concat and has enough of the batch behind it for what register tiles read too far, stay where they
/// are.
cpu::PaddedImage readable_images(const float* batch, int first, int count, MapShape shape, int border,
                                 bool concat_elu) {
  const std::size_t size = shape.image_size();
  const float* const x = batch + first * size;
  const std::size_t needed = cpu::padded_size(shape.h, shape.w, shape.c * (concat_elu ? 2 : 1), border);
  const bool as_it_is = border == 0 && !concat_elu && needed <= (shape.n - first) * size;
  if (count > 1 || as_it_is) return {x, shape.h, shape.w, shape.c, 0, count};
  static thread_local cpu::Scratch padded;
  return cpu::pad_image(padded.reserve(needed), x, shape.h, shape.w, shape.c, border, concat_elu);
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
  const ImageRuns runs(0, shape.n, images_at_once(shape, shape.n, omp_get_max_threads()));

#pragma omp parallel for schedule(static) if (runs.count > 1)
  for (int run = 0; run < runs.count; ++run) {
    const int n = runs.begin(run), count = runs.begin(run + 1) - n;
    const cpu::PaddedImage images = readable_images(x, n, count, shape.x(), shape.kernel / 2, shape.concat_elu);
    cpu::ConvOutput output{y + n * shape.y().image_size(), std::ptrdiff_t(shape.w) * shape.c_out};
    output.pixels = pixels_of(shape.y_mask, false);
    cpu::conv_image(output, images, plan, packed);
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
  const std::size_t x_size = shape.x().image_size();
  const ImageRuns runs(0, shape.n, images_at_once(shape, shape.n, omp_get_max_threads()));

#pragma omp parallel for schedule(static) if (runs.count > 1)
  for (int run = 0; run < runs.count; ++run) {
    const int n = runs.begin(run), count = runs.begin(run + 1) - n;
    const cpu::PaddedImage images = readable_images(dy, n, count, shape.y(), shape.kernel / 2, false);
    cpu::ConvOutput output{dx.data + n * x_size, std::ptrdiff_t(shape.w) * shape.x_channels()};
    if (shape.concat_elu) {
      static thread_local cpu::Scratch elu;
      output.elu = cpu::pad_image(elu.reserve(cpu::padded_size(shape.h, shape.w, shape.c_in, 0)), x + n * x_size,
                                  shape.h, shape.w, shape.x_channels(), 0, true);
    }
    output.accumulate = dx.mode == GradMode::kAccumulate;
    output.pixels = pixels_of(shape.x_mask, true);
    cpu::conv_image(output, images, plan, packed);
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

#pragma omp parallel for schedule(static) if (groups > 1)
  for (int group = 0; group < groups; ++group) {
    float* partial = partials + group * plan.size();
    std::fill_n(partial, plan.size(), 0.0f);
    const int begin = cpu::group_begin(shape.n, group), end = cpu::group_begin(shape.n, group + 1);
    const ImageRuns runs(begin, end, images_at_once(shape, end - begin, 1));
    for (int run = 0; run < runs.count; ++run) {
      const int n = runs.begin(run), count = runs.begin(run + 1) - n;
      const cpu::PaddedImage images = readable_images(x, n, count, shape.x(), shape.kernel / 2, shape.concat_elu);
      cpu::add_weight_gradient(partial, images, dy + n * shape.y().image_size(), std::ptrdiff_t(shape.w) * shape.c_out,
                               plan, pixels_of(shape.y_mask, false));
    }
  }
  cpu::write_weight_gradient(dweight, dbias, partials, groups, plan.size(), plan);
}

}  // namespace flowsmith::core
