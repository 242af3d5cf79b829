// A matrix from its LU factors: element by element.
#include "kernels/plu.h"

#include "kernels/plu_math.h"

namespace flowsmith::core {

template <class S>
void compose_plu_forward(S* weight, PluParameters<S> factors, int c, Reference) {
  for (int i = 0; i < c; ++i) {
    S* const row = weight + std::size_t(factors.permutation[i]) * c;
    for (int j = 0; j < c; ++j) row[j] = S(plu_product(factors, i, j, c));
  }
}

template <class S>
void compose_plu_backward(PluGradients<S> gradients, const S* dweight, PluParameters<S> factors, int c, Reference) {
  for (int i = 0; i < c; ++i) {
    for (int j = 0; j < c; ++j) write_plu_gradients(gradients, factors, dweight, i, j, c);
  }
}

#define FLOWSMITH_INSTANTIATE(S)                                           \
  template void compose_plu_forward(S*, PluParameters<S>, int, Reference); \
  template void compose_plu_backward(PluGradients<S>, const S*, PluParameters<S>, int, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
