// Vectors of floats, and the exponential functions of the flows on them.
//
// e^x: x = n*ln2 + r with |r| <= ln2/2, so e^x = 2^n * (1 + q(r)), q(r) = e^r - 1 as r + r^2*p(r). The
// degree-4 polynomial p is a minimax fit of the relative error of q (1.4e-8). Then e^x - 1 = 2^n*q + (2^n - 1) keeps
// its digits near 0, where n = 0.
//
// Not a number stays not a number: comparisons send it to the branch that computes with it, and at_least() and
// at_most() choose operations that keep it.
#include <hwy/highway.h>

#include <cstddef>
#include <cstring>

#include "kernels/types.h"

#if defined(FLOWSMITH_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWSMITH_CPU_VECTOR_MATH_INL_H_
#undef FLOWSMITH_CPU_VECTOR_MATH_INL_H_
#else
#define FLOWSMITH_CPU_VECTOR_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
using Index = std::ptrdiff_t;
inline constexpr int kLanes = int(hn::MaxLanes(Floats()));

/// The first `count` <= kLanes floats at `from`, then zeros; nothing behind them is touched. kWhole promises that
/// `count` is kLanes: loops over channels are compiled twice, and the usual one has no partial vectors.
template <bool kWhole = false>
HWY_INLINE Vector load_first(const float* from, Index count) {
  const Floats d;
  if (kWhole || count >= kLanes) return hn::LoadU(d, from);
  HWY_ALIGN float lanes[kLanes] = {};
  std::memcpy(lanes, from, std::size_t(count) * sizeof(float));
  return hn::Load(d, lanes);
}

/// Writes the first `count` lanes and nothing behind them.
template <bool kWhole = false>
HWY_INLINE void store_first(Vector v, float* to, Index count) {
  const Floats d;
  if (kWhole || count >= kLanes) return hn::StoreU(v, d, to);
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, d, lanes);
  std::memcpy(to, lanes, std::size_t(count) * sizeof(float));
}

/// dst (+)= value in the first `count` lanes.
template <bool kWhole = false>
HWY_INLINE void write_first(float* dst, GradMode mode, Vector value, Index count) {
  if (mode == GradMode::kAccumulate) value = hn::Add(load_first<kWhole>(dst, count), value);
  store_first<kWhole>(value, dst, count);
}

/// v in the first `count` lanes, zero in the others.
template <bool kWhole = false>
HWY_INLINE Vector keep_first(Vector v, Index count) {
  if (kWhole || count >= kLanes) return v;
  return hn::IfThenElseZero(hn::FirstN(Floats(), std::size_t(count)), v);
}

/// Min and Max of x86 give their second argument if either is not a number.
inline constexpr bool kBoundsKeepNan = HWY_TARGET <= HWY_SSSE3;

/// x, but not below `low` and not above `high`; not a number stays that.
HWY_INLINE Vector at_least(Vector x, float low) {
  const Vector bound = hn::Set(Floats(), low);
  return kBoundsKeepNan ? hn::Max(bound, x) : hn::IfThenElse(hn::Lt(x, bound), bound, x);
}
HWY_INLINE Vector at_most(Vector x, float high) {
  const Vector bound = hn::Set(Floats(), high);
  return kBoundsKeepNan ? hn::Min(bound, x) : hn::IfThenElse(hn::Gt(x, bound), bound, x);
}

/// e^x = scale * (1 + fraction).
struct Exponential {
  Vector scale, fraction;
};

/// For x <= 87. Below -87, where e^x leaves the normal floats, it stays at e^-87.
HWY_INLINE Exponential exponential(Vector x) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> bits;
  x = at_least(x, -87.0f);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits; the 127 makes it a float's exponent.
  const Vector magic = hn::Set(d, 12582912.0f + 127.0f);
  const Vector shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const Vector n = hn::Sub(shifted, magic);
  // ln 2 in two parts, the first one short enough that n times it is exact.
  Vector r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  // Estrin's order: half as many multiply-adds wait for one another as in Horner's.
  const Vector r2 = hn::Mul(r, r);
  const Vector low = hn::MulAdd(r, hn::Set(d, 1.666654235e-1f), hn::Set(d, 4.999999813e-1f));
  Vector high = hn::MulAdd(r, hn::Set(d, 8.366691566e-3f), hn::Set(d, 4.166720536e-2f));
  high = hn::MulAdd(r2, hn::Set(d, 1.388248894e-3f), high);
  const Vector scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(bits, shifted)));
  return {scale, hn::MulAdd(r2, hn::MulAdd(r2, high, low), r)};
}

HWY_INLINE Vector exp_bounded(Vector x) {
  const Exponential e = exponential(x);
  return hn::MulAdd(e.scale, e.fraction, e.scale);
}
HWY_INLINE Vector expm1_bounded(Vector x) {
  const Exponential e = exponential(x);
  return hn::MulAdd(e.scale, e.fraction, hn::Sub(e.scale, hn::Set(Floats(), 1.0f)));
}

struct EluPair {
  Vector positive, negative;  ///< elu(x) and elu(-x)
};
/// With e = exp(-|x|) - 1, of whichever of x and -x is below 0: e lies above that one and below the other.
HWY_INLINE EluPair elu_pair(Vector x) {
  const Vector e = expm1_bounded(hn::Or(x, hn::SignBit(Floats())));
  return {hn::Max(x, e), hn::Max(hn::Neg(x), e)};
}

/// elu'(x) from elu(x): 1 above 0, elu(x) + 1 below.
HWY_INLINE Vector elu_derivative(Vector elu) {
  const Vector one = hn::Set(Floats(), 1.0f);
  return hn::IfThenElse(hn::Gt(elu, hn::Zero(Floats())), one, hn::Add(elu, one));
}

/// positive * elu'(x) - negative * elu'(-x).
HWY_INLINE Vector elu_pair_gradient(Vector positive, Vector negative, EluPair elu) {
  return hn::NegMulAdd(negative, elu_derivative(elu.negative), hn::Mul(positive, elu_derivative(elu.positive)));
}

/// 1 / x for x in [1, 1e38], several times faster than a division: the machine's estimate has 14 bits in AVX-512 and 8
/// or more elsewhere, and a Newton step doubles them.
HWY_INLINE Vector reciprocal(Vector x) {
  const Vector two = hn::Set(Floats(), 2.0f);
  Vector y = hn::ApproximateReciprocal(x);
  if (HWY_TARGET > HWY_AVX3) y = hn::Mul(y, hn::NegMulAdd(x, y, two));
  return hn::Mul(y, hn::NegMulAdd(x, y, two));
}

/// -(E / (2 + E)) with E = exp(-2|x|) - 1, and the sign of x: it keeps its digits near 0.
HWY_INLINE Vector tanh(Vector x) {
  const Floats d;
  const Vector e = expm1_bounded(hn::Mul(hn::Set(d, -2.0f), hn::Abs(x)));
  const Vector size = hn::Mul(hn::Neg(e), reciprocal(hn::Add(hn::Set(d, 2.0f), e)));
  return hn::Or(size, hn::And(x, hn::SignBit(d)));
}

/// log(1 + u) for u in [0, 1], to the last digits of u near 0: 2 atanh(q) with q = u / (2 + u) <= 1/3, whose Taylor
/// series is cut behind q^13 / 13, a relative error of (1/3)^14 / 15 = 1.4e-8.
HWY_INLINE Vector log1p_of_fraction(Vector u) {
  const Floats d;
  const Vector q = hn::Mul(u, reciprocal(hn::Add(hn::Set(d, 2.0f), u))), q2 = hn::Mul(q, q);
  Vector sum = hn::Set(d, 2.0f / 13);
  for (const float odd : {11.0f, 9.0f, 7.0f, 5.0f, 3.0f, 1.0f}) sum = hn::MulAdd(sum, q2, hn::Set(d, 2.0f / odd));
  return hn::Mul(q, sum);
}

struct Sigmoid {
  Vector value, complement;  ///< sigmoid(x) and 1 - sigmoid(x), each to its own last digits
};
/// 1 / (1 + e) and e / (1 + e), e = exp(-x).
HWY_INLINE Sigmoid sigmoid(Vector x) {
  const Vector e = exp_bounded(at_most(hn::Neg(x), 87.0f));
  const Vector value = reciprocal(hn::Add(hn::Set(Floats(), 1.0f), e));
  return {value, hn::Mul(e, value)};
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
