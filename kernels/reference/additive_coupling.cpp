// Additive coupling: the lines of additive_coupling.h for every element.
#include "kernels/additive_coupling.h"

namespace flowsmith::core {
namespace {

/// Calls body(element, mask) for the whole batch.
template <class Body>
void for_each_element(MapShape shape, Mask mask, Body body) {
  std::size_t i = 0;
  for (int n = 0; n < shape.n; ++n) {
    for (int y = 0; y < shape.h; ++y) {
      for (int x = 0; x < shape.w; ++x) {
        for (int k = 0; k < shape.c; ++k) body(i++, mask_value(mask, y, x, k, shape));
      }
    }
  }
}

}  // namespace

template <class Z, class S>
void additive_coupling_forward(Z* z_out, const Z* z, const S* t, MapShape shape, Mask mask, Reference) {
  for_each_element(shape, mask, [&](std::size_t i, bool masked) { z_out[i] = masked ? z[i] : z[i] + Z(t[i]); });
}

template <class Z, class S>
void additive_coupling_inverse(Z* z, const Z* z_out, const S* t, MapShape shape, Mask mask, Reference) {
  for_each_element(shape, mask, [&](std::size_t i, bool masked) { z[i] = masked ? z_out[i] : z_out[i] - Z(t[i]); });
}

template <class Z, class S>
void additive_coupling_backward(Grad<Z> dz, Grad<S> dt, const Z* dz_out, MapShape shape, Mask mask, Reference) {
  for_each_element(shape, mask, [&](std::size_t i, bool masked) {
    const Z d = dz_out[i];
    if (dz) dz.write(i, d);
    if (dt) dt.write(i, masked ? S(0) : S(d));
  });
}

#define FLOWSMITH_INSTANTIATE(Z, S)                                                           \
  template void additive_coupling_forward(Z*, const Z*, const S*, MapShape, Mask, Reference); \
  template void additive_coupling_inverse(Z*, const Z*, const S*, MapShape, Mask, Reference); \
  template void additive_coupling_backward(Grad<Z>, Grad<S>, const Z*, MapShape, Mask, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
