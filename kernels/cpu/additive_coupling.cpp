// Additive coupling: images over threads. An element is a load or two, an addition and a store: memory is the limit.
#include "kernels/additive_coupling.h"

#include "kernels/cpu/parallel.h"

namespace flowsmith::core {
namespace {

/// Calls body(element, mask) for the whole batch, all of an image in one thread.
template <class Body>
void for_each_element(MapShape shape, Mask mask, const Body& body) {
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    std::size_t i = n * shape.image_size();
    for (int y = 0; y < shape.h; ++y) {
      for (int x = 0; x < shape.w; ++x) {
        for (int k = 0; k < shape.c; ++k) body(i++, mask_value(mask, y, x, k, shape));
      }
    }
  }
}

}  // namespace

template <class Z>
void additive_coupling_forward(Z* z_out, const Z* z, const float* t, MapShape shape, Mask mask, Cpu) {
  for_each_element(shape, mask, [=](std::size_t i, bool masked) { z_out[i] = masked ? z[i] : z[i] + Z(t[i]); });
}

template <class Z>
void additive_coupling_inverse(Z* z, const Z* z_out, const float* t, MapShape shape, Mask mask, Cpu) {
  for_each_element(shape, mask, [=](std::size_t i, bool masked) { z[i] = masked ? z_out[i] : z_out[i] - Z(t[i]); });
}

template <class Z>
void additive_coupling_backward(Grad<Z> dz, Grad<float> dt, const Z* dz_out, MapShape shape, Mask mask, Cpu) {
  for_each_element(shape, mask, [=](std::size_t i, bool masked) {
    const Z d = dz_out[i];
    if (dz) dz.write(i, d);
    if (dt) dt.write(i, masked ? 0.0f : float(d));
  });
}

#define FLOWSMITH_INSTANTIATE(Z)                                                            \
  template void additive_coupling_forward(Z*, const Z*, const float*, MapShape, Mask, Cpu); \
  template void additive_coupling_inverse(Z*, const Z*, const float*, MapShape, Mask, Cpu); \
  template void additive_coupling_backward(Grad<Z>, Grad<float>, const Z*, MapShape, Mask, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
