// Neighbours in memory that one thread moves by one instruction.
#pragma once

#include "kernels/cuda/gpu.h"

namespace flowsmith::core::cuda {

/// W neighbours of type T. A GPU moves up to 16 bytes at once.
template <class T, int W>
struct alignas(W * sizeof(T) < 16 ? W * sizeof(T) : 16) Vector {
  T v[W];

  __device__ T& operator[](int i) { return v[i]; }
  __device__ const T& operator[](int i) const { return v[i]; }
};

template <class T, int W>
FLOWSMITH_HD bool is_aligned(const T* at) {
  return reinterpret_cast<std::uintptr_t>(at) % alignof(Vector<T, W>) == 0;
}

/// The W elements at `from`, which must be aligned as Vector is.
template <int W, class T>
__device__ Vector<T, W> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T, W>*>(from);
}

template <int W, class T>
__device__ void store_vector(T* to, const Vector<T, W>& values) {
  *reinterpret_cast<Vector<T, W>*>(to) = values;
}

/// Grad::write for W elements; grad.data must be there and aligned.
template <int W, class T>
__device__ void write_vector(Grad<T> grad, std::size_t at, Vector<T, W> values) {
  if (grad.mode == GradMode::kAccumulate) {
    const Vector<T, W> before = load_vector<W>(grad.data + at);
    for (int i = 0; i < W; ++i) values[i] = before[i] + values[i];
  }
  store_vector(grad.data + at, values);
}

/// Four neighbours of a row: what Philox makes at once, and 16 bytes of float.
template <class T>
using Four = Vector<T, 4>;

/// Elements first ... first+3 of a row of `size`; 0 for those behind its end. Any alignment.
template <class T>
__device__ Four<T> load_four(const T* row, std::size_t first, std::size_t size) {
  if (first + 4 <= size && is_aligned<T, 4>(row + first)) return load_vector<4>(row + first);
  Four<T> four;
  for (int i = 0; i < 4; ++i) four[i] = first + i < size ? row[first + i] : T(0);
  return four;
}

/// Writes elements first ... first+3 of a row of `size`; those behind its end are left out.
template <class T>
__device__ void store_four(T* row, std::size_t first, std::size_t size, const Four<T>& values) {
  if (first + 4 <= size && is_aligned<T, 4>(row + first)) {
    store_vector(row + first, values);
    return;
  }
  for (int i = 0; i < 4 && first + i < size; ++i) row[first + i] = values[i];
}

/// The same into a gradient whose row begins at grad.data.
template <class T>
__device__ void write_four(Grad<T> grad, std::size_t first, std::size_t size, Four<T> values) {
  if (grad.mode == GradMode::kAccumulate) {
    const Four<T> before = load_four(grad.data, first, size);
    for (int i = 0; i < 4; ++i) values[i] = before[i] + values[i];
  }
  store_four(grad.data, first, size, values);
}

}  // namespace flowsmith::core::cuda
