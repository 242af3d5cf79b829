// The activation at the end of an op, in the memory of what the op made: nobody reads that without it.
#pragma once

#include "autograd/tape.h"
#include "kernels/activation.h"

namespace flowsmith::core {

/// y = act(y).
void activate(Tape& tape, Var y, Activation activation);

/// For the backward of the op: the finished gradient of act(y), whose memory then holds that of y before its
/// activation.
Tensor finished_grad_before(Tape& tape, Var y, Activation activation);

}  // namespace flowsmith::core
