// Numbers per channel against a whole map: what actnorm and batch norm are made of. A map counts as rows of whole
// pixels that fill vectors, and what belongs to the channels is repeated along a row, so one or three channels cost no
// more than eight. Arithmetic is in double; elements are rounded once, before their activation.
#pragma once

#include "kernels/activation.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith::core::cpu {

/// One number per channel.
using ChannelValues = ScratchVector<double>;

/// act((x - center) * scale + offset) with one number per channel: what batch norm and actnorm make of x.
struct ChannelLine {
  const ChannelValues &center, &scale, &offset;
  Activation activation = Activation::kNone;
};

/// The numbers of the channels along a row, for the loops in channel_rows.cpp; null where they are not needed. A
/// gradient d of an activated line counts times act'((x - center) * scale + offset).
struct RowTables {
  std::size_t width;  ///< elements of a row
  const double *center, *scale, *offset;
  Activation activation;
  const double *factor, *rest, *slope;
};

/// Two sums per channel over all pixels of a batch, in groups of images that are added in order (image_groups.h).
struct ChannelSums {
  ChannelValues first, second;
};

/// The sums of x - center and of its square.
template <class T>
ChannelSums channel_moments(const T* x, const ChannelValues& center, MapShape shape);

/// The sums of d and of d * (x - center), d being the gradient of the line times act'.
template <class T>
ChannelSums channel_products(const T* d, const T* x, const ChannelLine& line, MapShape shape);

/// to = the line at x; `to` may be x.
template <class T>
void write_channel_lines(Grad<T> to, const T* x, const ChannelLine& line, MapShape shape);

/// to = d * factor - rest - (x - center) * slope, d as in channel_products; `to` may be d or x.
template <class T>
void write_channel_planes(Grad<T> to, const T* d, const T* x, const ChannelLine& line, const ChannelValues& factor,
                          const ChannelValues& rest, const ChannelValues& slope, MapShape shape);

}  // namespace flowsmith::core::cpu
