#include "kernels/cpu/bf16/image.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16/image.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::bf16::HWY_NAMESPACE {
using namespace cpu::HWY_NAMESPACE;  // vectors, and hn for Highway's own

/// to_bf16 of the first `count` lanes.
template <bool kWhole>
HWY_INLINE void store_rounded(Bf16* to, Vector v, Index count) {
  const hn::RebindToUnsigned<Floats> d32;
  const hn::Rebind<Bf16, Floats> d16;
  const auto bits = hn::BitCast(d32, v), upper = hn::ShiftRight<16>(bits);
  const auto carry = hn::Add(hn::And(upper, hn::Set(d32, 1)), hn::Set(d32, 0x7fff));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, carry)), quiet = hn::Or(upper, hn::Set(d32, 0x40));
  const auto is_nan = hn::RebindMask(d32, hn::Ne(v, v));
  const auto result = hn::TruncateTo(d16, hn::IfThenElse(is_nan, quiet, rounded));
  if (kWhole || count >= kLanes) return hn::StoreU(result, d16, to);
  HWY_ALIGN Bf16 lanes[kLanes];
  hn::Store(result, d16, lanes);
  std::copy_n(lanes, count, to);
}

template <bool kWhole>
void round_loop(Bf16* HWY_RESTRICT out, const float* HWY_RESTRICT x, std::size_t pixels, int c, int channels) {
  for (std::size_t p = 0; p < pixels; ++p, out += channels, x += c) {
    for (int k = 0; k < c; k += kLanes) store_rounded<kWhole>(out + k, load_first<kWhole>(x + k, c - k), c - k);
    std::fill(out + c, out + channels, Bf16(0));
  }
}

/// x has c channels and `out` the rounded concat(elu(x), elu(-x)).
template <bool kWhole>
void round_elu_loop(Bf16* HWY_RESTRICT out, const float* HWY_RESTRICT x, std::size_t pixels, int c, int channels) {
  for (std::size_t p = 0; p < pixels; ++p, out += channels, x += c) {
    for (int k = 0; k < c; k += kLanes) {
      const EluPair pair = elu_pair(load_first<kWhole>(x + k, c - k));
      store_rounded<kWhole>(out + k, pair.positive, c - k);
      store_rounded<kWhole>(out + c + k, pair.negative, c - k);
    }
    std::fill(out + 2 * c, out + channels, Bf16(0));
  }
}

void round_pixels_impl(Bf16* out, const float* x, std::size_t pixels, int c, int channels, bool concat_elu) {
  if (concat_elu) {
    (c % kLanes == 0 ? &round_elu_loop<true> : &round_elu_loop<false>)(out, x, pixels, c, channels);
  } else {
    (c % kLanes == 0 ? &round_loop<true> : &round_loop<false>)(out, x, pixels, c, channels);
  }
}

/// kSide pixels by kSide channels, transposed.
inline constexpr int kSide = 8;
#if HWY_TARGET == HWY_SCALAR
void transpose(Bf16* out, std::ptrdiff_t plane, const Bf16* in, std::ptrdiff_t channels) {
  for (int p = 0; p < kSide; ++p) {
    for (int k = 0; k < kSide; ++k) out[k * plane + p] = in[p * channels + k];
  }
}
#else
HWY_INLINE void transpose(Bf16* HWY_RESTRICT out, std::ptrdiff_t plane, const Bf16* HWY_RESTRICT in,
                          std::ptrdiff_t channels) {
  const hn::Full128<std::uint16_t> d16;
  const hn::Full128<std::uint32_t> d32;
  const hn::Full128<std::uint64_t> d64;
  // Pairs of pixels, four channels to a vector; then four pixels of two channels; then eight of one.
  hn::Vec<decltype(d32)> pairs[2][4];
  for (int i = 0; i < 4; ++i) {
    const auto even = hn::LoadU(d16, in + 2 * i * channels), odd = hn::LoadU(d16, in + (2 * i + 1) * channels);
    pairs[0][i] = hn::BitCast(d32, hn::InterleaveLower(d16, even, odd));
    pairs[1][i] = hn::BitCast(d32, hn::InterleaveUpper(d16, even, odd));
  }
  for (int half = 0; half < 2; ++half) {
    hn::Vec<decltype(d64)> fours[2][2];
    for (int i = 0; i < 2; ++i) {
      fours[0][i] = hn::BitCast(d64, hn::InterleaveLower(d32, pairs[half][2 * i], pairs[half][2 * i + 1]));
      fours[1][i] = hn::BitCast(d64, hn::InterleaveUpper(d32, pairs[half][2 * i], pairs[half][2 * i + 1]));
    }
    for (int i = 0; i < 2; ++i) {
      Bf16* const to = out + (4 * half + 2 * i) * plane;
      hn::StoreU(hn::BitCast(d16, hn::InterleaveLower(d64, fours[i][0], fours[i][1])), d16, to);
      hn::StoreU(hn::BitCast(d16, hn::InterleaveUpper(d64, fours[i][0], fours[i][1])), d16, to + plane);
    }
  }
}
#endif

void to_planes_impl(Bf16* out, const Bf16* image, int pixels, int plane, int channels) {
  for (int k = 0; k < channels; k += kSide) {
    for (int p = 0; p < pixels; p += kSide) {
      transpose(out + std::ptrdiff_t(k) * plane + p, plane, image + std::ptrdiff_t(p) * channels + k, channels);
    }
  }
}

// Plain loops, of which the compiler makes vectors.

void pair_impl(Bf16* HWY_RESTRICT out, const Bf16* HWY_RESTRICT image, int pairs, int channels) {
  for (int q = 0; q < pairs; ++q, out += 2 * channels, image += 2 * channels) {
    for (int k = 0; k < channels; ++k) {
      out[2 * k] = image[k];
      out[2 * k + 1] = image[channels + k];
    }
  }
}

void add_pixels_impl(float* HWY_RESTRICT sums, const float* HWY_RESTRICT x, std::size_t pixels, int c) {
  for (std::size_t p = 0; p < pixels; ++p, x += c) {
    for (int k = 0; k < c; ++k) sums[k] += x[k];
  }
}

}  // namespace flowsmith::core::cpu::bf16::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu::bf16 {

void pad_image(Bf16* out, const float* x, const Layout& layout, bool concat_elu) {
  const auto round_pixels = FLOWSMITH_DISPATCH(round_pixels_impl);
  const int channels = layout.channels(), x_channels = concat_elu ? layout.c / 2 : layout.c;
  const std::size_t row = std::size_t(layout.row()) * channels, side = std::size_t(layout.border) * channels;
  const auto zero = [&](Bf16* to, std::size_t size) { std::memset(to, 0, size * sizeof(Bf16)); };
  zero(out, layout.border * row);
  for (int y = 0; y < layout.h; ++y) {
    Bf16* const to = out + (layout.border + y) * row;
    zero(to, side);
    round_pixels(to + side, x + std::size_t(y) * layout.w * x_channels, layout.w, x_channels, channels, concat_elu);
    zero(to + row - side, side);
  }
  // The last step of a window ends less than kTile channels behind it; to_planes takes up to 7 pixels more.
  zero(out + (layout.border + layout.h) * row, layout.border * row + std::size_t(kTile / 2) * channels);
}

void to_planes(Bf16* out, const Bf16* image, const Layout& layout) {
  const int pixels = round_up(layout.pixels(), kTile / 2), plane = layout.plane(), channels = layout.channels();
  FLOWSMITH_DISPATCH(to_planes_impl)(out, image, layout.pixels(), plane, channels);
  for (int k = 0; k < channels; ++k) std::fill(out + k * plane + pixels, out + (k + 1) * plane, Bf16(0));
}

void to_pairs(Bf16* out, const Bf16* image, const Layout& layout) {
  const int channels = layout.channels(), run = layout.run(), whole = run / 2;
  const Bf16* const from = image + std::size_t(layout.first()) * channels;
  FLOWSMITH_DISPATCH(pair_impl)(out, from, whole, channels);
  Bf16* to = out + std::size_t(whole) * 2 * channels;
  if (run % 2 != 0) {  // what follows the last pixel is none of the run
    for (int k = 0; k < channels; ++k) {
      *to++ = from[std::size_t(run - 1) * channels + k];
      *to++ = 0;
    }
  }
  std::fill(to, out + layout.pairs_size(), Bf16(0));
}

void add_pixels(float* sums, const float* x, std::size_t pixels, int c) {
  FLOWSMITH_DISPATCH(add_pixels_impl)(sums, x, pixels, c);
}

}  // namespace flowsmith::core::cpu::bf16
#endif
