// A matrix on the channels of every pixel, on the GPU.
//
//   z'[p, :] = W z[p, :], dz = W^T dz', dW = sum over the batch of dz'[p, :] z[p, :]^T: kernels/channel_matmul.h
//
// Memory plan: a block holds some whole pixels in shared memory (pixel_tiles.h), and up to 64 channels the matrix too,
// so that the inner loop reads no other; of more channels the matrix comes from the caches. Threads of one pixel have
// neighbouring outputs: they share the pixel's number by broadcast. All pixels of a block are read before one is
// written, so the result may take the place of the input.
// dW is cut into tiles of 16 x 16 and the pixels of the batch into slices, whose number depends on the shape alone: a
// block walks a slice for a tile, a thread sums one element of it, and group_sum.cu adds the slices.
//
// Floor: 2 PC f and 2 P C^2 FLOPs each for forward and dz; 2 PC f and as many FLOPs for dW, and its slices, which are
// small. 128 MNIST images, squeezed to 4 channels: 0.8 MB, 0.3 us at 3 TB/s: launches and latency rule.
#include <type_traits>

#include "kernels/channel_matmul.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/group_sum.h"
#include "kernels/cuda/pixel_tiles.h"

namespace flowsmith::core {
namespace {

constexpr int kMostInShared = 64;
/// Of dW; a block has a thread for each element.
constexpr int kTile = 16;
/// Pixels that a block of dW has in shared memory at once.
constexpr int kRun = 32;

template <class A, class B>
using Wider = std::common_type_t<A, B>;

std::size_t matrix_bytes(int c, std::size_t element) { return c <= kMostInShared ? c * (c + 1) * element : 0; }

/// out = matrix * in for every pixel, or with the transposed matrix.
template <bool kTransposed, class Z, class M>
__global__ void channel_matmul_kernel(Grad<Z> out, const Z* in, const M* matrix, cuda::PixelTiles plan) {
  FLOWSMITH_DYNAMIC_SHARED(double, shared);
  const int c = plan.c, elements = plan.elements();
  const std::size_t first = plan.first();
  Z* const pixels = reinterpret_cast<Z*>(shared);
  // Where element (o, i) of the matrix lies: o * row + i * column.
  const M* weights = matrix;
  int row = kTransposed ? 1 : c, column = kTransposed ? c : 1;
  if (c <= kMostInShared) {
    // Behind the pixels, [i][o]: threads read neighbours. Rows of c + 1 keep writes apart.
    M* const copy = reinterpret_cast<M*>(shared + plan.bytes / sizeof(double));
    for (int e = int(threadIdx.x); e < c * c; e += int(blockDim.x)) {
      const int y = e / c, x = e % c;
      copy[kTransposed ? y * (c + 1) + x : x * (c + 1) + y] = matrix[e];
    }
    weights = copy;
    row = 1;
    column = c + 1;
  }
  for (int e = int(threadIdx.x); e < elements; e += int(blockDim.x)) pixels[e] = in[first + e];
  __syncthreads();
  for (int e = int(threadIdx.x); e < elements; e += int(blockDim.x)) {
    const int o = e % c;
    const Z* const pixel = pixels + (e - o);
    Wider<Z, M> sum = 0;
    for (int i = 0; i < c; ++i) sum += Wider<Z, M>(weights[o * row + i * column]) * Wider<Z, M>(pixel[i]);
    out.write(first + e, Z(sum));
  }
}

/// How the pixels of the batch are cut for dW: grid (slice, tile of rows, tile of columns).
struct ProductSlices {
  std::size_t pixels, slice;
  unsigned count;
  int c;

  explicit ProductSlices(MapShape shape) : pixels(shape.n * shape.pixels()), c(shape.c) {
    // So many that a GPU is busy, but none shorter than some runs, and together no more memory than 64 MiB.
    constexpr std::size_t kMost = 256, kShortest = 4 * kRun, kMostPartials = std::size_t(1) << 24;
    const std::size_t matrix = std::size_t(c) * c;
    const std::size_t most = std::clamp<std::size_t>(kMostPartials / matrix, 1, kMost);
    const std::size_t wanted = std::clamp<std::size_t>(pixels / kShortest, 1, most);
    slice = (pixels + wanted - 1) / wanted;
    count = slice == 0 ? 0 : unsigned((pixels + slice - 1) / slice);
  }

  dim3 grid() const { return dim3(count, unsigned((c + kTile - 1) / kTile), unsigned((c + kTile - 1) / kTile)); }
};

/// partials[slice][o][i] = sum over the slice of dz_out[p][o] * z[p][i].
template <class Z>
__global__ void __launch_bounds__(kTile* kTile)
    channel_products_kernel(float* partials, const Z* dz_out, const Z* z, ProductSlices plan) {
  FLOWSMITH_SHARED(Z, a, [kRun][kTile]);
  FLOWSMITH_SHARED(Z, b, [kRun][kTile]);
  const int c = plan.c, y = int(threadIdx.x) / kTile, x = int(threadIdx.x) % kTile;
  const int row = int(blockIdx.y) * kTile, column = int(blockIdx.z) * kTile;
  const std::size_t begin = blockIdx.x * plan.slice;
  const std::size_t end = begin + plan.slice < plan.pixels ? begin + plan.slice : plan.pixels;
  Z sum = 0;
  for (std::size_t first = begin; first < end; first += kRun) {
    __syncthreads();  // the last run may still be read
    for (int p = y; p < kRun; p += kTile) {
      const bool inside = first + p < end;
      const std::size_t at = (first + p) * c + x;
      a[p][x] = inside && row + x < c ? dz_out[at + row] : Z(0);
      b[p][x] = inside && column + x < c ? z[at + column] : Z(0);
    }
    __syncthreads();
    for (int p = 0; p < kRun; ++p) sum += a[p][y] * b[p][x];
  }
  if (row + y < c && column + x < c) {
    partials[(std::size_t(blockIdx.x) * c + row + y) * c + column + x] = float(sum);
  }
}

template <bool kTransposed, class Z, class M, Gpu G>
void launch_product(Grad<Z> out, const Z* in, const M* matrix, MapShape shape, G gpu) {
  if (shape.size() == 0) return;
  const cuda::PixelTiles plan(shape, sizeof(Z));
  FLOWSMITH_LAUNCH((channel_matmul_kernel<kTransposed, Z, M>), plan.grid(), cuda::kBlockThreads,
                   plan.bytes + matrix_bytes(shape.c, sizeof(M)), gpu, out, in, matrix, plan);
}

}  // namespace

template <class Z, class M, Gpu G>
void channel_matmul_forward(Z* z_out, const Z* z, const M* matrix, MapShape shape, G gpu) {
  launch_product<false>(Grad<Z>{z_out}, z, matrix, shape, gpu);
}

template <class Z, Gpu G>
void channel_matmul_backward(Grad<Z> dz, Grad<float> dmatrix, const Z* dz_out, const Z* z, const float* matrix,
                             MapShape shape, G gpu) {
  if (dmatrix && shape.c > 0) {  // first: dz may take the place of dz_out
    const ProductSlices plan(shape);
    const std::size_t elements = std::size_t(shape.c) * shape.c;
    auto* partials = static_cast<float*>(gpu.workspace->reserve(plan.count * elements * sizeof(float)));
    if (plan.count > 0) {
      FLOWSMITH_LAUNCH(channel_products_kernel<Z>, plan.grid(), kTile * kTile, 0, gpu, partials, dz_out, z, plan);
    }
    cuda::add_groups(dmatrix, elements, {}, 0, partials, plan.count, gpu);
  }
  if (dz) launch_product<true>(dz, dz_out, matrix, shape, gpu);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                        \
  template void channel_matmul_forward(Z*, const Z*, const float*, MapShape, ThisGpu);  \
  template void channel_matmul_forward(Z*, const Z*, const double*, MapShape, ThisGpu); \
  template void channel_matmul_backward(Grad<Z>, Grad<float>, const Z*, const Z*, const float*, MapShape, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
