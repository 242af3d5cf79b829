// Vectors of floats, and the exponential functions of the flows on them.
//
// e^x for x <= 0: x = n*ln2 + r with |r| <= ln2/2, so e^x = 2^n * (1 + q(r)), q(r) = e^r - 1 as r + r^2*p(r). The
// degree-4 polynomial p is a minimax fit of the relative error of q (1.4e-8). Then e^x - 1 = 2^n*q + (2^n - 1) keeps
// its digits near 0, where n = 0.
//
// Not a number stays not a number: comparisons send it to the branch that computes with it.
#include <cstddef>
#include <cstring>

#include <hwy/highway.h>

#if defined(FLOWSMITH_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWSMITH_CPU_VECTOR_MATH_INL_H_
#undef FLOWSMITH_CPU_VECTOR_MATH_INL_H_
#else
#define FLOWSMITH_CPU_VECTOR_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
using Index = std::ptrdiff_t;
inline constexpr int kLanes = int(hn::MaxLanes(Floats()));

/// The first `count` floats at `from`, then zeros; nothing behind them is touched.
HWY_INLINE Vector load_first(const float* from, Index count) {
  const Floats d;
  if (count >= kLanes) return hn::LoadU(d, from);
  HWY_ALIGN float lanes[kLanes] = {};
  std::memcpy(lanes, from, std::size_t(count) * sizeof(float));
  return hn::Load(d, lanes);
}

/// Writes the first `count` lanes and nothing behind them.
HWY_INLINE void store_first(Vector v, float* to, Index count) {
  const Floats d;
  if (count >= kLanes) return hn::StoreU(v, d, to);
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, d, lanes);
  std::memcpy(to, lanes, std::size_t(count) * sizeof(float));
}

/// v in the first `count` lanes, zero in the others.
HWY_INLINE Vector keep_first(Vector v, Index count) {
  if (count >= kLanes) return v;
  return hn::IfThenElseZero(hn::FirstN(Floats(), std::size_t(count)), v);
}

/// e^x = scale * (1 + fraction).
struct Exponential {
  Vector scale, fraction;
};

/// For x <= 0. Below -87, where e^x leaves the normal floats, it stays at e^-87.
HWY_INLINE Exponential exponential(Vector x) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Vector lowest = hn::Set(d, -87.0f);
  x = hn::IfThenElse(hn::Lt(x, lowest), lowest, x);
  const auto n = hn::NearestInt(hn::Mul(x, hn::Set(d, 1.44269504f)));
  const Vector nf = hn::ConvertTo(d, n);
  // ln 2 in two parts, the first one short enough that n times it is exact.
  Vector r = hn::NegMulAdd(nf, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(nf, hn::Set(d, -2.12194440e-4f), r);
  Vector p = hn::Set(d, 1.388248894e-3f);
  p = hn::MulAdd(p, r, hn::Set(d, 8.366691566e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.166720536e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.666654235e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.999999813e-1f));
  const Vector scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127))));
  return {scale, hn::MulAdd(hn::Mul(r, r), p, r)};
}

/// For x <= 0.
HWY_INLINE Vector exp_negative(Vector x) {
  const Exponential e = exponential(x);
  return hn::MulAdd(e.scale, e.fraction, e.scale);
}
HWY_INLINE Vector expm1_negative(Vector x) {
  const Exponential e = exponential(x);
  return hn::MulAdd(e.scale, e.fraction, hn::Sub(e.scale, hn::Set(Floats(), 1.0f)));
}

struct EluPair {
  Vector positive, negative;  ///< elu(x) and elu(-x)
};
HWY_INLINE EluPair elu_pair(Vector x) {
  const Vector zero = hn::Zero(Floats());
  const Vector e = expm1_negative(hn::Neg(hn::Abs(x)));  // of whichever of x and -x is below 0
  return {hn::IfThenElse(hn::Gt(x, zero), x, e), hn::IfThenElse(hn::Lt(x, zero), hn::Neg(x), e)};
}

/// positive * elu'(x) - negative * elu'(-x).
HWY_INLINE Vector elu_pair_gradient(Vector positive, Vector negative, Vector x) {
  const Vector zero = hn::Zero(Floats()), one = hn::Set(Floats(), 1.0f);
  const Vector e = exp_negative(hn::Neg(hn::Abs(x)));
  const Vector at_positive = hn::IfThenElse(hn::Gt(x, zero), one, e);
  const Vector at_negative = hn::IfThenElse(hn::Lt(x, zero), one, e);
  return hn::NegMulAdd(negative, at_negative, hn::Mul(positive, at_positive));
}

struct Sigmoid {
  Vector value, complement;  ///< sigmoid(x) and 1 - sigmoid(x) = sigmoid(-x), neither of them rounded to 0 by a 1 - 1
};
HWY_INLINE Sigmoid sigmoid(Vector x) {
  const Vector one = hn::Set(Floats(), 1.0f);
  const Vector e = exp_negative(hn::Neg(hn::Abs(x)));
  const Vector large = hn::Div(one, hn::Add(one, e));
  const Vector small = hn::Mul(e, large);
  const auto positive = hn::Gt(x, hn::Zero(Floats()));
  return {hn::IfThenElse(positive, large, small), hn::IfThenElse(positive, small, large)};
}

}  // namespace flowsmith::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
