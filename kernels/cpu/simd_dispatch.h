// Which instruction sets the SIMD kernels are compiled for, and which of them runs; include it before any Highway
// header. On x86: AVX-512, AVX2, SSE4 and a portable fallback, and the best one that the machine supports is chosen at
// run time. Elsewhere, e.g. NEON, the compiler's flags choose.
//
// Highway has such a choice too, in its library. Debian has that as a shared library only, which programs that run
// anywhere cannot count on: Highway is headers here.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

// The register tiles are arrays of vectors, which types of unknown size (SVE, RVV) do not allow; SVE machines run
// the NEON code. SSSE3 adds nothing that an SSE4 machine lacks, what came after AVX-512 (AVX3) nothing that float
// arithmetic needs.
#define HWY_DISABLED_TARGETS (HWY_SVE2_128 | HWY_SVE_256 | HWY_SVE2 | HWY_SVE | HWY_RVV | HWY_SSSE3 | (HWY_AVX3 - 1))
// Its debugging checks call its library.
#define HWY_IS_DEBUG_BUILD 0
#include <hwy/detect_targets.h>

namespace flowsmith::core::cpu {

/// The instruction sets that the kernels are compiled for and this machine supports, the best one first; named as
/// Highway names them: HWY_AVX3, HWY_AVX2, HWY_SSE4, and last HWY_STATIC_TARGET.
std::vector<std::int64_t> simd_targets();

/// The one in use.
std::int64_t chosen_simd_target();

/// For tests: from now on all threads use `target`, one of simd_targets().
void choose_simd_target(std::int64_t target);

template <class Function>
Function* choose_function(std::type_identity_t<Function>* avx3, std::type_identity_t<Function>* avx2,
                          std::type_identity_t<Function>* sse4, Function* baseline) {
  switch (chosen_simd_target()) {
    case HWY_AVX3:
      return avx3;
    case HWY_AVX2:
      return avx2;
    case HWY_SSE4:
      return sse4;
    default:
      return baseline;
  }
}

}  // namespace flowsmith::core::cpu

/// The version of `impl` for the instruction set in use. For code in flowsmith::core::cpu, where `impl` is in
/// HWY_NAMESPACE, behind `#if HWY_ONCE`. Some nanoseconds: for calls that do the work of a row of an image or more.
#define FLOWSMITH_DISPATCH(impl)                                                                                 \
  (*::flowsmith::core::cpu::choose_function(HWY_CHOOSE_AVX3(impl), HWY_CHOOSE_AVX2(impl), HWY_CHOOSE_SSE4(impl), \
                                            &HWY_STATIC_DISPATCH(impl)))
