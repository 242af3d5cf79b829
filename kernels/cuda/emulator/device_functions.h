// What device code calls: barriers, warp collectives, shared memory, intrinsics. Warp collectives are strict: all
// lanes of the mask must arrive, at the same line and with the same mask, and none of them may have returned.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cuda/emulator/vector_types.h"

/// A function on which the race build spends no time.
#define FLOWSMITH_UNCHECKED __attribute__((no_sanitize("thread")))

namespace flowsmith::core::emulator {

using namespace cuda_names;

struct Place {
  const char* file;
  int line;
};

void barrier(Place place);
/// Runs f(in, out, mask) once all lanes of the mask have come; in[lane] and out[lane] are what the lanes passed.
/// Mark f with FLOWSMITH_UNCHECKED: it touches nothing that the race build has to see.
using CollectiveFunction = void (*)(const void* const* in, void* const* out, unsigned mask);
void collective(unsigned mask, const void* in, void* out, CollectiveFunction f, Place place);
void sync_warp(unsigned mask, Place place);
/// The bits of the mask's lanes that passed true.
unsigned ballot(unsigned mask, bool predicate, Place place);
enum class Shuffle { kIndex, kUp, kDown, kXor };
void shuffle(Shuffle kind, unsigned mask, const void* value, void* result, std::size_t bytes, int argument, int width,
             Place place);
/// For the emulation of an instruction: ends the kernel with an error.
[[noreturn]] void fail(const char* what);
void* shared_variable(const void* key, std::size_t bytes);
void* dynamic_shared();

template <class T>
T shuffled(Shuffle kind, unsigned mask, T value, int argument, int width, Place place) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "what CUDA can shuffle");
  T result;
  shuffle(kind, mask, &value, &result, sizeof(T), argument, width, place);
  return result;
}

}  // namespace flowsmith::core::emulator

namespace flowsmith::core::cuda_names {

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

#define FLOWSMITH_EMULATOR_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(FLOWSMITH_EMULATOR_PLACE) { emulator::barrier({file, line}); }
inline void __syncwarp(unsigned mask = ~0u, FLOWSMITH_EMULATOR_PLACE) { emulator::sync_warp(mask, {file, line}); }
inline unsigned __ballot_sync(unsigned mask, int predicate, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::ballot(mask, predicate != 0, {file, line});
}
inline int __any_sync(unsigned mask, int predicate, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::ballot(mask, predicate != 0, {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::ballot(mask, predicate != 0, {file, line}) == mask;
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::shuffled(emulator::Shuffle::kIndex, mask, value, lane, width, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::shuffled(emulator::Shuffle::kUp, mask, value, int(by), width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::shuffled(emulator::Shuffle::kDown, mask, value, int(by), width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int with, int width = warpSize, FLOWSMITH_EMULATOR_PLACE) {
  return emulator::shuffled(emulator::Shuffle::kXor, mask, value, with, width, {file, line});
}

template <class T>
T __ldg(const T* memory) {
  return *memory;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }

// The two-argument forms that CUDA declares for mixed types too.
using std::max;
using std::min;

}  // namespace flowsmith::core::cuda_names

// glibc declares these two names and has no such functions.
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }

/// T name extents in static shared memory. A reference to an array type: UBSan sees an overrun of an inner dimension.
#define FLOWSMITH_SHARED(T, name, ...)                                  \
  static constexpr char flowsmith_key_of_##name = 0;                    \
  using FlowsmithTypeOf_##name = T __VA_ARGS__;                         \
  FlowsmithTypeOf_##name& name = *static_cast<FlowsmithTypeOf_##name*>( \
      ::flowsmith::core::emulator::shared_variable(&flowsmith_key_of_##name, sizeof(FlowsmithTypeOf_##name)))
/// T* name at the start of the dynamic shared memory, aligned to 16.
#define FLOWSMITH_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::flowsmith::core::emulator::dynamic_shared())
