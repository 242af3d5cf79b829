// What a coupling does to the elements that its mask lets it change: a bijection of each, whose parameters a
// conditioner predicts.
#pragma once

#include "models/bijectors/bijector.h"

namespace flowsmith::core {

class Transformer {
 public:
  virtual ~Transformer() = default;

  /// Numbers that the conditioner predicts for each element.
  virtual int parameters_per_element() const = 0;

  /// z' of x and its parameters p (n,h,w,parameters_per_element*c); adds the log-determinant to pass.logdet. Works in
  /// place where the tape does not record.
  virtual Var forward(FlowPass& pass, Var x, Var p, Mask mask) const = 0;
  /// Takes the value of z back to that of x, in place; subtracts the log-determinant, if it is wanted.
  virtual void inverse(FlowPass& pass, Var z, Var p, Mask mask) const = 0;
  /// For z = in_place(x) that forward() was run on while nothing was recorded: takes its value back to that of x, up to
  /// rounding, and records what forward() would have recorded.
  virtual void rebuild(const FlowPass& pass, Var z, Var x, Var p, Mask mask) const = 0;

  /// The most that the log-scale of an element of this channel can be. Nothing if there is no bound.
  virtual std::optional<double> largest_log_scale(const Parameters&, int) const { return std::nullopt; }

  virtual std::string description() const = 0;
};

}  // namespace flowsmith::core
