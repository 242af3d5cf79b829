// What a flow takes: 8-bit images, vectors of numbers, or feature maps of numbers.
#pragma once

#include <span>

#include "models/component.h"

namespace flowsmith::core {

std::span<const ComponentType> data_types();

}  // namespace flowsmith::core
