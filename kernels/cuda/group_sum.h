// Sums over the groups into which a reduction over a batch was cut: partials[group][i] added in an order that only the
// number of groups decides.
#pragma once

#include <cstddef>

#include "kernels/types.h"

namespace flowsmith::core::cuda {

/// `first` gets the sums of the first_size leading elements, `second` those of the second_size that follow; partials is
/// (groups, first_size + second_size). What nobody asked for is not read. No groups: the sums are 0.
template <Gpu G>
void add_groups(Grad<float> first, std::size_t first_size, Grad<float> second, std::size_t second_size,
                const float* partials, std::size_t groups, G gpu);

}  // namespace flowsmith::core::cuda
