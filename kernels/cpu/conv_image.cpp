// Cuts an image into register tiles and finishes what they produce.
#include "kernels/cpu/conv_image.h"

#include <algorithm>

#include "kernels/cpu/simd_dispatch.h"
#include "kernels/cpu/winograd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv_image.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/conv_finish-inl.h"
#include "kernels/cpu/conv_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

ConvPlan plan_conv_impl(int kernel, int c_in, int c_out, bool paired, bool winograd) {
  ConvPlan plan{kernel, c_in, c_out, paired, winograd, kLanes};
  if (!paired && c_out < kLanes) {
    plan.block = 3;
    return plan;
  }
  const int part = paired ? c_out / 2 : c_out;
  plan.vectors = (part + kLanes - 1) / kLanes * (paired ? 2 : 1);
  // Two vectors by two groups read the fewest weights per multiply-add; one vector runs with four groups.
  plan.block = plan.vectors == 1 ? 1 : plan.vectors % 2 != 0 && plan.vectors % 3 == 0 ? 3 : 2;
  return plan;
}

struct Tiler {
  const ConvOutput& output;
  const PaddedImage& input;
  const ConvPlan& plan;
  int groups_per_row = (input.w + kGroupPixels - 1) / kGroupPixels;

  Group group(int index) const {
    const int column = index % groups_per_row * kGroupPixels;
    return {index / groups_per_row, column, HWY_MIN(kGroupPixels, input.w - column)};
  }

  int groups() const { return groups_per_row * input.h; }

  /// Kernel rows that fall outside the image for all of the tile's rows are left out.
  TileInput tile_input(int first, int count) const {
    TileInput tile;
    for (int g = 0; g < count; ++g) {
      const Group at = group(first + g);
      tile.in[g] = pixel(at.row, at.column);
    }
    set_window(tile, group(first).row, group(first + count - 1).row, 1);
    tile.ahead = tile.in[count - 1] + kGroupPixels * plan.c_in;
    return tile;
  }

  const float* pixel(int row, int column) const {
    return input.data + row * input.row_stride() + Index(column) * input.c;
  }

  void set_window(TileInput& tile, int top, int bottom, int step) const {
    const int radius = plan.kernel / 2;
    tile.pixel_stride = Index(step) * input.c;
    tile.row_stride = input.row_stride();
    tile.ky_begin = HWY_MAX(0, radius - bottom);
    tile.ky_end = HWY_MIN(plan.kernel, input.h + radius - top);
    tile.row_length = plan.row_length();
  }

  template <int kGroups, int kVectors>
  void run_tile(int first_group, int first_vector, const float* weight, const float* bias, bool direct) const {
    constexpr Index kStride = kVectors * kLanes;
    HWY_ALIGN float sums[kGroups * kGroupPixels * kStride];
    const TileInput tile = tile_input(first_group, kGroups);
    float* out[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      const Group at = group(first_group + g);
      out[g] = direct
                   ? output.data + at.row * output.row_stride + at.column * out_channels(plan) + first_vector * kLanes
                   : sums + g * kGroupPixels * kStride;
    }
    conv_tile<kGroups, kVectors>(tile, weight, bias, out, direct ? out_channels(plan) : kStride);
    if (direct) return;
    for (int g = 0; g < kGroups; ++g) {
      const Group at = group(first_group + g);
      if (out_channels(plan) % kLanes == 0) {
        finish_group<true, kVectors>(output, plan, input.w, out[g], at, first_vector);
      } else {
        finish_group<false, kVectors>(output, plan, input.w, out[g], at, first_vector);
      }
    }
  }

  template <int kGroups, int kVectors>
  void run_block(int first_vector, const float* weight, const float* bias) const {
    const bool whole_pixels = input.w % kGroupPixels == 0;
    const bool whole_channels = Index(first_vector + kVectors) * kLanes <= out_channels(plan);
    const bool direct = !plan.paired && !output.add && !output.accumulate && whole_pixels && whole_channels;
    int g = 0;
    for (; g + kGroups <= groups(); g += kGroups) run_tile<kGroups, kVectors>(g, first_vector, weight, bias, direct);
    for (; g < groups(); ++g) run_tile<1, kVectors>(g, first_vector, weight, bias, direct);
  }

  template <int kOutputs>
  void run_dots(int first_output, const float* weight, const float* bias) const {
    float sums[kGroupPixels * kOutputs];
    const PixelSubset& pixels = output.pixels;
    for (int row = 0; row < input.h; ++row) {
      const int count = pixels.count(row, input.w);
      for (int k = 0; k < count; k += kGroupPixels) {
        const int first = pixels.first(row) + k * pixels.step;
        TileInput tile;
        tile.in[0] = pixel(row, first);
        set_window(tile, row, row, pixels.step);
        dot_tile<kOutputs>(tile, weight, plan.packed_row(), plan.kernel, bias, sums, kOutputs);
        for (int i = 0; i < HWY_MIN(kGroupPixels, count - k); ++i) {
          const int column = first + i * pixels.step;
          float* out = output.data + row * output.row_stride + Index(column) * plan.c_out + first_output;
          const float* add =
              output.add ? output.add + (Index(row) * input.w + column) * plan.c_out + first_output : nullptr;
          for (int o = 0; o < kOutputs; ++o) {
            const float value = sums[i * kOutputs + o] + (add ? add[o] : 0.0f);
            out[o] = output.accumulate ? out[o] + value : value;
          }
        }
      }
    }
  }
};

void conv_image_impl(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan, const float* packed) {
  const Tiler tiler{output, input, plan};
  const float* bias = packed + plan.weight_size();
  const Index weights_per_channel = Index(plan.kernel) * plan.packed_row();
  if (plan.vectors == 0) {
    if (!output.pixels.all() && !output.accumulate) {
      for (int row = 0; row < input.h; ++row) {
        std::fill_n(output.data + row * output.row_stride, Index(input.w) * plan.c_out, 0.0f);
      }
    }
    for (int o = 0; o < plan.c_out; o += plan.block) {
      const float* weight = packed + o * weights_per_channel;
      switch (HWY_MIN(plan.block, plan.c_out - o)) {
        case 1:
          tiler.run_dots<1>(o, weight, bias + o);
          break;
        case 2:
          tiler.run_dots<2>(o, weight, bias + o);
          break;
        default:
          tiler.run_dots<3>(o, weight, bias + o);
          break;
      }
    }
    return;
  }
  for (int v = 0; v < plan.vectors; v += plan.block) {
    const float* weight = packed + Index(v) * kLanes * weights_per_channel;
    switch (HWY_MIN(plan.block, plan.vectors - v)) {
      case 1:
        tiler.run_block<kMaxGroups, 1>(v, weight, bias + v * kLanes);
        break;
      case 2:
        tiler.run_block<kManyRegisters ? 2 : 1, 2>(v, weight, bias + v * kLanes);
        break;
      default:
        tiler.run_block<1, 3>(v, weight, bias + v * kLanes);
        break;
    }
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

ConvPlan plan_conv(int kernel, int c_in, int c_out, bool paired, bool winograd) {
  return FLOWSMITH_DISPATCH(plan_conv_impl)(kernel, c_in, c_out, paired, winograd);
}

void conv_image(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan, const float* packed) {
  if (plan.winograd) return winograd_image(output, input, plan, packed);
  FLOWSMITH_DISPATCH(conv_image_impl)(output, input, plan, packed);
}

}  // namespace flowsmith::core::cpu
#endif
