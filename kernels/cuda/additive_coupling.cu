// Additive coupling on the GPU.
//
//   z' = z + t where the mask is 0, its inverse and gradients: kernels/additive_coupling.h
//
// Memory plan: a thread per element of z, so that all reads and writes are whole lines. t is not loaded where the mask
// is 1. A thread reads an element before it writes it, and no other does either, so z_out may be z.
//
// Floor, with C channels: forward and inverse read z and half of t and write z: 2.5 PC f; backward reads dz' and writes
// dz and dt: 3 PC f. One FLOP per element. 128 MNIST images: 1 MB, 0.4 us at 3 TB/s: launches and latency rule.
#include "kernels/additive_coupling.h"
#include "kernels/cuda/grid.h"

namespace flowsmith::core {
namespace {

enum class Direction { kForward, kInverse };

template <Direction kDirection, class Z>
__global__ void additive_coupling_kernel(Z* out, const Z* in, const float* t, MapShape shape, unsigned image_size,
                                         Mask mask) {
  const std::size_t begin = std::size_t(blockIdx.x) * image_size;
  cuda::for_each_item(image_size, [&](unsigned i) {
    const cuda::MapPosition at = cuda::map_position(i, shape.w, shape.c);
    Z value = in[begin + i];
    if (!mask_value(mask, at.y, at.x, at.k, shape)) {
      const Z shift = Z(t[begin + i]);
      value = kDirection == Direction::kForward ? value + shift : value - shift;
    }
    out[begin + i] = value;
  });
}

template <class Z>
__global__ void additive_coupling_backward_kernel(Grad<Z> dz, Grad<float> dt, const Z* dz_out, MapShape shape,
                                                  unsigned image_size, Mask mask) {
  const std::size_t begin = std::size_t(blockIdx.x) * image_size;
  cuda::for_each_item(image_size, [&](unsigned i) {
    const cuda::MapPosition at = cuda::map_position(i, shape.w, shape.c);
    const Z d = dz_out[begin + i];
    if (dz.data != nullptr) dz.write(begin + i, d);
    if (dt.data != nullptr) dt.write(begin + i, mask_value(mask, at.y, at.x, at.k, shape) ? 0.0f : float(d));
  });
}

template <Direction kDirection, class Z, Gpu G>
void launch_additive_coupling(Z* out, const Z* in, const float* t, MapShape shape, Mask mask, G gpu) {
  if (shape.size() == 0) return;
  const unsigned elements = cuda::image_elements(shape.image_size());
  FLOWSMITH_LAUNCH((additive_coupling_kernel<kDirection, Z>), cuda::image_grid(shape.n, elements), cuda::kBlockThreads,
                   0, gpu, out, in, t, shape, elements, mask);
}

}  // namespace

template <class Z, Gpu G>
void additive_coupling_forward(Z* z_out, const Z* z, const float* t, MapShape shape, Mask mask, G gpu) {
  launch_additive_coupling<Direction::kForward>(z_out, z, t, shape, mask, gpu);
}

template <class Z, Gpu G>
void additive_coupling_inverse(Z* z, const Z* z_out, const float* t, MapShape shape, Mask mask, G gpu) {
  launch_additive_coupling<Direction::kInverse>(z, z_out, t, shape, mask, gpu);
}

template <class Z, Gpu G>
void additive_coupling_backward(Grad<Z> dz, Grad<float> dt, const Z* dz_out, MapShape shape, Mask mask, G gpu) {
  if ((!dz && !dt) || shape.size() == 0) return;
  const unsigned elements = cuda::image_elements(shape.image_size());
  FLOWSMITH_LAUNCH(additive_coupling_backward_kernel<Z>, cuda::image_grid(shape.n, elements), cuda::kBlockThreads, 0,
                   gpu, dz, dt, dz_out, shape, elements, mask);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                \
  template void additive_coupling_forward(Z*, const Z*, const float*, MapShape, Mask, ThisGpu); \
  template void additive_coupling_inverse(Z*, const Z*, const float*, MapShape, Mask, ThisGpu); \
  template void additive_coupling_backward(Grad<Z>, Grad<float>, const Z*, MapShape, Mask, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
