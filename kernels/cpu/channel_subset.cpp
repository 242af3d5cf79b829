#include "kernels/cpu/channel_subset.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith::core::cpu {
namespace {

bool is_channel_mask(const ConvMask& mask) {
  const MaskKind kind = mask.mask.kind;
  return mask.channels > 0 && (kind == MaskKind::kChannel || kind == MaskKind::kAlternatingChannel);
}

bool channel_value(const ConvMask& m, int k) { return mask_value(m.mask, 0, 0, k, {.c = m.channels}); }

bool keeps_x(const ConvShape& shape, int k) {
  const ConvMask& m = shape.x_mask;
  return !is_channel_mask(m) || k >= m.channels || channel_value(m, k);
}
bool keeps_y(const ConvShape& shape, int o) {
  const ConvMask& m = shape.y_mask;
  return !is_channel_mask(m) || !channel_value(m, o % m.channels);
}

/// The convolution of what is left. Nothing is left out of x with an ELU-concat in front.
ConvShape part_of(const ConvShape& shape) {
  ConvShape part = shape;
  if (is_channel_mask(shape.x_mask) && !shape.concat_elu) {
    part.c_in = 0;
    for (int k = 0; k < shape.c_in; ++k) part.c_in += keeps_x(shape, k);
  }
  part.c_out = 0;
  for (int o = 0; o < shape.c_out; ++o) part.c_out += keeps_y(shape, o);
  if (is_channel_mask(part.x_mask)) part.x_mask = {};
  if (is_channel_mask(part.y_mask)) part.y_mask = {};
  return part;
}

/// Calls run(channel, number among those that are left, or -1).
template <class Keeps, class Run>
void for_each_channel(int channels, const Keeps& keeps, const Run& run) {
  for (int k = 0, at = 0; k < channels; ++k) run(k, keeps(k) ? at++ : -1);
}

/// The map without the channels that are left out; itself if there are none.
template <class Keeps>
const float* gather(Scratch& scratch, const float* from, const MapShape& whole, int part, const Keeps& keeps) {
  if (part == whole.c) return from;
  const std::ptrdiff_t pixels = std::ptrdiff_t(whole.n) * whole.pixels();
  float* const to = scratch.reserve(pixels * part);
#pragma omp parallel for schedule(static) if (worth_threads(whole.size()))
  for (std::ptrdiff_t p = 0; p < pixels; ++p) {
    for_each_channel(whole.c, keeps, [&](int k, int at) {
      if (at >= 0) to[p * part + at] = from[p * whole.c + k];
    });
  }
  return to;
}

/// The inverse; what was left out is 0.
template <class Keeps>
void scatter(Grad<float> to, const float* from, const MapShape& whole, int part, const Keeps& keeps) {
  const std::ptrdiff_t pixels = std::ptrdiff_t(whole.n) * whole.pixels();
#pragma omp parallel for schedule(static) if (worth_threads(whole.size()))
  for (std::ptrdiff_t p = 0; p < pixels; ++p) {
    for_each_channel(whole.c, keeps,
                     [&](int k, int at) { to.write(p * whole.c + k, at < 0 ? 0.0f : from[p * part + at]); });
  }
}

/// Calls run(place in the weight, place in the weight of what is left, or -1).
template <class Run>
void for_each_weight(const ConvShape& shape, const ConvShape& part, const Run& run) {
  for (int tap = 0; tap < shape.kernel * shape.kernel; ++tap) {
    for (int k = 0, k_at = 0; k < shape.c_in; ++k) {
      const bool row = part.c_in == shape.c_in || keeps_x(shape, k);
      for_each_channel(
          shape.c_out, [&](int o) { return keeps_y(shape, o); },
          [&](int o, int at) {
            const std::ptrdiff_t from = (std::ptrdiff_t(tap) * shape.c_in + k) * shape.c_out + o;
            const std::ptrdiff_t to = (std::ptrdiff_t(tap) * part.c_in + k_at) * part.c_out + at;
            run(from, row && at >= 0 ? to : -1);
          });
      k_at += row;
    }
  }
}

const float* gather_weight(Scratch& scratch, const float* weight, const ConvShape& shape, const ConvShape& part) {
  float* const to = scratch.reserve(part.weight_size());
  for_each_weight(shape, part, [&](std::ptrdiff_t from, std::ptrdiff_t at) {
    if (at >= 0) to[at] = weight[from];
  });
  return to;
}

}  // namespace

bool has_channel_mask(const ConvShape& shape) {
  if (!is_channel_mask(shape.x_mask) && !is_channel_mask(shape.y_mask)) return false;
  const ConvShape part = part_of(shape);
  return part.c_in > 0 && part.c_out > 0 && (part.c_in < shape.c_in || part.c_out < shape.c_out);
}

void conv_forward_of_channels(float* y, const float* x, const float* weight, const float* bias, ConvShape shape,
                              Cpu stream) {
  static thread_local Scratch part_x, part_y, part_weight, part_bias;
  const ConvShape part = part_of(shape);
  const auto x_kept = [&](int k) { return keeps_x(shape, k); };
  const auto y_kept = [&](int o) { return keeps_y(shape, o); };
  const float* const b = gather(part_bias, bias, {1, 1, 1, shape.c_out}, part.c_out, y_kept);
  float* const to = part.c_out == shape.c_out ? y : part_y.reserve(part.y().size());
  conv_forward(to, gather(part_x, x, shape.x(), part.x_channels(), x_kept),
               gather_weight(part_weight, weight, shape, part), b, part, stream);
  if (to != y) scatter({y}, to, shape.y(), part.c_out, y_kept);
}

void conv_backward_data_of_channels(Grad<float> dx, const float* dy, const float* x, const float* weight,
                                    ConvShape shape, Cpu stream) {
  static thread_local Scratch part_dy, part_dx, part_weight;
  const ConvShape part = part_of(shape);
  const bool whole_x = part.x_channels() == shape.x_channels();
  const Grad<float> to = whole_x ? dx : Grad<float>{part_dx.reserve(part.x().size())};
  const auto y_kept = [&](int o) { return keeps_y(shape, o); };
  conv_backward_data(to, gather(part_dy, dy, shape.y(), part.c_out, y_kept), x,
                     gather_weight(part_weight, weight, shape, part), part, stream);
  if (!whole_x) {
    scatter(dx, to.data, shape.x(), part.x_channels(), [&](int k) { return keeps_x(shape, k); });
  }
}

void conv_backward_weights_of_channels(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x,
                                       ConvShape shape, Cpu stream) {
  static thread_local Scratch part_dy, part_x, part_weight, part_bias;
  const ConvShape part = part_of(shape);
  const auto y_kept = [&](int o) { return keeps_y(shape, o); };
  const Grad<float> weight_sums{dweight ? part_weight.reserve(part.weight_size()) : nullptr};
  const Grad<float> bias_sums{dbias ? part_bias.reserve(part.c_out) : nullptr};
  conv_backward_weights(weight_sums, bias_sums, gather(part_dy, dy, shape.y(), part.c_out, y_kept),
                        gather(part_x, x, shape.x(), part.x_channels(), [&](int k) { return keeps_x(shape, k); }), part,
                        stream);
  if (dweight) {
    for_each_weight(shape, part, [&](std::ptrdiff_t to, std::ptrdiff_t at) {
      dweight.write(to, at < 0 ? 0.0f : weight_sums.data[at]);
    });
  }
  if (dbias) scatter(dbias, bias_sums.data, {1, 1, 1, shape.c_out}, part.c_out, y_kept);
}

}  // namespace flowsmith::core::cpu
