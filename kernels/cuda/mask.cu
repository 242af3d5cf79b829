// The conditioner's input on the GPU: masked z and the image, side by side in the channels, and the gradient of z.
//
//   input[.., 0..c) = mask * z, input[.., c..c+c_image) = the image on [-1, 1]: kernels/mask.h
//
// Memory plan: a thread per element of what is written, so that writes are whole lines; the reads of neighbouring
// threads lie side by side too, but for the step between z and the image. z is not read where the mask is 0.
//
// Floor: forward P (C/2 + C + C_image) f + P C_image bytes, backward P (C/2 + C) f; no arithmetic but indices. It is
// one pass of its own because the convolution that follows reads each element nine times.
#include "kernels/cuda/grid.h"
#include "kernels/mask.h"

namespace flowsmith::core {
namespace {

template <class Z>
__global__ void conditioner_input_forward_kernel(float* input, const Z* z, const std::uint8_t* image, int c_image,
                                                 int levels, MapShape shape, unsigned pixels, Mask mask) {
  const int c_input = shape.c + c_image;
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  cuda::for_each_item(pixels * c_input, [&](unsigned i) {
    const cuda::MapPosition at = cuda::map_position(i, shape.w, c_input);
    const std::size_t pixel = before + at.pixel;
    float value = 0;
    if (at.k >= shape.c) {
      value = grey_unit<float>(image[pixel * c_image + (at.k - shape.c)], levels);
    } else if (mask_value(mask, at.y, at.x, at.k, shape)) {
      value = float(z[pixel * shape.c + at.k]);
    }
    input[before * c_input + i] = value;
  });
}

template <class Z>
__global__ void conditioner_input_backward_kernel(Grad<Z> dz, const float* dinput, int c_image, MapShape shape,
                                                  unsigned pixels, Mask mask) {
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  cuda::for_each_item(pixels * shape.c, [&](unsigned i) {
    const cuda::MapPosition at = cuda::map_position(i, shape.w, shape.c);
    const bool passes = mask_value(mask, at.y, at.x, at.k, shape);
    dz.write(before * shape.c + i, passes ? Z(dinput[(before + at.pixel) * (shape.c + c_image) + at.k]) : Z(0));
  });
}

}  // namespace

template <class Z, Gpu G>
void conditioner_input_forward(float* input, const Z* z, const std::uint8_t* image, int c_image, int levels,
                               MapShape z_shape, Mask mask, G gpu) {
  if (z_shape.size() == 0) return;
  const unsigned elements = cuda::image_elements(z_shape.pixels() * (z_shape.c + c_image));
  FLOWSMITH_LAUNCH(conditioner_input_forward_kernel<Z>, cuda::image_grid(z_shape.n, elements), cuda::kBlockThreads, 0,
                   gpu, input, z, image, c_image, levels, z_shape, unsigned(z_shape.pixels()), mask);
}

template <class Z, Gpu G>
void conditioner_input_backward(Grad<Z> dz, const float* dinput, int c_image, MapShape z_shape, Mask mask, G gpu) {
  if (!dz || z_shape.size() == 0) return;
  const unsigned elements = cuda::image_elements(z_shape.image_size());
  FLOWSMITH_LAUNCH(conditioner_input_backward_kernel<Z>, cuda::image_grid(z_shape.n, elements), cuda::kBlockThreads, 0,
                   gpu, dz, dinput, c_image, z_shape, unsigned(z_shape.pixels()), mask);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                     \
  template void conditioner_input_forward(float*, const Z*, const std::uint8_t*, int, int, MapShape, Mask, ThisGpu); \
  template void conditioner_input_backward(Grad<Z>, const float*, int, MapShape, Mask, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
