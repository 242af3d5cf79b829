#include "engine/device.h"

#include <omp.h>

#include <charconv>

#include "engine/gpu_context.h"
#include "kernels/cpu/bf16/tiles.h"
#include "kernels/cuda/conv_libraries.h"
#include "kernels/error.h"

namespace flowsmith::core {
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
  throw GpuError("this build has no CUDA (GPU " + std::to_string(ordinal) +
                 " was asked for): build with -DFLOWSMITH_CUDA=ON");
}

/// The first GPU if it can be used; the host otherwise.
Device best_device(std::string* unused_gpu) {
  if constexpr (kHasCuda) {
    if (GpuRuntime<Cuda>::use_first_device(unused_gpu)) return Device::kCuda;
  }
  return Device::kCpu;
}

std::string precision_name(NetPrecision precision) {
  switch (precision) {
    case NetPrecision::kFp32:
      return "fp32";
    case NetPrecision::kTf32:
      return "tf32";
    case NetPrecision::kBf16:
      return "bf16";
  }
  throw Error("unknown precision of networks");
}

std::string describe_cpu(Device device) {
  const int threads = thread_count(device);
  return "cpu, " + std::to_string(threads) + (threads == 1 ? " thread" : " threads") +
         (device.precision == NetPrecision::kBf16
              ? ", networks in bf16 by " + std::string(cpu::bf16::tiles_of({device.precision, device.tile_model}).name)
              : "");
}

void require_conv_libraries(Device device) {
  if constexpr (kHasCuda) {
    if (device.kind == DeviceKind::kCuda) cuda::conv_libraries<Cuda>();
  }
  if constexpr (kHasEmulator) {
    if (device.kind == DeviceKind::kEmulated) cuda::conv_libraries<Emulated>();
  }
}

template <Gpu G>
std::string describe_gpu() {
  const GpuInfo info = GpuRuntime<G>::info();
  return info.name + ", " + std::to_string(info.free_memory >> 20) + " of " + std::to_string(info.memory >> 20) +
         " MiB free";
}

}  // namespace

std::string device_name(Device device) {
  switch (device.kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kReference:
      return "reference";
    case DeviceKind::kCuda:
      return "cuda";
    case DeviceKind::kEmulated:
      return "emulated";
  }
  throw Error("unknown device");
}

Device select_device(std::string_view text, std::string* unused_gpu) {
  if (text == "auto") return best_device(unused_gpu);
  if (text == "cpu") return Device::kCpu;
  if (text == "reference") return Device::kReference;
  if (text == "emulated") {
    if (!kHasEmulator) throw Error("this build has no emulator: choose auto, cpu, cuda, cuda:N or reference");
    return Device::kEmulated;
  }
  if (const int ordinal = gpu_ordinal(text); ordinal >= 0) return use_gpu(ordinal);
  throw Error("unknown device '" + std::string(text) + "': choose auto, cpu, cuda, cuda:N, reference or emulated");
}

NetPrecision parse_precision(std::string_view text) {
  for (const NetPrecision precision : {NetPrecision::kFp32, NetPrecision::kTf32, NetPrecision::kBf16}) {
    if (precision_name(precision) == text) return precision;
  }
  throw Error("unknown precision '" + std::string(text) + "': choose fp32, tf32 or bf16");
}

std::string describe_device(Device device) {
  switch (device.kind) {
    case DeviceKind::kCpu:
      return describe_cpu(device);
    case DeviceKind::kCuda:
      if constexpr (kHasCuda) return "cuda, " + describe_gpu<Cuda>();
      break;
    case DeviceKind::kReference:
    case DeviceKind::kEmulated:
      break;
  }
  return device_name(device);
}

void require_usable(Device device) {
  if (device.threads < 0 || device.threads > 4096) {
    throw Error("cannot run " + std::to_string(device.threads) + " threads: choose 1 to 4096, or 0 for one per core");
  }
  const bool fp32 = device.precision == NetPrecision::kFp32;
  if (device.kind == DeviceKind::kReference && !fp32) {
    throw Error("the reference device does not round networks to " + precision_name(device.precision) +
                ": it has them in fp32 and fp64");
  }
  if (device.kind == DeviceKind::kCpu && device.precision == NetPrecision::kTf32) {
    throw Error("networks in tf32 need a GPU: the cpu has them in fp32 and bf16");
  }
  if (device.kind == DeviceKind::kCpu && !fp32 && !device.tile_model && !cpu_has_bf16()) {
    throw Error("networks in bf16 need a CPU with AMX or AVX512-BF16, which this one has not: it has them in fp32");
  }
  if (device.conv == ConvAlgorithm::kFused) return;
  if (is_host(device)) {
    throw Error("convolutions by cuDNN need a GPU: device " + device_name(device) + " has kernels of its own");
  }
  if (device.precision == NetPrecision::kBf16) {
    throw ConvLibraryError("convolutions by cuDNN take networks in fp32 or tf32, not in bf16");
  }
  require_conv_libraries(device);
}

bool cpu_has_bf16() { return cpu::bf16::hardware_tiles() != nullptr; }

int thread_count(Device device) { return device.threads > 0 ? device.threads : omp_get_max_threads(); }

}  // namespace flowsmith::core
