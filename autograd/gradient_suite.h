// Every op of the tape with inputs to check its gradients at: what the gradcheck tool and the tests run.
#pragma once

#include "autograd/gradient_check.h"

namespace flowsmith::core {

/// One check to run. All its inputs pass if none has an error above the bound.
struct GradientCase {
  std::string name;
  double bound;
  std::function<std::vector<GradientCheck>()> run;
};

/// Each op of autograd/ops.h that has a gradient, at several shapes (odd sizes, single images, rows, columns and
/// channels), masks and editions: f64 gradients against central differences, bound kGradientBound.
std::vector<GradientCase> op_difference_cases();

/// The same ops in f32 on `device` against f64 on Device::kReference, bound kFloatGradientBound, or more where an
/// op cancels.
std::vector<GradientCase> op_float_cases(Device device);

/// Float keeps 6e-8 of each number; an op adds up some ten to a hundred of them, and a layer norm divides by deviations
/// well below 1. A formula that is wrong for one element in a thousand is off by 3e-2.
inline constexpr double kFloatGradientBound = 1e-5;

}  // namespace flowsmith::core
