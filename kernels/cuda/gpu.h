// The only header through which a .cu file sees CUDA. nvcc gets the toolkit; any other compiler gets the emulator,
// which runs the same source on the host (kernels/cuda/emulator/README.md).
//
// Conventions that the emulator asks for:
//   - kernels are launched by FLOWSMITH_LAUNCH and never by <<< >>>;
//   - shared memory is declared by the two macros below;
//   - no thread returns before a barrier that its block still has to pass: put the work into `if (inside)`;
//   - inline PTX lives in small wrappers (mma.h) with an emulation beside each.
#pragma once

#include <string>

#include "kernels/error.h"
#include "kernels/types.h"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#include <utility>

/// T name extents in static shared memory: FLOWSMITH_SHARED(float, tile, [8][33]);
#define FLOWSMITH_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
/// T* name at the start of the dynamic shared memory, aligned to 16.
#define FLOWSMITH_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char flowsmith_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(flowsmith_dynamic_shared)

namespace flowsmith::core {

/// The tag that this compilation of kernels/cuda/ serves.
using ThisGpu = Cuda;

[[noreturn]] inline void throw_gpu_error(cudaError_t error, const char* expression, const char* file, int line);

namespace gpu_detail {

template <class... P, class... A>
void launch(void (*kernel)(P...), const char* name, const char* file, int line, dim3 grid, dim3 block,
            std::size_t shared_bytes, Cuda gpu, A&&... args) {
  // A block gets 48 KiB without asking, static shared memory included, of which no kernel has more than 16 KiB.
  constexpr std::size_t kWithoutAsking = 32 * 1024;
  cudaError_t error = cudaSuccess;
  if (shared_bytes > kWithoutAsking) {
    error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 int(shared_bytes));
  }
  if (error == cudaSuccess) {
    kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(gpu.stream)>>>(
        static_cast<P>(std::forward<A>(args))...);
    error = cudaGetLastError();
  }
  if (error != cudaSuccess) throw_gpu_error(error, name, file, line);
}

}  // namespace gpu_detail
}  // namespace flowsmith::core

#else

#include "kernels/cuda/emulator/cuda_names.h"

namespace flowsmith::core {

using ThisGpu = Emulated;

}  // namespace flowsmith::core

#endif

namespace flowsmith::core {

[[noreturn]] inline void throw_gpu_error(cudaError_t error, const char* expression, const char* file, int line) {
  cudaGetLastError();  // otherwise the next launch would be blamed for this error
  throw GpuError(std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ") in " + expression +
                 " at " + file + ":" + std::to_string(line));
}

}  // namespace flowsmith::core

/// FLOWSMITH_LAUNCH(kernel, grid, block, shared_bytes, gpu, args...): gpu is the stream tag; a template with commas
/// goes into parentheses: FLOWSMITH_LAUNCH((norm_kernel<float, 4>), ...). Throws GpuError if the launch is refused.
#define FLOWSMITH_LAUNCH(kernel, grid, block, shared_bytes, gpu, ...)                                        \
  ::flowsmith::core::gpu_detail::launch(kernel, #kernel, __FILE__, __LINE__, grid, block, shared_bytes, gpu, \
                                        __VA_ARGS__)

/// Throws GpuError with the expression and its place unless the call returns cudaSuccess.
#define FLOWSMITH_CUDA_CHECK(expression)                                                    \
  do {                                                                                      \
    const cudaError_t flowsmith_error = (expression);                                       \
    if (flowsmith_error != cudaSuccess)                                                     \
      ::flowsmith::core::throw_gpu_error(flowsmith_error, #expression, __FILE__, __LINE__); \
  } while (false)
