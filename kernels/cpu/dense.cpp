// The fully connected layer: three matrix products. Floor: 2 n in out FLOPs forward, twice that backward.
#include "kernels/dense.h"

#include <omp.h>

#include "kernels/cpu/matrix_product.h"
#include "kernels/cpu/pixel_rows.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith::core {
namespace {

/// A thread's share of dbias[o] (+)= sum over i of dpre[i][o], each in the order of the rows.
void sum_rows(Grad<float> dbias, const float* dpre, DenseShape shape, int thread, int threads) {
  constexpr int kBlock = 64;
  const int blocks = (shape.out + kBlock - 1) / kBlock;
  for (int block = blocks * thread / threads; block < blocks * (thread + 1) / threads; ++block) {
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
  const cpu::MatrixProduct product({y}, {x, shape.in, true}, {weight, shape.out, false}, {shape.n, shape.out, shape.in},
                                   bias, activation);
  static thread_local cpu::Scratch memory;
  float* const packed = memory.reserve(product.packed_size());
#pragma omp parallel if (cpu::worth_threads_for(product.multiply_adds()))
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    product.pack(packed, thread, threads);
#pragma omp barrier
    product.compute(packed, thread, threads);
  }
}

void dense_backward(Grad<float> dx, Grad<float> dweight, Grad<float> dbias, const float* dy, const float* y,
                    const float* x, const float* weight, Activation activation, DenseShape shape, Cpu) {
  if (!dx && !dweight && !dbias) return;
  const bool activated = activation != Activation::kNone;
  static thread_local cpu::Scratch memory, packed_memory;
  float* const product_of_derivative = activated ? memory.reserve(shape.y_size()) : nullptr;
  const float* const dpre = activated ? product_of_derivative : dy;

  const cpu::MatrixProduct of_x(dx, {dpre, shape.out, true}, {weight, shape.out, true}, {shape.n, shape.in, shape.out});
  const cpu::MatrixProduct of_weight(dweight, {x, shape.in, false}, {dpre, shape.out, false},
                                     {shape.in, shape.out, shape.n});
  const std::size_t x_size = dx ? of_x.packed_size() : 0, weight_size = dweight ? of_weight.packed_size() : 0;
  float* const packed_x = packed_memory.reserve(x_size + weight_size);
  float* const packed_weight = packed_x + x_size;
  const double work = (dx ? of_x.multiply_adds() : 0) + (dweight ? of_weight.multiply_adds() : 0);

#pragma omp parallel if (cpu::worth_threads_for(work))
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    if (activated) {
      // The rows that this thread packs: nobody has to wait for them.
      const auto [row, count] = of_x.rows_of(thread, threads);
      const std::size_t first = std::size_t(row) * shape.out;
      cpu::activation_gradient_run({product_of_derivative + first}, dy + first, y + first,
                                   std::size_t(count) * shape.out, activation);
    }
    if (dx) of_x.pack(packed_x, thread, threads);
    if (dweight) of_weight.pack(packed_weight, thread, threads);
#pragma omp barrier
    if (dx) of_x.compute(packed_x, thread, threads);
    if (dweight) of_weight.compute(packed_weight, thread, threads);
    if (dbias) sum_rows(dbias, dpre, shape, thread, threads);
  }
}

}  // namespace flowsmith::core
