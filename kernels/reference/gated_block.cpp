// The gated residual block, unfused: the four lines of gated_block.h as four calls, and their chain rule.
#include "kernels/gated_block.h"

#include <vector>

#include "kernels/activation.h"

namespace flowsmith::core {

template <class T>
void gated_block_forward(T* y, GatedBlockSaved<T> saved, const T* x, GatedBlockWeights<T> weights,
                         GatedBlockShape shape, Reference backend) {
  const std::size_t size = shape.map().size();
  std::vector<T> h(size), vg(2 * size), r(size);
  conv_forward(h.data(), x, weights.weight3, weights.bias3, shape.conv3(), backend);
  conv_forward(vg.data(), h.data(), weights.weight1, weights.bias1, shape.conv1(), backend);
  gate_forward(r.data(), x, vg.data(), shape.map(), backend);
  layer_norm_forward(y, r.data(), weights.gamma, weights.beta, shape.map(), shape.norm_eps, backend);
  for (std::size_t i = 0; saved.h && i < h.size(); ++i) saved.h[i] = h[i];
  for (std::size_t i = 0; saved.vg && i < vg.size(); ++i) saved.vg[i] = vg[i];
}

template <class T>
void gated_block_backward(Grad<T> dx, GatedBlockGrads<T> grads, const T* dy, GatedBlockSaved<const T> saved, const T* x,
                          GatedBlockWeights<T> weights, GatedBlockShape shape, Reference backend) {
  const std::size_t size = shape.map().size();
  std::vector<T> r(size), dr(size), dvg(2 * size), dh(size);
  gate_forward(r.data(), x, saved.vg, shape.map(), backend);
  layer_norm_backward(Grad<T>{dr.data()}, grads.gamma, grads.beta, dy, r.data(), weights.gamma, shape.map(),
                      shape.norm_eps, backend);

  // x feeds the block twice: the residual path writes dx first, the convolution adds to it.
  gate_backward(dx, Grad<T>{dvg.data()}, dr.data(), saved.vg, shape.map(), backend);
  const Grad<T> dx_again{dx.data, GradMode::kAccumulate};

  conv_backward_weights(grads.weight1, grads.bias1, dvg.data(), saved.h, shape.conv1(), backend);
  conv_backward_data(Grad<T>{dh.data()}, dvg.data(), saved.h, weights.weight1, shape.conv1(), backend);
  conv_backward_weights(grads.weight3, grads.bias3, dh.data(), x, shape.conv3(), backend);
  conv_backward_data(dx_again, dh.data(), x, weights.weight3, shape.conv3(), backend);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                \
  template void gated_block_forward(T*, GatedBlockSaved<T>, const T*, GatedBlockWeights<T>, GatedBlockShape,    \
                                    Reference);                                                                 \
  template void gated_block_backward(Grad<T>, GatedBlockGrads<T>, const T*, GatedBlockSaved<const T>, const T*, \
                                     GatedBlockWeights<T>, GatedBlockShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
