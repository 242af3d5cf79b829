#include "engine/adam.h"

#include <cmath>
#include <cstring>

#include "engine/dispatch.h"

namespace flowsmith {

Adam::Adam(const Parameters& parameters) : parameters_(parameters) {
  m_ = arena_.tensor(parameters.dtype(), parameters.values().shape());
  v_ = arena_.tensor(parameters.dtype(), parameters.values().shape());
  std::memset(m_.raw(), 0, m_.bytes());
  std::memset(v_.raw(), 0, v_.bytes());
}

double Adam::gradient_norm() const {
  double sum = 0;
  dispatch_network(parameters_.device(), parameters_.dtype(), [&](auto stream, auto zero) {
    const Tensor grads = parameters_.grads();
    sum = squared_norm(grads.data<decltype(zero)>(), grads.size(), stream);
  });
  return std::sqrt(sum);
}

void Adam::step(double norm, double max_norm, AdamOptions options) {
  require(std::isfinite(norm), "the gradient norm is not finite: the step would destroy the weights");
  ++step_count_;
  dispatch_network(parameters_.device(), parameters_.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    adam_step(parameters_.values().data<T>(), m_.data<T>(), v_.data<T>(), parameters_.grads().data<T>(),
              clip_factor(norm, max_norm), step_count_, options, m_.size(), stream);
  });
}

}  // namespace flowsmith
