// cuDNN and cuBLAS, found when somebody asks for them.
#pragma once

#include "kernels/cuda/library_api.h"
#include "kernels/types.h"

namespace flowsmith::core::cuda {

struct ConvLibraries {
  Cudnn cudnn;
  Cublas cublas;
};

/// Loads libcudnn.so.9 and libcublas.so (.13 or .12): from the folders in FLOWSMITH_LIBRARY_PATH (separated by colons),
/// then from where the loader looks (LD_LIBRARY_PATH, the system's folders), then from the CUDA toolkit. The real ones
/// cannot work in the memory of the emulator, so for Emulated only FLOWSMITH_LIBRARY_PATH counts. Throws
/// ConvLibraryError in one line: what was looked for, where, and what to do.
template <Gpu G>
ConvLibraries open_conv_libraries();

/// The same, opened at the first call that succeeds.
template <Gpu G>
const ConvLibraries& conv_libraries();

}  // namespace flowsmith::core::cuda
