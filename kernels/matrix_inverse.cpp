// Inverse and log|det| on the host: both backends by Eigen.
#include "kernels/matrix_inverse.h"

#include "kernels/eigen.h"

namespace flowsmith::core {
namespace {

template <class S>
void invert(double* inverse, double* log_abs_det, const S* matrix, int c) {
  const Eigen::PartialPivLU<RowMatrix> lu(square_matrix(matrix, c).template cast<double>());
  if (log_abs_det) *log_abs_det = log_abs_det_of(lu);
  if (inverse) square_matrix(inverse, c) = lu.inverse();
}

template <class S>
void gradient(Grad<S> dmatrix, double dlog_abs_det, const double* inverse, int c) {
  for (int i = 0; dmatrix && i < c; ++i) {
    for (int j = 0; j < c; ++j) dmatrix.write(i * c + j, S(dlog_abs_det * inverse[j * c + i]));
  }
}

}  // namespace

template <class S>
void matrix_inverse(double* inverse, double* log_abs_det, const S* matrix, int c, Reference) {
  invert(inverse, log_abs_det, matrix, c);
}
void matrix_inverse(double* inverse, double* log_abs_det, const float* matrix, int c, Cpu) {
  invert(inverse, log_abs_det, matrix, c);
}

template <class S>
void log_abs_det_backward(Grad<S> dmatrix, const double* dlog_abs_det, const double* inverse, int c, Reference) {
  gradient(dmatrix, *dlog_abs_det, inverse, c);
}
void log_abs_det_backward(Grad<float> dmatrix, const double* dlog_abs_det, const double* inverse, int c, Cpu) {
  gradient(dmatrix, *dlog_abs_det, inverse, c);
}

#define FLOWSMITH_INSTANTIATE(S)                                            \
  template void matrix_inverse(double*, double*, const S*, int, Reference); \
  template void log_abs_det_backward(Grad<S>, const double*, const double*, int, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
