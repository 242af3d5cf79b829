// Weight normalisation: blocks of output channels over threads, whose sums pass over the rows in order.
#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/weight_norm_math.h"

namespace flowsmith::core {
namespace {

constexpr int kBlock = 32;

/// Calls body(first, count) for blocks of output channels.
template <class Body>
void for_each_block(WeightNormShape shape, const Body& body) {
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int first = 0; first < shape.out; first += kBlock) body(first, std::min(kBlock, shape.out - first));
}

/// sums[o] += sum over the rows of a * b, for `count` output channels; a and b begin at the first of them.
void add_column_dots(double* sums, const float* a, const float* b, WeightNormShape shape, int count) {
  for (std::size_t k = 0; k < shape.rows; ++k, a += shape.out, b += shape.out) {
    for (int o = 0; o < count; ++o) sums[o] += double(a[o]) * b[o];
  }
}

}  // namespace

void weight_norm_forward(float* w, const float* v, const float* g, WeightNormShape shape, Cpu) {
  for_each_block(shape, [=](int first, int count) {
    double squares[kBlock] = {}, scale[kBlock];
    add_column_dots(squares, v + first, v + first, shape, count);
    for (int o = 0; o < count; ++o) scale[o] = g[first + o] * inverse_weight_norm(squares[o]);
    for (std::size_t i = first; i < shape.size(); i += shape.out) {
      for (int o = 0; o < count; ++o) w[i + o] = float(scale[o] * v[i + o]);
    }
  });
}

void weight_norm_backward(Grad<float> dv, Grad<float> dg, const float* dw, const float* v, const float* g,
                          WeightNormShape shape, Cpu) {
  if (!dv && !dg) return;
  for_each_block(shape, [=](int first, int count) {
    double squares[kBlock] = {}, products[kBlock] = {};
    add_column_dots(squares, v + first, v + first, shape, count);
    add_column_dots(products, dw + first, v + first, shape, count);
    WeightNormGradient d[kBlock];
    for (int o = 0; o < count; ++o) {
      d[o] = weight_norm_gradient(squares[o], products[o], g[first + o]);
      if (dg) dg.write(first + o, float(d[o].dg));
    }
    for (std::size_t i = first; dv && i < shape.size(); i += shape.out) {
      for (int o = 0; o < count; ++o) dv.write(i + o, float(d[o].of_dw * dw[i + o] - d[o].of_v * v[i + o]));
    }
  });
}

}  // namespace flowsmith::core
