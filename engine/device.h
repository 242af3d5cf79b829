// Where tensors live and kernels run.
#pragma once

#include <string>
#include <string_view>

namespace flowsmith {

enum class Device {
  kCpu,        ///< threaded, vectorised host kernels; networks in float
  kReference,  ///< plain host loops, float and double: the oracle, and what gradient checks run on
};

/// "cpu" or "reference".
std::string device_name(Device device);

/// Reads "auto", "cpu" or "reference"; "auto" takes the fastest device of this machine. Throws Error on
/// anything else.
Device parse_device(std::string_view text);

/// Threads that the kernels of Device::kCpu use from now on; 0 means one per core. Returns the number.
int set_thread_count(int threads);

}  // namespace flowsmith
