// CUDA's short vectors, with its alignment: a misaligned float4 load is reported by UBSan here and faults on a GPU.
#pragma once

namespace flowsmith::core::cuda_names {

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define FLOWSMITH_EMULATOR_VECTORS(T, name, align2, align4)     \
  struct alignas(align2) name##2 {                              \
    T x, y;                                                     \
  };                                                            \
  struct alignas(align4) name##4 {                              \
    T x, y, z, w;                                               \
  };                                                            \
  constexpr name##2 make_##name##2(T x, T y) { return {x, y}; } \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

FLOWSMITH_EMULATOR_VECTORS(float, float, 8, 16)
FLOWSMITH_EMULATOR_VECTORS(double, double, 16, 16)
FLOWSMITH_EMULATOR_VECTORS(int, int, 8, 16)
FLOWSMITH_EMULATOR_VECTORS(unsigned, uint, 8, 16)
#undef FLOWSMITH_EMULATOR_VECTORS

}  // namespace flowsmith::core::cuda_names
