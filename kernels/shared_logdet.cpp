// Log-determinants that are the same for every image, on the host: a few numbers, so both backends are these loops.
#include "kernels/shared_logdet.h"

#include <numeric>

namespace flowsmith::core {
namespace {

template <class T>
void forward(double* logdet, const T* terms, double factor, int count, int n) {
  const double sum = std::accumulate(terms, terms + count, 0.0);
  for (int i = 0; i < n; ++i) logdet[i] += factor * sum;
}

template <class T>
void backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n) {
  const T gradient = T(factor * std::accumulate(dlogdet, dlogdet + n, 0.0));
  for (int k = 0; dterms && k < count; ++k) dterms.write(k, gradient);
}

}  // namespace

template <class T>
void shared_logdet_forward(double* logdet, const T* terms, double factor, int count, int n, Reference) {
  forward(logdet, terms, factor, count, n);
}
template <class T>
void shared_logdet_forward(double* logdet, const T* terms, double factor, int count, int n, Cpu) {
  forward(logdet, terms, factor, count, n);
}

template <class T>
void shared_logdet_backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n, Reference) {
  backward(dterms, dlogdet, factor, count, n);
}
template <class T>
void shared_logdet_backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n, Cpu) {
  backward(dterms, dlogdet, factor, count, n);
}

#define FLOWSMITH_INSTANTIATE(T)                                                             \
  template void shared_logdet_forward(double*, const T*, double, int, int, Reference);       \
  template void shared_logdet_forward(double*, const T*, double, int, int, Cpu);             \
  template void shared_logdet_backward(Grad<T>, const double*, double, int, int, Reference); \
  template void shared_logdet_backward(Grad<T>, const double*, double, int, int, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
