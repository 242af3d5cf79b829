// The activations of activation.h on vectors.
#include <type_traits>

#include "kernels/activation_math.h"
#include "kernels/cpu/vector_math-inl.h"

#if defined(FLOWSMITH_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWSMITH_CPU_ACTIVATION_INL_H_
#undef FLOWSMITH_CPU_ACTIVATION_INL_H_
#else
#define FLOWSMITH_CPU_ACTIVATION_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

template <Activation kActivation>
HWY_INLINE Vector activate(Vector x) {
  const Floats d;
  if constexpr (kActivation == Activation::kRelu) return at_least(x, 0.0f);
  if constexpr (kActivation == Activation::kElu) return elu_pair(x).positive;
  if constexpr (kActivation == Activation::kTanh) return tanh(x);
  if constexpr (kActivation == Activation::kLeakyRelu) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, hn::Set(d, float(kLeakySlope))));
  }
  return x;
}

/// act'(x) from y = act(x).
template <Activation kActivation>
HWY_INLINE Vector activation_derivative(Vector y) {
  const Floats d;
  const Vector one = hn::Set(d, 1.0f);
  if constexpr (kActivation == Activation::kRelu) return hn::IfThenElseZero(hn::Gt(y, hn::Zero(d)), one);
  if constexpr (kActivation == Activation::kElu) return elu_derivative(y);
  if constexpr (kActivation == Activation::kTanh) return hn::Mul(hn::Sub(one, y), hn::Add(one, y));
  if constexpr (kActivation == Activation::kLeakyRelu) {
    return hn::IfThenElse(hn::Gt(y, hn::Zero(d)), one, hn::Set(d, float(kLeakySlope)));
  }
  return one;
}

/// Calls run with the activation as a type, so that loops do not ask for it element by element.
template <class Run>
HWY_INLINE void with_activation(Activation activation, const Run& run) {
  switch (activation) {
    case Activation::kNone:
      return run(std::integral_constant<Activation, Activation::kNone>{});
    case Activation::kRelu:
      return run(std::integral_constant<Activation, Activation::kRelu>{});
    case Activation::kElu:
      return run(std::integral_constant<Activation, Activation::kElu>{});
    case Activation::kTanh:
      return run(std::integral_constant<Activation, Activation::kTanh>{});
    case Activation::kLeakyRelu:
      return run(std::integral_constant<Activation, Activation::kLeakyRelu>{});
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
