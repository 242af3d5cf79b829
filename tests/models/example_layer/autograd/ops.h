// What autograd/ops.h would say of the new op.
#pragma once

#include "autograd/tape.h"

namespace flowsmith::core {

// autograd/scaled_asinh.cpp
/// a asinh(x / a) of every element. While the tape is not recording, works in place on x and returns it.
Var scaled_asinh(Tape& tape, Var x, double a, Var logdet);
/// z becomes x, in place, and what scaled_asinh() added is subtracted from logdet unless that is Var{}; no gradient.
void scaled_asinh_inverse(Tape& tape, Var z, double a, Var logdet);

}  // namespace flowsmith::core
