// A matrix from its LU factors: products by Eigen, in double.
#include "kernels/plu.h"

#include "kernels/eigen.h"
#include "kernels/plu_math.h"

namespace flowsmith::core {
namespace {

/// L and V of plu.h.
struct Triangles {
  RowMatrix lower, upper;

  Triangles(const PluParameters<float>& factors, int c)
      : lower(square_matrix(factors.lower, c).cast<double>().triangularView<Eigen::UnitLower>()),
        upper(square_matrix(factors.upper, c).cast<double>().triangularView<Eigen::StrictlyUpper>()) {
    for (int i = 0; i < c; ++i) upper(i, i) = plu_scale(factors, i);
  }
};

/// Adds or writes what `values` holds where wanted(i, j), and 0 elsewhere.
template <class Wanted>
void write_part(Grad<float> gradient, const RowMatrix& values, Wanted wanted) {
  const int c = int(values.rows());
  for (int i = 0; i < c; ++i) {
    for (int j = 0; j < c; ++j) gradient.write(std::size_t(i) * c + j, wanted(i, j) ? float(values(i, j)) : 0.0f);
  }
}

}  // namespace

void compose_plu_forward(float* weight, PluParameters<float> factors, int c, Cpu) {
  const Triangles triangles(factors, c);
  const RowMatrix product = triangles.lower * triangles.upper;
  for (int i = 0; i < c; ++i) square_matrix(weight, c).row(factors.permutation[i]) = product.row(i).cast<float>();
}

void compose_plu_backward(PluGradients<float> gradients, const float* dweight, PluParameters<float> factors, int c,
                          Cpu) {
  if (!gradients) return;
  const Triangles triangles(factors, c);
  RowMatrix dproduct(c, c);  // dA
  for (int i = 0; i < c; ++i) {
    dproduct.row(i) = square_matrix(dweight, c).row(factors.permutation[i]).cast<double>();
  }
  if (gradients.lower) {
    write_part(gradients.lower, dproduct * triangles.upper.transpose(), [](int i, int j) { return i > j; });
  }
  if (!gradients.upper && !gradients.log_scale) return;
  const RowMatrix dupper = triangles.lower.transpose() * dproduct;  // dV
  if (gradients.upper) write_part(gradients.upper, dupper, [](int i, int j) { return i < j; });
  for (int i = 0; gradients.log_scale && i < c; ++i) {
    gradients.log_scale.write(i, float(dupper(i, i) * triangles.upper(i, i)));
  }
}

}  // namespace flowsmith::core
