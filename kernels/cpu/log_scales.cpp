#include "kernels/cpu/log_scales.h"

#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/log_scales.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

void tanh_scales_impl(float* h, float* e, const float* s_raw, const float* f, float sign, std::size_t count) {
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

void exp_scales_impl(float* e, const float* s, float sign, std::size_t count) {
  const Vector factor = hn::Set(Floats(), sign);
  for (std::size_t i = 0; i < count; i += kLanes) {
    const Index left = Index(count - i);
    store_first(exp_bounded(at_most(hn::Mul(factor, load_first(s + i, left)), kLargestExponent)), e + i, left);
  }
}

/// With u = exp(-|x|): sigmoid(|x|) = 1 / (1 + u) and sigmoid(-|x|) = u / (1 + u), each to its own last digits.
void sigmoid_scales_impl(float* s, float* ds, float* e, const float* s_raw, float shift, float sign,
                         std::size_t count) {
  const Floats d;
  const Vector one = hn::Set(d, 1.0f), two = hn::Set(d, 2.0f), half = hn::Set(d, 0.5f), ln2 = hn::Set(d, 0.693147181f);
  for (std::size_t i = 0; i < count; i += kLanes) {
    const Index left = Index(count - i);
    const Vector x = hn::Add(load_first(s_raw + i, left), hn::Set(d, shift));
    const Vector u = exp_bounded(hn::Neg(hn::Abs(x)));
    const Vector larger = reciprocal(hn::Add(one, u)), smaller = hn::Mul(u, larger);
    const auto below = hn::Lt(x, hn::Zero(d));
    const Vector value = hn::IfThenElse(below, smaller, larger);
    store_first(hn::Add(ln2, hn::Sub(hn::IfThenElse(below, x, hn::Zero(d)), log1p_of_fraction(u))), s + i, left);
    store_first(hn::IfThenElse(below, larger, smaller), ds + i, left);
    store_first(sign > 0 ? hn::Mul(two, value) : hn::Div(half, value), e + i, left);
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {

void tanh_scales(float* h, float* e, const float* s_raw, const float* f, float sign, std::size_t count) {
  FLOWSMITH_DISPATCH(tanh_scales_impl)(h, e, s_raw, f, sign, count);
}

void exp_scales(float* e, const float* s, float sign, std::size_t count) {
  FLOWSMITH_DISPATCH(exp_scales_impl)(e, s, sign, count);
}

void sigmoid_scales(float* s, float* ds, float* e, const float* s_raw, float shift, float sign, std::size_t count) {
  FLOWSMITH_DISPATCH(sigmoid_scales_impl)(s, ds, e, s_raw, shift, sign, count);
}

}  // namespace flowsmith::core::cpu
#endif
