#include "models/dequantization.h"

namespace flowsmith {

Var Dequantization::forward(FlowPass& pass, Tensor images, Var u) const {
  if (variational()) {
    Var v = logit(pass.tape, u, pass.logdet);
    for (const auto& coupling : couplings_) v = coupling->forward(pass, v, images);
    u = sigmoid(pass.tape, v, pass.logdet);
  }
  return dequantize(pass.tape, images, u, pass.logdet);
}

std::string Dequantization::description() const {
  return variational() ? "variational dequantization" : "uniform dequantization";
}

}  // namespace flowsmith
