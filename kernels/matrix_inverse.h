// Inverse and log|det| of a learned square matrix, in double, and the gradient of the latter.
//
//   A = W^-1, l = log|det W|, dW += dl * W^-T
//
// The numbers of W are widened to double before anything else, so x -> W x -> W^-1 W x is exact to the rounding of
// double times the condition of W, and pixels come back. Rows are pivots in the order of their size: hosts decompose by
// Eigen's LU, GPUs eliminate on the device (Gauss-Jordan), because a captured step cannot ask the host.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// inverse (c,c), *log_abs_det, matrix (c,c); either result may be null. Of a singular matrix log|det| is -inf and the
/// inverse is not finite.
template <class S>
void matrix_inverse(double* inverse, double* log_abs_det, const S* matrix, int c, Reference);
void matrix_inverse(double* inverse, double* log_abs_det, const float* matrix, int c, Cpu);
template <Gpu G>
void matrix_inverse(double* inverse, double* log_abs_det, const float* matrix, int c, G gpu);

/// dmatrix[i][j] = *dlog_abs_det * inverse[j][i].
template <class S>
void log_abs_det_backward(Grad<S> dmatrix, const double* dlog_abs_det, const double* inverse, int c, Reference);
void log_abs_det_backward(Grad<float> dmatrix, const double* dlog_abs_det, const double* inverse, int c, Cpu);
template <Gpu G>
void log_abs_det_backward(Grad<float> dmatrix, const double* dlog_abs_det, const double* inverse, int c, G gpu);

}  // namespace flowsmith::core
