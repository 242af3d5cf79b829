// Checks gradients of the tape against two other ways to get them: central differences of the values, and
// the same computation on another backend.
//
// Example:
//   const std::vector<NamedArray> inputs{{"x", Shape{2, 3, 5, 4}, values}};
//   const auto checks = check_gradients(inputs, [](Tape& tape, std::span<const Var> in) {
//     return std::vector{concat_elu(tape, in[0])};
//   });
//   for (const GradientCheck& check : checks) assert(check.error <= kGradientBound);
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/tape.h"

namespace flowsmith::core {

/// An input and its values.
struct NamedArray {
  std::string name;
  Shape shape;
  std::vector<double> values;
};

/// Records a computation on the tape and returns the results to check, f32 or f64 of any shape. `inputs` are leaves in
/// the order of the list given to the checker.
using Computation = std::function<std::vector<Var>(Tape& tape, std::span<const Var> inputs)>;

/// What was found for one input.
struct GradientCheck {
  std::string input;
  std::size_t size = 0;  ///< elements
  double error = 0;      ///< the worst relative error; infinite if a gradient is not finite
  std::string where;     ///< of the worst error: "element 17", "a random direction" or "all elements"
};

/// The step of the central differences: with values and third derivatives of order 1 they are off by h^2/6 (the cut
/// Taylor series) and 1e-16/h (rounding), and at h = 1e-5 both are 2e-11 or less.
inline constexpr double kDifferenceStep = 1e-5;

/// The step along a direction of length 1 in all elements of an input, which moves each of them less: ten times the
/// step leaves a tenth of the rounding, and h^2/6 is still 2e-9.
inline constexpr double kDirectionStep = 1e-4;

/// The bound for a correct gradient. Losses sum hundreds of terms, and the third derivatives of a logit or of a
/// division by a small deviation exceed 1: that is what the distance to 2e-9 is for. A wrong formula errs by far more.
inline constexpr double kGradientBound = 1e-6;

/// Checks the gradient of each input separately, in f64 on Device::kReference.
///
/// The results become one loss, a weighted sum with fixed random weights, so every element of every result counts. The
/// computation is recorded twice on the same leaves: in backward its last recording overwrites gradients and the first
/// accumulates onto them.
///
/// Inputs of at most `max_elements` elements are checked element by element. Of larger ones, so many elements of a
/// fixed pseudo-random choice are, and then all elements at once along a random direction.
///
/// The relative error of a derivative a against its difference d is |a - d| / max(|a|, |d|, floor). The floor keeps
/// rounding from being blown up where derivatives vanish or cancel: it is the larger of 1/100 of the input's largest
/// derivative, and the derivative at which the rounding of the loss alone would make an error of kGradientBound.
///
/// Throws Error if an input's values do not fit its shape.
std::vector<GradientCheck> check_gradients(std::span<const NamedArray> inputs, const Computation& computation,
                                           std::size_t max_elements = 64);

/// An f64 input that has memory of its own, like a parameter of a flow.
struct CheckedInput {
  std::string name;
  Tensor value;  ///< changed during the check, and put back
  Tensor grad;   ///< where backward() writes the gradient
};

/// As above for a computation that makes a leaf of every input itself; it is recorded once. `direction_step` is that of
/// a random direction.
std::vector<GradientCheck> check_gradients(std::span<const CheckedInput> inputs,
                                           const std::function<std::vector<Var>(Tape&)>& record,
                                           std::size_t max_elements = 64, double direction_step = kDirectionStep);

/// The gradients in f32 on `device` against those in f64 on Device::kReference, at the same inputs (rounded to float
/// first) and of the same loss as above. The error of an input is the Euclidean distance over the norm of the f64
/// gradient, where the root mean square of that gradient counts as no less than 1/100 of the largest one of all inputs.
std::vector<GradientCheck> compare_gradients(Device device, std::span<const NamedArray> inputs,
                                             const Computation& computation);

/// That comparison alone, for gradients from elsewhere: [input][element].
std::vector<GradientCheck> compare_gradients(std::span<const std::string> names,
                                             std::span<const std::vector<double>> gradients,
                                             std::span<const std::vector<double>> expected);

}  // namespace flowsmith::core
