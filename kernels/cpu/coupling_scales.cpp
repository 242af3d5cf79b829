#include "kernels/cpu/coupling_scales.h"

#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/coupling_scales.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::cpu::HWY_NAMESPACE {

void coupling_scales_impl(float* h, float* e, const float* s_raw, const float* f, float sign, std::size_t count) {
  const Floats d;
  for (std::size_t i = 0; i < count; i += kLanes) {
    const Index left = Index(count - i);
    Vector bound = load_first(f + i, left);
    bound = hn::IfThenElse(hn::FirstN(d, count - i), bound, hn::Set(d, 1.0f));
    const Vector tangent = tanh(hn::Div(load_first(s_raw + i, left), bound));
    store_first(tangent, h + i, left);
    store_first(exp_bounded(hn::Mul(hn::Set(d, sign), hn::Mul(tangent, bound))), e + i, left);
  }
}

}  // namespace flowsmith::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::cpu {

void coupling_scales(float* h, float* e, const float* s_raw, const float* f, float sign, std::size_t count) {
  FLOWSMITH_DISPATCH(coupling_scales_impl)(h, e, s_raw, f, sign, count);
}

}  // namespace flowsmith::cpu
#endif
