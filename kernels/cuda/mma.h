// The tensor cores of one warp: products of small matrices, and the loads and stores that feed them, each with its
// emulation. PTX ISA, "Matrix multiply-accumulate operation using mma instruction" and "ldmatrix", has the layouts.
//
// With g = lane / 4 and t = lane % 4, and a word = one TF32 number or two neighbouring bfloat16 numbers:
//   d[0..3]  rows g, g, g+8, g+8      columns 2t, 2t+1, 2t, 2t+1
//   a[0..3]  rows g, g+8, g, g+8      words t, t, t+4, t+4 of the row
//   b[0..1]  words t, t+4 of          column g
// A bfloat16 word has the smaller index in its low half.
#pragma once

#include <cstdint>

#include "kernels/cuda/gpu.h"

namespace flowsmith::core::cuda {

__device__ inline int lane_index() { return int(threadIdx.x) % 32; }
__device__ inline int warp_index() { return int(threadIdx.x) / 32; }

#if defined(__CUDACC__)

/// sum += a * b, rounded once. Everywhere else a product and a sum are two operations, as on the host.
__device__ inline void add_product(float& sum, float a, float b) { sum = fmaf(a, b, sum); }

/// a with 10 bits of mantissa, rounded to nearest, ties away from zero.
__device__ inline std::uint32_t to_tf32(float a) {
  std::uint32_t word;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(a));
  return word;
}

/// Two bfloat16 numbers in a word, rounded to nearest, ties to even.
__device__ inline std::uint32_t to_bf16(float low, float high) {
  std::uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}

/// d += a * b: 16x8 times 8x8, TF32.
__device__ inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d += a * b: 16x16 times 16x8, bfloat16.
__device__ inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four 8x8 matrices of 16 bits from shared memory: lane l names row l % 8 of matrix l / 8, 16 bytes, aligned. The lane
/// gets columns 2t and 2t+1 of row g of matrix i in out[i].
__device__ inline void load_matrices(std::uint32_t (&out)[4], const std::uint32_t* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

/// The same, transposed: the lane gets rows 2t and 2t+1 of column g.
__device__ inline void load_matrices_transposed(std::uint32_t (&out)[4], const std::uint32_t* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

/// Two matrices, transposed; lanes 0..15 name their rows, and what the others pass is not read.
__device__ inline void load_matrices_transposed(std::uint32_t (&out)[2], const std::uint32_t* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(out[0]), "=r"(out[1])
               : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

/// Two and four neighbours to shared memory by one instruction, which nvcc does not always make of them by itself;
/// aligned to 8 and 16 bytes.
__device__ inline void store_shared(std::uint32_t* to, std::uint32_t a, std::uint32_t b) {
  asm volatile("st.shared.v2.u32 [%0], {%1,%2};" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
               "r"(a), "r"(b)
               : "memory");
}
__device__ inline void store_shared(std::uint32_t* to, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                    std::uint32_t d) {
  asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
               "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}

#else

/// Rounded twice here: without the instruction a fused product is a slow call of the library.
inline void add_product(float& sum, float a, float b) { sum += a * b; }

namespace mma_emulation {

inline bool is_nan(std::uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

inline std::uint32_t bf16_bits(float a) {
  const std::uint32_t bits = __float_as_uint(a);
  return is_nan(bits) ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

struct Fragments {
  float d[4];
  std::uint32_t a[4], b[2];
};

/// Number k of a fragment's words, of which each holds kPerWord.
template <int kPerWord>
float number(std::uint32_t word, int k) {
  if (kPerWord == 1) return __uint_as_float(word & 0xffffe000u);
  return __uint_as_float(k == 0 ? word << 16 : word & 0xffff0000u);
}

template <int kPerWord>
void multiply(const void* const* in, void* const* out, unsigned) {
  constexpr int kDepth = 8 * kPerWord;
  float a[16][kDepth], b[kDepth][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(in[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int k = 0; k < kPerWord; ++k) {
      for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][(t + i / 2 * 4) * kPerWord + k] = number<kPerWord>(f.a[i], k);
      for (int i = 0; i < 2; ++i) b[(t + i * 4) * kPerWord + k][g] = number<kPerWord>(f.b[i], k);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(in[lane]);
    float* d = static_cast<float*>(out[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = f.d[i];
      for (int k = 0; k < kDepth; ++k) sum += a[row][k] * b[k][column];
      d[i] = sum;
    }
  }
}

template <int kPerWord>
void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const Fragments in{{d[0], d[1], d[2], d[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  emulator::collective(~0u, &in, d, multiply<kPerWord>, {__FILE__, __LINE__});
}

/// Each lane brings the row it names, so that a wrong address is its own.
struct MatrixRow {
  std::uint32_t words[4];
};

template <int kCount, bool kTransposed>
void exchange_rows(const void* const* in, void* const* out, unsigned) {
  const auto element = [in](int matrix, int row, int column) {
    const std::uint32_t word = static_cast<const MatrixRow*>(in[matrix * 8 + row])->words[column / 2];
    return column % 2 == 0 ? word & 0xffffu : word >> 16;
  };
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < kCount; ++i) {
      static_cast<std::uint32_t*>(out[lane])[i] = kTransposed ? element(i, 2 * t, g) | element(i, 2 * t + 1, g) << 16
                                                              : element(i, g, 2 * t) | element(i, g, 2 * t + 1) << 16;
    }
  }
}

template <int kCount, bool kTransposed>
void load(std::uint32_t (&result)[kCount], const std::uint32_t* row) {
  MatrixRow in{};
  if (lane_index() < 8 * kCount) {
    const uint4 words = *reinterpret_cast<const uint4*>(row);
    in = {{words.x, words.y, words.z, words.w}};
  }
  emulator::collective(~0u, &in, result, exchange_rows<kCount, kTransposed>, {__FILE__, __LINE__});
}

}  // namespace mma_emulation

inline std::uint32_t to_tf32(float a) {
  const std::uint32_t bits = __float_as_uint(a);
  return mma_emulation::is_nan(bits) ? 0x7fffffffu : (bits + 0x1000u) & 0xffffe000u;
}
inline std::uint32_t to_bf16(float low, float high) {
  return mma_emulation::bf16_bits(low) | mma_emulation::bf16_bits(high) << 16;
}
inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  mma_emulation::mma<1>(d, a, b);
}
inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  mma_emulation::mma<2>(d, a, b);
}
inline void load_matrices(std::uint32_t (&out)[4], const std::uint32_t* row) {
  mma_emulation::load<4, false>(out, row);
}
inline void load_matrices_transposed(std::uint32_t (&out)[4], const std::uint32_t* row) {
  mma_emulation::load<4, true>(out, row);
}
inline void load_matrices_transposed(std::uint32_t (&out)[2], const std::uint32_t* row) {
  mma_emulation::load<2, true>(out, row);
}

inline void store_shared(std::uint32_t* to, std::uint32_t a, std::uint32_t b) {
  *reinterpret_cast<uint2*>(to) = make_uint2(a, b);
}
inline void store_shared(std::uint32_t* to, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  *reinterpret_cast<uint4*>(to) = make_uint4(a, b, c, d);
}

#endif

}  // namespace flowsmith::core::cuda
