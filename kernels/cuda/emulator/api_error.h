// The error that cudaGetLastError returns.
#pragma once

#include "kernels/cuda/emulator/runtime_api.h"

namespace flowsmith::emulator {

using namespace cuda_names;

/// Remembers the error, and returns it.
cudaError_t note(cudaError_t error);

}  // namespace flowsmith::emulator
