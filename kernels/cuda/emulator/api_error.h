// The error that cudaGetLastError returns.
#pragma once

#include <string>

#include "kernels/cuda/emulator/runtime_api.h"

namespace flowsmith::core::emulator {

using namespace cuda_names;

/// Remembers the error, and returns it.
cudaError_t note(cudaError_t error);

/// What a call returns before anything else: an error for good once a kernel has failed (break_kernel).
cudaError_t device_state();
/// Whether a kernel that is to run now must not: it is the one to fail, or one has failed.
bool fails_now(const std::string& kernel);

}  // namespace flowsmith::core::emulator
