// Where tensors live and kernels run.
#pragma once

#include <string>
#include <string_view>

#include "kernels/types.h"

namespace flowsmith {

enum class Device {
  kCpu,        ///< threaded, vectorised host kernels; networks in float
  kReference,  ///< plain host loops, float and double: the oracle, and what gradient checks run on
  kCuda,       ///< a GPU: one per process; networks in float
  kEmulated,   ///< the GPU kernels on the host, for tests: slow and strict
};

/// Whether host code may read and write the device's memory through pointers.
constexpr bool is_host(Device device) { return device == Device::kCpu || device == Device::kReference; }

/// "cpu", "reference", "cuda" or "emulated".
std::string device_name(Device device);

/// Reads "auto", "cpu", "reference", "emulated", "cuda" or "cuda:N", and makes the GPU that is named the one in use.
/// "auto" takes the first GPU if there is one that this build can use, otherwise the host; `unused_gpu` then says in
/// one line why a GPU that is there is not used. Throws Error on anything else, in a build without CUDA, and where
/// there is no such GPU.
Device select_device(std::string_view text, std::string* unused_gpu = nullptr);

/// One line for people: "cpu, 2 threads", "cpu, 2 threads, networks in bf16 by AMX" or "GPU 0, NVIDIA H100 80GB HBM3,
/// 79 of 80 GiB free".
std::string describe_device(Device device);

/// The stream tag of Device::kCpu: Cpu{} unless set_cpu_stream was called.
Cpu cpu_stream();
/// What Device::kCpu computes with from now on. Throws Error in one line for a precision that this machine has no
/// instructions for.
void set_cpu_stream(Cpu stream);

/// Threads that the kernels of Device::kCpu use from now on; 0 means one per core. Returns the number.
int set_thread_count(int threads);
/// Threads that they use now.
int thread_count();

}  // namespace flowsmith
