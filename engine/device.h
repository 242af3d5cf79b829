// Where tensors live and kernels run, and how they compute.
#pragma once

#include <string>
#include <string_view>

#include "kernels/types.h"

namespace flowsmith::core {

enum class DeviceKind {
  kCpu,        ///< threaded, vectorised host kernels; networks in float
  kReference,  ///< plain host loops, float and double: the oracle, and what gradient checks run on
  kCuda,       ///< a GPU: one per process; networks in float
  kEmulated,   ///< the GPU kernels on the host, for tests: slow and strict
};

/// What a flow, a tape or an arena is given and keeps: two flows of one process may differ in all of it. What all work
/// on a GPU shares is the GPU itself, its stream and its scratch memory (engine/gpu_context.h).
///
/// There is no operator==: whether `device == Device::kCpu` asks for the kind alone would be anybody's guess.
struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int threads = 0;  ///< kCpu: of each kernel; 0: as OpenMP has it, one per core unless OMP_NUM_THREADS says otherwise
  NetPrecision precision = NetPrecision::kFp32;  ///< of the networks' products; not on kReference
  bool tile_model = false;                       ///< kCpu: as Cpu::tile_model
  ConvAlgorithm conv = ConvAlgorithm::kFused;    ///< on a GPU
  bool graphs = true;                            ///< on a GPU: repeated work becomes a graph (engine/replay.h)

  static const Device kCpu, kReference, kCuda, kEmulated;  ///< each kind with the settings above
};
inline constexpr Device Device::kCpu{DeviceKind::kCpu};
inline constexpr Device Device::kReference{DeviceKind::kReference};
inline constexpr Device Device::kCuda{DeviceKind::kCuda};
inline constexpr Device Device::kEmulated{DeviceKind::kEmulated};

/// Whether host code may read and write the device's memory through pointers.
constexpr bool is_host(Device device) {
  return device.kind == DeviceKind::kCpu || device.kind == DeviceKind::kReference;
}

/// "cpu", "reference", "cuda" or "emulated".
std::string device_name(Device device);

/// Reads "auto", "cpu", "reference", "emulated", "cuda" or "cuda:N", and makes the GPU that is named the one in use.
/// "auto" takes the first GPU if there is one that this build can use, otherwise the host; `unused_gpu` then says in
/// one line why a GPU that is there is not used. Throws GpuError where there is no such GPU and in a build without
/// CUDA, Error on anything else.
Device select_device(std::string_view text, std::string* unused_gpu = nullptr);

/// Reads "fp32", "tf32" or "bf16". Throws Error on anything else.
NetPrecision parse_precision(std::string_view text);

/// Throws Error in one line if nothing can compute like this here: a number of threads that makes no sense, a precision
/// that the device or this processor does not have, convolutions by libraries on a host, in bf16, or (ConvLibraryError)
/// where the libraries cannot be loaded. What runs on a device does not look again.
void require_usable(Device device);

/// Whether this processor has instructions for networks in bf16: AMX or AVX512-BF16.
bool cpu_has_bf16();

/// Threads of each kernel of the host.
int thread_count(Device device);

/// One line for people: "cpu, 2 threads", "cpu, 2 threads, networks in bf16 by AMX" or "GPU 0, NVIDIA H100 80GB HBM3,
/// 79 of 80 GiB free".
std::string describe_device(Device device);

}  // namespace flowsmith::core
