// The fully connected layer: three matrix products. Floor: 2 n in out FLOPs forward, twice that backward.
#include "kernels/dense.h"

#include "kernels/cpu/matrix_product.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith {
namespace {

/// dbias[o] (+)= sum over i of dpre[i][o], in the order of the rows, a block of neighbours at a time.
void sum_rows(Grad<float> dbias, const float* dpre, DenseShape shape) {
  constexpr int kBlock = 64;
  const int blocks = (shape.out + kBlock - 1) / kBlock;
#pragma omp parallel for schedule(static) if (worth_threads(shape.y_size()))
  for (int block = 0; block < blocks; ++block) {
    const int first = block * kBlock, count = std::min(kBlock, shape.out - first);
    float sums[kBlock] = {};
    for (int i = 0; i < shape.n; ++i) {
      const float* const row = dpre + std::size_t(i) * shape.out + first;
      for (int o = 0; o < count; ++o) sums[o] += row[o];
    }
    for (int o = 0; o < count; ++o) dbias.write(first + o, sums[o]);
  }
}

}  // namespace

void dense_forward(float* y, const float* x, const float* weight, const float* bias, Activation activation,
                   DenseShape shape, Cpu) {
  cpu::matrix_product({y}, {x, shape.in, true}, {weight, shape.out, false}, {shape.n, shape.out, shape.in}, bias,
                      activation);
}

void dense_backward(Grad<float> dx, Grad<float> dweight, Grad<float> dbias, const float* dy, const float* y,
                    const float* x, const float* weight, Activation activation, DenseShape shape, Cpu stream) {
  if (!dx && !dweight && !dbias) return;
  const float* dpre = dy;
  if (activation != Activation::kNone) {
    static thread_local cpu::Scratch memory;
    float* const to = memory.reserve(shape.y_size());
    activation_backward({to}, dy, y, activation, shape.y_size(), stream);
    dpre = to;
  }
  if (dx) {
    cpu::matrix_product(dx, {dpre, shape.out, true}, {weight, shape.out, true}, {shape.n, shape.in, shape.out});
  }
  if (dweight) {
    cpu::matrix_product(dweight, {x, shape.in, false}, {dpre, shape.out, false}, {shape.in, shape.out, shape.n});
  }
  if (dbias) sum_rows(dbias, dpre, shape);
}

}  // namespace flowsmith
