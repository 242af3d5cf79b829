// The CUDA names that a .cu file of this project may use, for a compiler that is not nvcc. They live in a namespace of
// their own, so that a program can hold the emulator and the real runtime.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)

#include "kernels/cuda/emulator/device_functions.h"
#include "kernels/cuda/emulator/emulator.h"
#include "kernels/cuda/emulator/launch.h"
#include "kernels/cuda/emulator/runtime_api.h"
#include "kernels/cuda/emulator/vector_types.h"

using namespace flowsmith::core::cuda_names;
