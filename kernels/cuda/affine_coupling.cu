// Affine coupling on the GPU: mask, bound of the log-scale, affine and log-determinant in one pass over memory.
//
//   s from s_raw by the bound; z' = (z + t) exp(s) or z exp(s) + t where the mask is 0, logdet += sum s; its inverse
//   and gradients: kernels/affine_coupling.h, affine_coupling_math.h
//
// Memory plan: forward and inverse have one block per image, because its log-determinant is one sum. Element i of z
// belongs to thread i mod 256: z is read and written in full lines, and s_raw and t_raw of neighbouring threads share
// theirs. Nothing of st is loaded where the mask is 1. Masks are computed; the bits of a list are an eighth of a byte
// per element and stay in cache. A thread reads an element before it writes it, and no other does either, so z_out may
// be z. Backward has the walk of channel_sums.h: a thread keeps to one channel, so that exp(scaling_factor) is computed
// once and dscaling_factor is a sum in a register, then over the block, then (a second launch) over the blocks.
//
// Floor, with C channels: forward and inverse read z and half of st (2C/2) and write z: 3 f per element (float), z
// twice and st in double; for half of them tanh, exp, a division and 6 FLOPs in the tutorial's form. Backward reads
// dz', z, st and writes dz, dst: 6 f, 5 f without the masked half of st. 128 MNIST images: 1.2 MB and 2 MB, under 1 us
// at 3 TB/s, so launches and latency rule; this is why each direction is one pass, whatever its arithmetic, and why the
// form is an argument: all threads take the same way at each question about it.
//
// f is computed again for every element of forward: an exp costs less than shared memory and a barrier in front of
// three elements per thread.
#include "kernels/affine_coupling.h"
#include "kernels/affine_coupling_math.h"
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/channel_sums.h"
#include "kernels/cuda/grid.h"

namespace flowsmith::core {
namespace {

enum class Direction { kForward, kInverse };

template <Direction kDirection, class Z>
__global__ void affine_coupling_kernel(Z* out, double* logdet, const Z* in, const float* st,
                                       const float* scaling_factor, MapShape shape, unsigned image_size, Mask mask,
                                       AffineForm form) {
  const std::size_t begin = std::size_t(blockIdx.x) * image_size;
  double sum = 0;
  cuda::for_each_item(image_size, [&](unsigned i) {
    const cuda::MapPosition at = cuda::map_position(i, shape.w, shape.c);
    const Z value = in[begin + i];
    if (mask_value(mask, at.y, at.x, at.k, shape)) {
      out[begin + i] = value;
      return;
    }
    const float* pixel_st = st + 2 * (begin + std::size_t(at.pixel) * shape.c);
    const Z t = Z(pixel_st[shape.c + at.k]);
    const Z s = log_scale(form, Z(pixel_st[at.k]), scale_bound<Z>(scaling_factor, at.k)).s;
    out[begin + i] = kDirection == Direction::kForward ? affine(value, t, Z(std::exp(s)), form.shift_first)
                                                       : affine_inverse(value, t, Z(std::exp(-s)), form.shift_first);
    sum += s;
  });
  if (logdet == nullptr) return;
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) logdet[blockIdx.x] += kDirection == Direction::kForward ? sum : -sum;
}

/// `partials` of dscaling_factor may be null: nobody asked for it.
template <class Z>
__global__ void affine_coupling_backward_kernel(Grad<Z> dz, Grad<float> dst, double* partials, const Z* dz_out,
                                                const double* dlogdet, const Z* z, const float* st,
                                                const float* scaling_factor, MapShape shape, Mask mask, AffineForm form,
                                                cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  const int k = thread.channel;
  double sum = 0;
  if (thread.first < thread.end) {
    const Z f = scale_bound<Z>(scaling_factor, k);
    const Z dl = Z(dlogdet[blockIdx.x]);
    for (unsigned p = thread.first; p < thread.end; p += thread.step) {
      const std::size_t pixel = std::size_t(blockIdx.x) * plan.pixels + p;
      const std::size_t i = pixel * shape.c + k, s_at = pixel * 2 * shape.c + k, t_at = s_at + shape.c;
      if (mask_value(mask, int(p / unsigned(shape.w)), int(p % unsigned(shape.w)), k, shape)) {
        if (dz.data != nullptr) dz.write(i, dz_out[i]);
        if (dst.data != nullptr) dst.write(s_at, 0);
        if (dst.data != nullptr) dst.write(t_at, 0);
        continue;
      }
      const LogScale<Z> scale = log_scale(form, Z(st[s_at]), f);
      const AffineGradient<Z> d =
          affine_backward(dz_out[i], dl, z[i], Z(st[t_at]), Z(std::exp(scale.s)), form.shift_first);
      if (dz.data != nullptr) dz.write(i, d.z);
      if (dst.data != nullptr) dst.write(s_at, float(d.s * scale.ds_raw));
      if (dst.data != nullptr) dst.write(t_at, float(d.t));
      sum += d.s * scale.dscaling;
    }
  }
  if (partials != nullptr) cuda::write_slice_sum(partials, sum, thread, plan);
}

template <Direction kDirection, class Z, Gpu G>
void launch_affine_coupling(Z* out, double* logdet, const Z* in, const float* st, const float* scaling_factor,
                            MapShape shape, Mask mask, AffineForm form, G gpu) {
  if (shape.size() == 0) return;
  FLOWSMITH_LAUNCH((affine_coupling_kernel<kDirection, Z>), cuda::one_block_per_image(shape.n), cuda::kBlockThreads, 0,
                   gpu, out, logdet, in, st, scaling_factor, shape, cuda::image_elements(shape.image_size()), mask,
                   form);
}

}  // namespace

template <class Z, Gpu G>
void affine_coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, G gpu) {
  launch_affine_coupling<Direction::kForward>(z_out, logdet, z, st, scaling_factor, shape, mask, form, gpu);
}

template <class Z, Gpu G>
void affine_coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, G gpu) {
  launch_affine_coupling<Direction::kInverse>(z, logdet, z_out, st, scaling_factor, shape, mask, form, gpu);
}

template <class Z, Gpu G>
void affine_coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out,
                              const double* dlogdet, const Z* z, const float* st, const float* scaling_factor,
                              MapShape shape, Mask mask, AffineForm form, G gpu) {
  const cuda::ChannelSlices plan(shape);
  double* partials = nullptr;
  if (dscaling_factor) partials = static_cast<double*>(gpu.workspace->reserve(plan.partial_bytes()));
  if (shape.size() > 0) {
    FLOWSMITH_LAUNCH(affine_coupling_backward_kernel<Z>, plan.grid(), cuda::kBlockThreads, 0, gpu, dz, dst, partials,
                     dz_out, dlogdet, z, st, scaling_factor, shape, mask, form, plan);
  }
  if (dscaling_factor) cuda::add_slices(dscaling_factor, partials, plan, gpu);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                       \
  template void affine_coupling_forward(Z*, double*, const Z*, const float*, const float*, MapShape, Mask, AffineForm, \
                                        ThisGpu);                                                                      \
  template void affine_coupling_inverse(Z*, double*, const Z*, const float*, const float*, MapShape, Mask, AffineForm, \
                                        ThisGpu);                                                                      \
  template void affine_coupling_backward(Grad<Z>, Grad<float>, Grad<float>, const Z*, const double*, const Z*,         \
                                         const float*, const float*, MapShape, Mask, AffineForm, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
