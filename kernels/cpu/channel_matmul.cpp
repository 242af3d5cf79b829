// A matrix on the channels of every pixel: threads over runs of neighbouring pixels, or over groups of neighbouring
// images for the sum over the batch. A run is copied to rows of whole vectors first, in the type of the sums; so the
// result may take the place of the input.
#include "kernels/channel_matmul.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/channel_products.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kRun = 64;  // pixels in hand at once: their rows stay in the first-level cache

/// Rows of `stride` numbers with those of (pixels, c) at their beginning. The padding is 0.
template <class T, class Z>
void to_rows(T* rows, const Z* from, std::size_t pixels, std::size_t c, std::size_t stride) {
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t k = 0; k < c; ++k) rows[p * stride + k] = T(from[p * c + k]);
    std::fill_n(rows + p * stride + c, stride - c, T(0));
  }
}

/// out[p][o] (+)= sum over i of matrix[o * row_step + i * column_step] * in[p][i].
template <class Z, class M>
void multiply(Grad<Z> out, const Z* in, const M* matrix, std::size_t row_step, std::size_t column_step,
              MapShape shape) {
  using T = std::common_type_t<Z, M>;
  const std::size_t c = shape.c, pixels = shape.n * shape.pixels(), stride = cpu::padded_channels(shape.c);
  cpu::ScratchVector<T> columns(c * stride);
  for (std::size_t i = 0; i < c; ++i) {
    for (std::size_t o = 0; o < c; ++o) columns[i * stride + o] = T(matrix[o * row_step + i * column_step]);
  }
  const std::size_t runs = (pixels + kRun - 1) / kRun;
#pragma omp parallel for schedule(static) if (worth_threads(shape.size() * c / 4))
  for (std::size_t run = 0; run < runs; ++run) {
    static thread_local cpu::BasicScratch<T> scratch;
    T* const from = scratch.reserve(2 * kRun * stride);
    T* const to = from + kRun * stride;
    const std::size_t first = run * kRun, count = std::min(kRun, pixels - first);
    to_rows(from, in + first * c, count, c, stride);
    cpu::multiply_channels(to, from, columns.data(), count, shape.c);
    for (std::size_t p = 0; p < count; ++p) {
      for (std::size_t k = 0; k < c; ++k) out.write((first + p) * c + k, Z(to[p * stride + k]));
    }
  }
}

/// dmatrix[o][i] (+)= sum over the batch of dz_out[p][o] * z[p][i]: runs in Z, all else in double.
template <class Z>
void add_products(Grad<float> dmatrix, const Z* dz_out, const Z* z, MapShape shape) {
  const std::size_t c = shape.c, pixels = shape.pixels(), stride = cpu::padded_channels(shape.c);
  const int groups = cpu::image_groups(shape.n);
  cpu::ScratchVector<double> partials(groups * c * stride);
#pragma omp parallel for schedule(static) if (groups > 1)
  for (int group = 0; group < groups; ++group) {
    static thread_local cpu::BasicScratch<Z> scratch;
    Z* const a = scratch.reserve(2 * kRun * stride);
    Z* const b = a + kRun * stride;
    const std::size_t begin = cpu::group_begin(shape.n, group) * pixels;
    const std::size_t end = cpu::group_begin(shape.n, group + 1) * pixels;
    for (std::size_t first = begin; first < end; first += kRun) {
      const std::size_t count = std::min(kRun, end - first);
      to_rows(a, dz_out + first * c, count, c, stride);
      to_rows(b, z + first * c, count, c, stride);
      cpu::add_channel_products(partials.data() + group * c * stride, a, b, count, shape.c);
    }
  }
  for (std::size_t o = 0; o < c; ++o) {
    for (std::size_t i = 0; i < c; ++i) {
      double sum = 0;
      for (int group = 0; group < groups; ++group) sum += partials[(group * c + o) * stride + i];
      dmatrix.write(o * c + i, float(sum));
    }
  }
}

}  // namespace

template <class Z, class M>
void channel_matmul_forward(Z* z_out, const Z* z, const M* matrix, MapShape shape, Cpu) {
  multiply(Grad<Z>{z_out}, z, matrix, shape.c, 1, shape);
}

template <class Z>
void channel_matmul_backward(Grad<Z> dz, Grad<float> dmatrix, const Z* dz_out, const Z* z, const float* matrix,
                             MapShape shape, Cpu) {
  if (dmatrix) add_products(dmatrix, dz_out, z, shape);  // first: dz may take the place of dz_out
  if (dz) multiply(dz, dz_out, matrix, 1, shape.c, shape);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                    \
  template void channel_matmul_forward(Z*, const Z*, const float*, MapShape, Cpu);  \
  template void channel_matmul_forward(Z*, const Z*, const double*, MapShape, Cpu); \
  template void channel_matmul_backward(Grad<Z>, Grad<float>, const Z*, const Z*, const float*, MapShape, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
