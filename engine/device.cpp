#include "engine/device.h"

#include <omp.h>

#include "engine/error.h"

namespace flowsmith {

std::string device_name(Device device) { return device == Device::kCpu ? "cpu" : "reference"; }

Device parse_device(std::string_view text) {
  if (text == "auto" || text == "cpu") return Device::kCpu;
  if (text == "reference") return Device::kReference;
  throw Error("unknown device '" + std::string(text) + "': choose auto, cpu or reference");
}

int set_thread_count(int threads) {
  if (threads < 0 || threads > 4096) {
    throw Error("cannot run " + std::to_string(threads) + " threads: choose 1 to 4096, or 0 for one per core");
  }
  omp_set_num_threads(threads > 0 ? threads : omp_get_num_procs());
  return omp_get_max_threads();
}

}  // namespace flowsmith
