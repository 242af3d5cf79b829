// Activations, ELU-concat and the gate on their own; inside the gated block the latter are part of its kernels.
//
//   y = act(x); y = concat(elu(x), elu(-x)); y = x + value * sigmoid(gate); gradients: kernels/activation.h,
//   activation_math.h
//
// Memory plan: an activation has a thread per four neighbours. Of the others a thread has the same W neighbouring
// channels in all tensors, 4 where the channels divide by it (16 bytes per access) and 1 elsewhere. The two halves of a
// pixel of y or vg are c elements apart: two runs of whole lines.
//
// Floor: activation 2 PC f forward, 3 PC f backward (dy, y, dx). concat_elu 3 PC f forward, 4 PC f backward; one exp
// per element. gate 4 PC f, backward 6 PC f (dy, vg, dx, dvg); one exp. No arithmetic that would show beside the bytes.
#include <type_traits>

#include "kernels/activation.h"
#include "kernels/activation_math.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/vector.h"

namespace flowsmith::core {
namespace {

/// y may be x.
__global__ void activation_forward_kernel(float* y, const float* x, Activation activation, std::size_t size) {
  const std::size_t first = 4 * cuda::flat_item();
  if (first >= size) return;
  cuda::Four<float> four = cuda::load_four(x, first, size);
  for (int i = 0; i < 4; ++i) four[i] = activate(activation, four[i]);
  cuda::store_four(y, first, size, four);
}

__global__ void activation_backward_kernel(Grad<float> dx, const float* dy, const float* y, Activation activation,
                                           std::size_t size) {
  const std::size_t first = 4 * cuda::flat_item();
  if (first >= size) return;
  cuda::Four<float> d = cuda::load_four(dy, first, size);
  const cuda::Four<float> out = cuda::load_four(y, first, size);
  for (int i = 0; i < 4; ++i) d[i] *= activation_derivative(activation, out[i]);
  cuda::write_four(dx, first, size, d);
}

/// W channels of one pixel: where they are in a tensor of c channels, and in the halves of one of 2c.
struct Place {
  std::size_t narrow, first, second;
};

template <int W>
__device__ Place place_of(unsigned item, unsigned pixels, int c) {
  const unsigned per_pixel = unsigned(c) / W;
  const std::size_t pixel = std::size_t(blockIdx.x) * pixels + item / per_pixel;
  const std::size_t k = item % per_pixel * W;
  return {pixel * c + k, pixel * 2 * c + k, pixel * 2 * c + c + k};
}

template <int W>
__global__ void concat_elu_forward_kernel(float* y, const float* x, unsigned pixels, int c) {
  cuda::for_each_item(pixels * c / W, [&](unsigned item) {
    const Place at = place_of<W>(item, pixels, c);
    const cuda::Vector<float, W> a = cuda::load_vector<W>(x + at.narrow);
    cuda::Vector<float, W> up, down;
    for (int i = 0; i < W; ++i) up[i] = elu(a[i]), down[i] = elu(-a[i]);
    cuda::store_vector(y + at.first, up);
    cuda::store_vector(y + at.second, down);
  });
}

template <int W>
__global__ void concat_elu_backward_kernel(Grad<float> dx, const float* dy, const float* x, unsigned pixels, int c) {
  cuda::for_each_item(pixels * c / W, [&](unsigned item) {
    const Place at = place_of<W>(item, pixels, c);
    const cuda::Vector<float, W> a = cuda::load_vector<W>(x + at.narrow);
    const cuda::Vector<float, W> up = cuda::load_vector<W>(dy + at.first), down = cuda::load_vector<W>(dy + at.second);
    cuda::Vector<float, W> d;
    for (int i = 0; i < W; ++i) d[i] = up[i] * elu_derivative(a[i]) - down[i] * elu_derivative(-a[i]);
    cuda::write_vector(dx, at.narrow, d);
  });
}

template <int W>
__global__ void gate_forward_kernel(float* y, const float* x, const float* vg, unsigned pixels, int c) {
  cuda::for_each_item(pixels * c / W, [&](unsigned item) {
    const Place at = place_of<W>(item, pixels, c);
    const cuda::Vector<float, W> value = cuda::load_vector<W>(vg + at.first);
    const cuda::Vector<float, W> gate = cuda::load_vector<W>(vg + at.second);
    cuda::Vector<float, W> sum = cuda::load_vector<W>(x + at.narrow);
    for (int i = 0; i < W; ++i) sum[i] += value[i] * sigmoid(gate[i]);
    cuda::store_vector(y + at.narrow, sum);
  });
}

/// Either gradient may be null.
template <int W>
__global__ void gate_backward_kernel(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, unsigned pixels,
                                     int c) {
  cuda::for_each_item(pixels * c / W, [&](unsigned item) {
    const Place at = place_of<W>(item, pixels, c);
    const cuda::Vector<float, W> d = cuda::load_vector<W>(dy + at.narrow);
    if (dx.data != nullptr) cuda::write_vector(dx, at.narrow, d);
    if (dvg.data == nullptr) return;
    const cuda::Vector<float, W> value = cuda::load_vector<W>(vg + at.first);
    const cuda::Vector<float, W> gate = cuda::load_vector<W>(vg + at.second);
    cuda::Vector<float, W> dvalue, dgate;
    for (int i = 0; i < W; ++i) {
      dvalue[i] = d[i] * sigmoid(gate[i]);
      dgate[i] = d[i] * value[i] * sigmoid(gate[i]) * sigmoid(-gate[i]);
    }
    cuda::write_vector(dvg, at.first, dvalue);
    cuda::write_vector(dvg, at.second, dgate);
  });
}

/// Calls launch(integral constant W, grid) unless the map is empty. `tensors` decide whether 16 bytes can move at once.
template <class Launch, class... Tensor>
void with_width(MapShape shape, const Launch& launch, const Tensor*... tensors) {
  if (shape.size() == 0) return;
  const unsigned elements = cuda::image_elements(shape.image_size());
  if (shape.c % 4 == 0 && (cuda::is_aligned<float, 4>(tensors) && ...)) {
    launch(std::integral_constant<int, 4>{}, cuda::image_grid(shape.n, elements / 4));
  } else {
    launch(std::integral_constant<int, 1>{}, cuda::image_grid(shape.n, elements));
  }
}

}  // namespace

template <Gpu G>
void activation_forward(float* y, const float* x, Activation activation, std::size_t size, G gpu) {
  if (size == 0) return;
  FLOWSMITH_LAUNCH(activation_forward_kernel, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, y, x,
                   activation, size);
}

template <Gpu G>
void activation_backward(Grad<float> dx, const float* dy, const float* y, Activation activation, std::size_t size,
                         G gpu) {
  if (!dx || size == 0) return;
  FLOWSMITH_LAUNCH(activation_backward_kernel, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, dx, dy, y,
                   activation, size);
}

template <Gpu G>
void concat_elu_forward(float* y, const float* x, MapShape x_shape, G gpu) {
  with_width(
      x_shape,
      [&](auto width, dim3 grid) {
        FLOWSMITH_LAUNCH(concat_elu_forward_kernel<width()>, grid, cuda::kBlockThreads, 0, gpu, y, x,
                         unsigned(x_shape.pixels()), x_shape.c);
      },
      y, x);
}

template <Gpu G>
void concat_elu_backward(Grad<float> dx, const float* dy, const float* x, MapShape x_shape, G gpu) {
  if (!dx) return;
  with_width(
      x_shape,
      [&](auto width, dim3 grid) {
        FLOWSMITH_LAUNCH(concat_elu_backward_kernel<width()>, grid, cuda::kBlockThreads, 0, gpu, dx, dy, x,
                         unsigned(x_shape.pixels()), x_shape.c);
      },
      dx.data, dy, x);
}

template <Gpu G>
void gate_forward(float* y, const float* x, const float* vg, MapShape shape, G gpu) {
  with_width(
      shape,
      [&](auto width, dim3 grid) {
        FLOWSMITH_LAUNCH(gate_forward_kernel<width()>, grid, cuda::kBlockThreads, 0, gpu, y, x, vg,
                         unsigned(shape.pixels()), shape.c);
      },
      y, x, vg);
}

template <Gpu G>
void gate_backward(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, MapShape shape, G gpu) {
  if (!dx && !dvg) return;
  with_width(
      shape,
      [&](auto width, dim3 grid) {
        FLOWSMITH_LAUNCH(gate_backward_kernel<width()>, grid, cuda::kBlockThreads, 0, gpu, dx, dvg, dy, vg,
                         unsigned(shape.pixels()), shape.c);
      },
      dx.data, dvg.data, dy, vg);
}

template void activation_forward(float*, const float*, Activation, std::size_t, ThisGpu);
template void activation_backward(Grad<float>, const float*, const float*, Activation, std::size_t, ThisGpu);
template void concat_elu_forward(float*, const float*, MapShape, ThisGpu);
template void concat_elu_backward(Grad<float>, const float*, const float*, MapShape, ThisGpu);
template void gate_forward(float*, const float*, const float*, MapShape, ThisGpu);
template void gate_backward(Grad<float>, Grad<float>, const float*, const float*, MapShape, ThisGpu);

}  // namespace flowsmith::core
