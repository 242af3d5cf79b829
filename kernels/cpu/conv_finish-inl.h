// What becomes of a convolution's sums: bias is in them already; here they meet what is added to them, or are turned
// into the gradient of an ELU-concat, and are written.
#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/vector_math-inl.h"

#if defined(FLOWSMITH_CPU_CONV_FINISH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWSMITH_CPU_CONV_FINISH_INL_H_
#undef FLOWSMITH_CPU_CONV_FINISH_INL_H_
#else
#define FLOWSMITH_CPU_CONV_FINISH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

/// Neighbouring pixels of one row.
struct Group {
  int row, column, pixels;
};

HWY_INLINE Index out_channels(const ConvPlan& plan) { return plan.paired ? plan.c_out / 2 : plan.c_out; }

/// Sends a group's sums, [pixel][kVectors * kLanes], from vector `first` of the channels on, to the output: an image w
/// pixels wide.
template <bool kWhole, int kVectors>
void finish_group(const ConvOutput& output, const ConvPlan& plan, int w, const float* sums, const Group& at,
                  int first) {
  const Floats d;
  const Index channels = out_channels(plan), channel = Index(plan.paired ? first / 2 : first) * kLanes;
  const bool accumulate = output.accumulate;
  float* out = output.data + at.row * output.row_stride + at.column * channels + channel;
  const float* add = output.add;
  if (add) add += (Index(at.row) * w + at.column) * channels + channel;
  // out = value (+ add) (+ out)
  const auto write = [&](Vector value, Index v) HWY_ATTR {
    const Index count = channels - channel - v;
    if (add) value = hn::Add(value, load_first<kWhole>(add + v, count));
    if (accumulate) value = hn::Add(load_first<kWhole>(out + v, count), value);
    store_first<kWhole>(value, out + v, count);
  };
  const float* elu = output.elu.data;
  if (plan.paired) {
    elu += (at.row + output.elu.border) * output.elu.row_stride() +
           Index(at.column + output.elu.border) * output.elu.c + channel;
  }
  for (int pixel = 0; pixel < at.pixels; ++pixel) {
    if (plan.paired) {
      for (Index v = 0; v + 1 < kVectors; v += 2) {
        const Index k = v / 2 * kLanes, count = channels - channel - k;
        const EluPair pair{load_first<kWhole>(elu + k, count), load_first<kWhole>(elu + channels + k, count)};
        const float* from = sums + v * kLanes;
        write(elu_pair_gradient(hn::Load(d, from), hn::Load(d, from + kLanes), pair), k);
      }
      elu += 2 * channels;
    } else {
      for (Index v = 0; v < kVectors; ++v) write(hn::Load(d, sums + v * kLanes), v * kLanes);
    }
    sums += kVectors * kLanes;
    out += channels;
    if (add) add += channels;
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
