#include "engine/device.h"

#include <omp.h>

#include <charconv>

#include "engine/error.h"
#include "engine/gpu_context.h"
#include "kernels/cpu/bf16/tiles.h"

namespace flowsmith {
namespace {

/// The N of "cuda:N"; 0 for "cuda" alone, -1 if it is neither.
int gpu_ordinal(std::string_view text) {
  if (text == "cuda") return 0;
  if (!text.starts_with("cuda:")) return -1;
  text.remove_prefix(5);
  int ordinal = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ordinal);
  return error == std::errc{} && end == text.data() + text.size() ? ordinal : -1;
}

Device use_gpu(int ordinal) {
  if constexpr (kHasCuda) {
    GpuRuntime<Cuda>::use_device(ordinal);
    return Device::kCuda;
  }
  throw Error("this build has no CUDA (GPU " + std::to_string(ordinal) +
              " was asked for): build with -DFLOWSMITH_CUDA=ON, or choose --device cpu");
}

/// The first GPU if it can be used; the host otherwise.
Device best_device(std::string* unused_gpu) {
  if constexpr (kHasCuda) {
    if (GpuRuntime<Cuda>::use_first_device(unused_gpu)) return Device::kCuda;
  }
  return Device::kCpu;
}

Cpu& stream_in_use() {
  static Cpu stream;
  return stream;
}

std::string describe_cpu() {
  const int threads = omp_get_max_threads();
  const Cpu stream = cpu_stream();
  return "cpu, " + std::to_string(threads) + (threads == 1 ? " thread" : " threads") +
         (stream.precision == NetPrecision::kBf16
              ? ", networks in bf16 by " + std::string(cpu::bf16::tiles_of(stream).name)
              : "");
}

template <Gpu G>
std::string describe_gpu() {
  const GpuInfo info = GpuRuntime<G>::info();
  return info.name + ", " + std::to_string(info.free_memory >> 20) + " of " + std::to_string(info.memory >> 20) +
         " MiB free";
}

}  // namespace

std::string device_name(Device device) {
  switch (device) {
    case Device::kCpu:
      return "cpu";
    case Device::kReference:
      return "reference";
    case Device::kCuda:
      return "cuda";
    case Device::kEmulated:
      return "emulated";
  }
  throw Error("unknown device");
}

Device select_device(std::string_view text, std::string* unused_gpu) {
  if (text == "auto") return best_device(unused_gpu);
  if (text == "cpu") return Device::kCpu;
  if (text == "reference") return Device::kReference;
  if (text == "emulated") return Device::kEmulated;
  if (const int ordinal = gpu_ordinal(text); ordinal >= 0) return use_gpu(ordinal);
  throw Error("unknown device '" + std::string(text) + "': choose auto, cpu, cuda, cuda:N, reference or emulated");
}

std::string describe_device(Device device) {
  switch (device) {
    case Device::kCpu:
      return describe_cpu();
    case Device::kCuda:
      if constexpr (kHasCuda) return "cuda, " + describe_gpu<Cuda>();
      break;
    case Device::kReference:
    case Device::kEmulated:
      break;
  }
  return device_name(device);
}

Cpu cpu_stream() { return stream_in_use(); }

void set_cpu_stream(Cpu stream) {
  if (stream.precision == NetPrecision::kTf32) {
    throw Error("--nets tf32 needs a GPU: choose --nets fp32 or bf16 on device cpu");
  }
  if (stream.precision == NetPrecision::kBf16 && !stream.tile_model && cpu::bf16::hardware_tiles() == nullptr) {
    throw Error("--nets bf16 needs a CPU with AMX or AVX512-BF16, which this one has not: choose --nets fp32");
  }
  stream_in_use() = stream;
}

int set_thread_count(int threads) {
  if (threads < 0 || threads > 4096) {
    throw Error("cannot run " + std::to_string(threads) + " threads: choose 1 to 4096, or 0 for one per core");
  }
  omp_set_num_threads(threads > 0 ? threads : omp_get_num_procs());
  return thread_count();
}

int thread_count() { return omp_get_max_threads(); }

}  // namespace flowsmith
