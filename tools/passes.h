// What a tool says where memory was too small for the passes that it meant to make.
#pragma once

#include <cstdio>

#include "models/flow.h"

namespace flowsmith::core {

/// Says on stderr that passes were of fewer examples than `asked`, for which there was no room.
inline void say_passes(const Flow& flow, int asked = Flow::kInferenceBatch) {
  if (flow.inference_batch() >= asked) return;
  std::fprintf(stderr, "memory had no room for passes of %d examples: they were of %d, with the same results\n", asked,
               flow.inference_batch());
}

}  // namespace flowsmith::core
