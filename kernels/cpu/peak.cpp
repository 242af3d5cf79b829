// The measured ceiling: enough independent multiply-adds to hide their latency, and no memory in between.
#include "kernels/cpu/peak.h"

#include <chrono>

#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/peak.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

/// Two units with a latency of four cycles (five on some machines) need 8 to 10 sums; the rest is margin. Both numbers
/// leave registers for the two constants: of 32 and of 16.
inline constexpr int kSums = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 24 : 12;
inline constexpr int kRounds = 4096;  ///< tens of microseconds: a look at the clock between them costs nothing

/// Runs kRounds * kSums vector multiply-adds and returns how many float operations that was. Start and result pass
/// through `value`, so that no compiler can leave the work out.
double multiply_add_impl(float& value) {
  const Floats d;
  const Vector half = hn::Set(d, 0.5f);
  Vector sum[kSums];
#pragma GCC unroll 24
  for (int k = 0; k < kSums; ++k) sum[k] = hn::Set(d, value + float(k));
  for (int round = 0; round < kRounds; ++round) {
    // x / 2 + 1/2 tends to 1: never a denormal number, which would be slow.
#pragma GCC unroll 24
    for (int k = 0; k < kSums; ++k) sum[k] = hn::MulAdd(sum[k], half, half);
  }
  Vector total = hn::Zero(d);
#pragma GCC unroll 24
  for (int k = 0; k < kSums; ++k) total = hn::Add(total, sum[k]);
  value = hn::GetLane(hn::SumOfLanes(d, total)) / float(kSums * kLanes);
  return 2.0 * kRounds * kSums * kLanes;
}

std::string target_name_impl() { return hwy::TargetName(HWY_TARGET); }

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

std::string simd_target() { return FLOWSMITH_DISPATCH(target_name_impl)(); }

double measure_fma_peak(double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  double operations = 0;
#pragma omp parallel reduction(+ : operations)
  {
    float value = 1;
    do operations += FLOWSMITH_DISPATCH(multiply_add_impl)(value);
    while (elapsed() < seconds);
  }
  return operations / elapsed();
}

}  // namespace flowsmith::core::cpu
#endif
