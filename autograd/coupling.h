// What the ops of all couplings share. A coupling is a file of its own with three ops: forward, inverse, and rebuild,
// which takes what forward wrote over its input back and records what forward would have recorded.
#pragma once

#include "autograd/ops.h"

namespace flowsmith::core {

/// Whether an operand that may be left out is there.
inline bool given(Var v) { return v.id >= 0; }

inline void require_mask(Mask mask) {
  require((mask.kind == MaskKind::kList) == (mask.bits != nullptr),
          "a mask has bits if it is a list, and only then (kernels/mask.h)");
}

/// Where a coupling writes: new memory while the tape is recording, otherwise z itself.
inline Var coupling_output(Tape& tape, Var z, bool needs_grad) {
  const Tensor path = tape.value(z);
  return tape.recording() ? tape.output(path.dtype(), path.shape(), needs_grad) : z;
}

}  // namespace flowsmith::core
