#include "models/bijectors/bijector.h"

#include <algorithm>
#include <cmath>

namespace flowsmith::core {

ParameterVars::ParameterVars(Tape& tape, const Parameters& parameters) {
  for (int i = 0; i < parameters.count(); ++i) {
    const Var v = tape.leaf(parameters.value(i), parameters.grad(i));
    if (i == 0) first_ = v.id;
  }
}

double largest_drift(const std::vector<RebuiltInput>& inputs, Device device) {
  double largest = 0;
  for (const RebuiltInput& input : inputs) {
    dispatch_path(device, input.kept.dtype(), [&](auto, auto zero) {
      using T = decltype(zero);
      const auto kept = download<T>(device, input.kept), rebuilt = download<T>(device, input.rebuilt);
      for (std::size_t i = 0; i < kept.size(); ++i) largest = std::max(largest, std::abs(double(rebuilt[i] - kept[i])));
    });
  }
  return largest;
}

}  // namespace flowsmith::core
