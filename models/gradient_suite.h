// All gradient checks: the ops, whole flows, and the fast devices against the reference.
#pragma once

#include "autograd/gradient_suite.h"
#include "models/flow.h"

namespace flowsmith::core {

/// A named model in its smallest form that has all of its kinds of layers: for the smallest data that they fit, the
/// tutorial's with networks as they are, the others with few couplings and narrow networks.
FlowConfig small_config(const std::string& name);

/// The loss of each named model in its small form, for one example: its gradient for every parameter in f64 against
/// central differences, bound kFlowGradientBound. Again with recompute (Tape::recompute).
std::vector<GradientCase> flow_difference_cases();

/// The same losses and gradients in f32 on `device` against f64 on Device::kReference, bound kFloatFlowGradientBound.
std::vector<GradientCase> flow_float_cases(Device device);

/// op_difference_cases, flow_difference_cases, and the float cases of `device`, if it is not the reference itself.
std::vector<GradientCase> all_gradient_cases(Device device);

/// Initial parameters moved by random numbers in [-0.05, 0.05]: new flows are the identity, with last convolutions that
/// are zero and hide the gradients of all others. Means are moved off 0, variances and deviations below 1. The same
/// values in f32 and f64. Layers have to hear of it.
void set_random_parameters(Parameters& parameters, std::uint64_t seed);
/// The same for a flow, whose layers hear of it.
void set_random_parameters(Flow& flow, std::uint64_t seed);

/// Inside a network no ELU can be kept off its kink. One that lies within the step h of it makes the difference err by
/// up to h/4 = 2.5e-5 (kDirectionStep) times its share of the gradient, and there are thousands of them.
inline constexpr double kFlowGradientBound = 1e-5;

/// Float rounds in some forty layers, where kFloatGradientBound is for one op.
inline constexpr double kFloatFlowGradientBound = 1e-4;

}  // namespace flowsmith::core
