// Weights in the order in which the register tiles read them: for each block of output channels [ky][kx][c_in][channel
// of the block], channels padded with zeros; for tiles whose lanes run over the inputs [c_out][ky][kx][c_in].
#include <algorithm>

#include "kernels/cpu/winograd.h"

namespace flowsmith::core::cpu {

ScratchVector<int> packed_channels(const ConvPlan& plan) {
  ScratchVector<int> channels(plan.packed_channels());
  const int half = plan.c_out / 2;
  for (int i = 0; i < int(channels.size()); ++i) {
    const int vector = i / plan.lanes, lane = i % plan.lanes;
    const int k = plan.paired ? vector / 2 * plan.lanes + lane : i;
    if (plan.paired) {
      channels[i] = k < half ? vector % 2 * half + k : -1;
    } else {
      channels[i] = k < plan.c_out ? k : -1;
    }
  }
  return channels;
}

void pack_weights(float* packed, const float* weight, const float* bias, const ConvPlan& plan, WeightUse use) {
  if (plan.winograd) return pack_winograd_weights(packed, weight, bias, plan, use);
  const ScratchVector<int> channels = packed_channels(plan);
  const int taps = plan.kernel * plan.kernel;
  const int total = plan.packed_channels();
  const int block = plan.vectors ? plan.block * plan.lanes : 1;
  // Strides of the layer's weight in terms of the sum's channels.
  const bool forward = use == WeightUse::kForward;
  const std::ptrdiff_t in_stride = forward ? plan.c_out : 1, out_stride = forward ? 1 : plan.c_in;

#pragma omp parallel for schedule(static) if (plan.weight_size() > 16384)
  for (int tap = 0; tap < taps; ++tap) {
    const float* from = weight + std::size_t(forward ? tap : taps - 1 - tap) * plan.c_in * plan.c_out;
    const int ky = tap / plan.kernel, kx = tap % plan.kernel;
    for (int first = 0; first < total; first += block) {
      const int width = std::min(block, total - first);
      // Blocks before this one are all full.
      float* to = packed + std::size_t(first) * plan.kernel * plan.packed_row() +
                  (std::size_t(ky) * plan.packed_row() + std::size_t(kx) * plan.c_in) * width;
      for (int i = 0; i < plan.c_in; ++i) {
        for (int o = 0; o < width; ++o) {
          const int channel = channels[first + o];
          *to++ = channel < 0 ? 0.0f : from[i * in_stride + channel * out_stride];
        }
      }
      const int padding = plan.packed_row() - plan.row_length();
      if (kx == plan.kernel - 1) std::fill_n(to, std::size_t(padding) * width, 0.0f);
    }
  }
  float* packed_bias = packed + plan.weight_size();
  for (int i = 0; i < total; ++i) packed_bias[i] = bias && channels[i] >= 0 ? bias[channels[i]] : 0.0f;
}

}  // namespace flowsmith::core::cpu
