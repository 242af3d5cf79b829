// Networks in bf16 on every machine.
#pragma once

#include "engine/device.h"

namespace flowsmith::core {

/// The host, with networks in bf16 by the plain loops that model AMX.
inline constexpr Device kBf16Model{.precision = NetPrecision::kBf16, .tile_model = true};

}  // namespace flowsmith::core
