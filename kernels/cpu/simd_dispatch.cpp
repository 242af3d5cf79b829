// Asks the processor, and through it the operating system, which instruction sets can be used.
#include "kernels/cpu/simd_dispatch.h"

#include <atomic>

namespace flowsmith::core::cpu {
namespace {

#if HWY_ARCH_X86
/// All that Highway lets the compiler use for `target`, but for what every processor with the rest of it has.
bool supported(std::int64_t target) {
  __builtin_cpu_init();  // for calls from constructors of globals
  const bool sse4 = __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2") &&
                    __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
  if (target == HWY_SSE4) return sse4;
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (target == HWY_AVX2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

std::atomic<std::int64_t>& chosen() {
  static std::atomic<std::int64_t> target{simd_targets().front()};
  return target;
}

}  // namespace

std::vector<std::int64_t> simd_targets() {
  std::vector<std::int64_t> targets;
#if HWY_ARCH_X86
  for (const std::int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SSE4}) {
    if (target != HWY_STATIC_TARGET && (HWY_TARGETS & target) != 0 && supported(target)) targets.push_back(target);
  }
#endif
  targets.push_back(HWY_STATIC_TARGET);
  return targets;
}

std::int64_t chosen_simd_target() { return chosen().load(std::memory_order_relaxed); }
void choose_simd_target(std::int64_t target) { chosen().store(target, std::memory_order_relaxed); }

}  // namespace flowsmith::core::cpu
