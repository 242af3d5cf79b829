// Inverse and log|det| of a small matrix on the GPU, in double: Gauss-Jordan elimination with row pivots, in place.
//
//   A = W^-1, l = log|det W|, dW += dl * W^-T: kernels/matrix_inverse.h
//
// Memory plan: one block, because each of the c steps needs the whole result of the last. Up to 64 channels the matrix
// lies in shared memory, beyond that in the workspace, that is in the L2 cache. In step k the first warp finds the
// pivot, all threads swap its row up, keep column k aside, and take multiples of row k off the others. Row swaps of W
// are column swaps of W^-1, done in reverse order at the end: as one gather while the result is written.
//
// Floor: c^3 multiply-adds in double on one multiprocessor, and c steps of 5 barriers and a division, each of which
// waits for the last. Up to some 48 channels the waiting rules, beyond that the arithmetic. It is done once per layer
// and step, whatever the batch.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/matrix_inverse.h"

namespace flowsmith::core {
namespace {

constexpr int kMostInShared = 64;

/// Where the elimination works: matrix (c,c), the column of a step (c), the row that was the pivot of each step (c).
struct Elimination {
  double* matrix;
  double* column;
  int* pivots;
  int c;
};

/// The row of the largest element of column k among rows k ... c-1, the first of equal ones; row k if none is a number
/// above 0. For all lanes of one warp.
__device__ int find_pivot(const Elimination& work, int k) {
  double largest = 0;
  int row = k;
  for (int i = k + int(threadIdx.x); i < work.c; i += cuda::kWarpThreads) {
    const double size = std::abs(work.matrix[std::size_t(i) * work.c + k]);
    if (size > largest) {
      largest = size;
      row = i;
    }
  }
  for (int distance = cuda::kWarpThreads / 2; distance > 0; distance /= 2) {
    const double other = __shfl_xor_sync(0xffffffffu, largest, distance);
    const int other_row = __shfl_xor_sync(0xffffffffu, row, distance);
    if (other > largest || (other == largest && other_row < row)) {
      largest = other;
      row = other_row;
    }
  }
  return row;
}

/// One step of the elimination by the whole block; returns the pivot.
__device__ double eliminate_column(const Elimination& work, int k) {
  const int c = work.c, thread = int(threadIdx.x), threads = int(blockDim.x);
  double* const row_k = work.matrix + std::size_t(k) * c;
  if (thread < cuda::kWarpThreads) {
    const int row = find_pivot(work, k);
    if (thread == 0) work.pivots[k] = row;
  }
  __syncthreads();
  double* const pivot_row = work.matrix + std::size_t(work.pivots[k]) * c;
  for (int j = thread; j < c && pivot_row != row_k; j += threads) {
    const double kept = row_k[j];
    row_k[j] = pivot_row[j];
    pivot_row[j] = kept;
  }
  __syncthreads();
  const double pivot = row_k[k];
  for (int i = thread; i < c; i += threads) {
    work.column[i] = work.matrix[std::size_t(i) * c + k];
  }
  __syncthreads();
  for (int j = thread; j < c; j += threads) row_k[j] = (j == k ? 1 : row_k[j]) / pivot;
  __syncthreads();
  for (std::size_t e = thread; e < std::size_t(c) * c; e += threads) {
    const int i = int(e / unsigned(c)), j = int(e % unsigned(c));
    if (i != k) work.matrix[e] = (j == k ? 0 : work.matrix[e]) - work.column[i] * row_k[j];
  }
  __syncthreads();
  return pivot;
}

/// `large` is memory for a matrix that does not fit shared memory. Either result may be null.
__global__ void matrix_inverse_kernel(double* inverse, double* log_abs_det, const float* matrix, double* large, int c) {
  FLOWSMITH_DYNAMIC_SHARED(double, shared);
  Elimination work;
  work.c = c;
  work.column = shared;
  work.matrix = large != nullptr ? large : shared + c;
  work.pivots = reinterpret_cast<int*>(large != nullptr ? shared + c : shared + c + c * c);
  const std::size_t elements = std::size_t(c) * c;
  for (std::size_t e = threadIdx.x; e < elements; e += blockDim.x) work.matrix[e] = matrix[e];
  __syncthreads();
  double sum = 0;
  for (int k = 0; k < c; ++k) sum += std::log(std::abs(eliminate_column(work, k)));
  if (threadIdx.x == 0 && log_abs_det != nullptr) *log_abs_det = sum;
  if (inverse == nullptr) return;  // the whole block
  // Column j of the inverse is the column that lies at j once all swaps are undone, the last first.
  int* const pivots = work.pivots;
  int* const source = reinterpret_cast<int*>(work.column);
  if (threadIdx.x == 0) {
    for (int j = 0; j < c; ++j) source[j] = j;
    for (int k = c - 1; k >= 0; --k) {
      const int kept = source[k];
      source[k] = source[pivots[k]];
      source[pivots[k]] = kept;
    }
  }
  __syncthreads();
  for (std::size_t e = threadIdx.x; e < elements; e += blockDim.x) {
    const unsigned j = unsigned(e % unsigned(c));
    inverse[e] = work.matrix[e - j + source[j]];
  }
}

__global__ void log_abs_det_backward_kernel(Grad<float> dmatrix, const double* dlog_abs_det, const double* inverse,
                                            int c) {
  const std::size_t e = cuda::flat_item(), i = e / unsigned(c), j = e % unsigned(c);
  if (e < std::size_t(c) * c) dmatrix.write(e, float(*dlog_abs_det * inverse[j * c + i]));
}

}  // namespace

template <Gpu G>
void matrix_inverse(double* inverse, double* log_abs_det, const float* matrix, int c, G gpu) {
  const std::size_t bytes = std::size_t(c) * c * sizeof(double), rest = c * (sizeof(double) + sizeof(int));
  const bool in_shared = c <= kMostInShared;
  double* const large = in_shared ? nullptr : static_cast<double*>(gpu.workspace->reserve(bytes));
  FLOWSMITH_LAUNCH(matrix_inverse_kernel, 1, cuda::kBlockThreads, rest + (in_shared ? bytes : 0), gpu, inverse,
                   log_abs_det, matrix, large, c);
}

template <Gpu G>
void log_abs_det_backward(Grad<float> dmatrix, const double* dlog_abs_det, const double* inverse, int c, G gpu) {
  if (!dmatrix) return;
  FLOWSMITH_LAUNCH(log_abs_det_backward_kernel, cuda::flat_grid(std::size_t(c) * c), cuda::kBlockThreads, 0, gpu,
                   dmatrix, dlog_abs_det, inverse, c);
}

template void matrix_inverse(double*, double*, const float*, int, ThisGpu);
template void log_abs_det_backward(Grad<float>, const double*, const double*, int, ThisGpu);

}  // namespace flowsmith::core
