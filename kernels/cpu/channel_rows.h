// Numbers per channel against a whole map: what actnorm and batch norm are made of. A map counts as rows of whole
// pixels that fill vectors, and what belongs to the channels is repeated along a row, so one or three channels cost no
// more than eight. Arithmetic is in double; elements are rounded once.
#pragma once

#include "kernels/cpu/scratch.h"
#include "kernels/types.h"

namespace flowsmith::cpu {

/// One number per channel.
using ChannelValues = ScratchVector<double>;

/// The numbers of the channels along a row, for the loops in channel_rows.cpp; null where they are not needed.
struct RowTables {
  std::size_t width;  ///< elements of a row
  const double *center, *scale, *offset, *slope;
};

/// Two sums per channel over all pixels of a batch, in groups of images that are added in order (image_groups.h).
struct ChannelSums {
  ChannelValues first, second;
};

/// The sums of x - center and of its square.
template <class T>
ChannelSums channel_moments(const T* x, const ChannelValues& center, MapShape shape);

/// The sums of d and of d * (x - center).
template <class T>
ChannelSums channel_products(const T* d, const T* x, const ChannelValues& center, MapShape shape);

/// to = (x - center) * scale + offset; `to` may be x.
template <class T>
void write_channel_lines(Grad<T> to, const T* x, const ChannelValues& center, const ChannelValues& scale,
                         const ChannelValues& offset, MapShape shape);

/// to = d * scale - rest - (x - center) * slope; `to` may be d or x.
template <class T>
void write_channel_planes(Grad<T> to, const T* d, const T* x, const ChannelValues& scale, const ChannelValues& rest,
                          const ChannelValues& center, const ChannelValues& slope, MapShape shape);

}  // namespace flowsmith::cpu
