#include "kernels/cuda/emulator/launch.h"

#include <set>
#include <string>

#include "kernels/cuda/emulator/api_error.h"
#include "kernels/cuda/emulator/emulator.h"
#include "kernels/cuda/emulator/error.h"
#include "kernels/cuda/emulator/scheduler.h"
#include "kernels/cuda/emulator/shared_memory.h"
#include "kernels/cuda/emulator/stream.h"

namespace flowsmith::core::emulator {

namespace {

std::set<std::string>& names() {
  static auto& all = *new std::set<std::string>;
  return all;
}

/// "(cuda::norm_kernel<float, 4>)" is norm_kernel.
std::string plain_name(std::string name) {
  if (name.front() == '(') name = name.substr(1);
  name = name.substr(0, name.find_first_of("<) "));
  const std::size_t scope = name.rfind("::");
  return scope == std::string::npos ? name : name.substr(scope + 2);
}

/// Empty: the launch is fine.
std::string objection(const KernelCall& call) {
  const dim3 grid = call.grid, block = call.block;
  const auto extents = [](dim3 e) {
    return "(" + std::to_string(e.x) + "," + std::to_string(e.y) + "," + std::to_string(e.z) + ")";
  };
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
    return "a grid of " + extents(grid) + " blocks, where 1 to (2147483647,65535,65535) are possible";
  }
  if (block.x == 0 || block.y == 0 || block.z == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 ||
      block.x * block.y * block.z > 1024) {
    return "a block of " + extents(block) + " threads, where 1 to (1024,1024,64) and 1024 in all are possible";
  }
  if (call.shared_bytes > kSharedBytes) {
    return std::to_string(call.shared_bytes) + " bytes of shared memory, where " + std::to_string(kSharedBytes) +
           " are possible";
  }
  return "";
}

}  // namespace

const std::set<std::string>& launched_kernels() { return names(); }

void enqueue(const KernelCall& call, void* stream) {
  if (const std::string why = objection(call); !why.empty()) {
    throw_error("invalid launch: " + why + ", in " + call.name + ", launched at " + call.file + ":" +
                std::to_string(call.line));
  }
  if (!machine().runs_kernels) {
    const cudaError_t error = cudaErrorNoKernelImageForDevice;
    throw_error(std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ") in " + call.name + " at " +
                call.file + ":" + std::to_string(call.line));
  }
  stream_of(static_cast<cudaStream_t>(stream)).put([call](Stream&) {
    const std::string name = plain_name(call.name);
    if (fails_now(name)) return;
    names().insert(name);
    run_kernel(call);
  });
}

}  // namespace flowsmith::core::emulator
