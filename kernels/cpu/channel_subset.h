// A convolution without the channels that a coupling's mask of whole channels makes useless (ConvMask): the same
// convolution of maps and weights that hold the other channels only. Those maps are of the size of z; copying them
// costs little.
#pragma once

#include "kernels/conv.h"

namespace flowsmith::core::cpu {

/// Whether there is a channel mask, and something left beside what it takes away.
bool has_channel_mask(const ConvShape& shape);

/// The operations of conv.h for shapes with a channel mask.
void conv_forward_of_channels(float* y, const float* x, const float* weight, const float* bias, ConvShape shape,
                              Cpu stream);
void conv_backward_data_of_channels(Grad<float> dx, const float* dy, const float* x, const float* weight,
                                    ConvShape shape, Cpu stream);
void conv_backward_weights_of_channels(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x,
                                       ConvShape shape, Cpu stream);

}  // namespace flowsmith::core::cpu
