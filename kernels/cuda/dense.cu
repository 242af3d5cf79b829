// The fully connected layer on a GPU: y = act(x weight + bias), and its gradients; the formulas are in kernels/dense.h.
//
// Rows are images of one pixel, so the products are those of a 1x1 convolution, in the stream's precision, with all
// that conv_forward.cu, conv_backward_data.cu and weight_gradient.cu say of memory and the order of sums. The
// activation is a pass of its own over y, in place, and over dy, to scratch memory (activation.cu).
//
// Floor: n*(in + out)*4 bytes + weights and 2*n*in*out FLOPs forward, twice the FLOPs backward; the passes add n*out*8
// bytes forward and n*out*12 backward, mostly from L2. 128 rows of 1000 to 1000: 256 MFLOP, 4 us at 60 TFLOP/s.
#include <algorithm>

#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/gpu.h"
#include "kernels/dense.h"

namespace flowsmith::core {
namespace {

ConvShape conv_shape(DenseShape shape) { return {shape.n, 1, 1, shape.in, shape.out, 1, false}; }

}  // namespace

template <Gpu G>
void dense_forward(float* y, const float* x, const float* weight, const float* bias, Activation activation,
                   DenseShape shape, G gpu) {
  const ConvShape conv = conv_shape(shape);
  void* const scratch = gpu.workspace->reserve(cuda::conv_forward_bytes(conv, gpu));
  cuda::launch_conv_forward(y, x, weight, bias, conv, scratch, gpu);
  if (activation != Activation::kNone) activation_forward(y, y, activation, shape.y_size(), gpu);
}

template <Gpu G>
void dense_backward(Grad<float> dx, Grad<float> dweight, Grad<float> dbias, const float* dy, const float* y,
                    const float* x, const float* weight, Activation activation, DenseShape shape, G gpu) {
  if (!dx && !dweight && !dbias) return;
  const ConvShape conv = conv_shape(shape);
  const bool activated = activation != Activation::kNone;
  const std::size_t dpre_bytes = activated ? cuda::aligned(shape.y_size() * sizeof(float)) : 0;
  const std::size_t conv_bytes =
      std::max(cuda::conv_backward_data_bytes(conv, gpu), cuda::weight_gradient_bytes(conv, gpu));
  auto* const scratch = static_cast<unsigned char*>(gpu.workspace->reserve(dpre_bytes + conv_bytes));
  const float* dpre = dy;
  if (activated) {
    auto* const to = reinterpret_cast<float*>(scratch);
    activation_backward({to}, dy, y, activation, shape.y_size(), gpu);
    dpre = to;
  }
  if (dx) cuda::launch_conv_backward_data(dx, dpre, x, weight, conv, scratch + dpre_bytes, gpu);
  cuda::launch_weight_gradient(dweight, dbias, dpre, x, conv, scratch + dpre_bytes, gpu);
}

template void dense_forward(float*, const float*, const float*, const float*, Activation, DenseShape, ThisGpu);
template void dense_backward(Grad<float>, Grad<float>, Grad<float>, const float*, const float*, const float*,
                             const float*, Activation, DenseShape, ThisGpu);

}  // namespace flowsmith::core
