// A kernel launch: what FLOWSMITH_LAUNCH becomes.
#pragma once

#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>

#include "kernels/cuda/emulator/vector_types.h"
#include "kernels/types.h"

namespace flowsmith::core::emulator {

using namespace cuda_names;

/// A launch with copies of its arguments, which can be run more than once.
struct KernelCall {
  const char* name;
  const char* file;
  int line;
  dim3 grid, block;
  std::size_t shared_bytes;
  std::shared_ptr<const void> arguments;
  std::size_t arguments_bytes;
  void (*invoke)(const void* arguments);  ///< one thread
};

/// Checks the configuration; then runs the kernel, or records it if the stream is being captured.
void enqueue(const KernelCall& call, void* stream);

}  // namespace flowsmith::core::emulator

namespace flowsmith::core::gpu_detail {

/// Throws GpuError in one line: what, the kernel, block and thread, its place.
template <class... P, class... A>
void launch(void (*kernel)(P...), const char* name, const char* file, int line, cuda_names::dim3 grid,
            cuda_names::dim3 block, std::size_t shared_bytes, Emulated gpu, A&&... args) {
  struct Arguments {
    void (*kernel)(P...);
    std::tuple<P...> values;
  };
  const Arguments arguments{kernel, {static_cast<P>(std::forward<A>(args))...}};
  emulator::enqueue(
      {name, file, line, grid, block, shared_bytes, std::make_shared<const Arguments>(arguments), sizeof(Arguments),
       [](const void* call) {
         const auto& [f, values] = *static_cast<const Arguments*>(call);
         std::apply(f, values);
       }},
      gpu.stream);
}

}  // namespace flowsmith::core::gpu_detail
