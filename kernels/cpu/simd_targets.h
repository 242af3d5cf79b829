// The targets that the SIMD kernels are compiled for; include it before any Highway header. On x86: AVX-512, AVX2,
// SSE4 and a portable fallback; NEON, VSX and WASM elsewhere. The best one that the machine supports is chosen at run
// time.
#pragma once

// The register tiles are arrays of vectors, which types of unknown size (SVE, RVV) do not allow; SVE machines run
// the NEON code. SSSE3 adds nothing that an SSE4 machine lacks, AVX3_DL nothing that float arithmetic needs.
#define HWY_DISABLED_TARGETS (HWY_SVE2_128 | HWY_SVE_256 | HWY_SVE2 | HWY_SVE | HWY_RVV | HWY_SSSE3 | HWY_AVX3_DL)
