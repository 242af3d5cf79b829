// Passes of one batch size whose memory stays where it is, so that a GPU can replay them.
#pragma once

#include "engine/replay.h"
#include "models/flow.h"

namespace flowsmith {

/// x -> log p(x) for n examples.
struct Flow::Scoring {
  explicit Scoring(Device device) : inputs(device), tape(device), replay(device) {}

  int n = 0;
  bool given_noise = false;
  Arena inputs;
  BatchTensors batch;
  Tape tape;
  Var log_prob;
  Replay replay;
};

/// Latents -> n examples.
struct Flow::Decoding {
  explicit Decoding(Device device) : inputs(device), tape(device), replay(device) {}

  int n = 0;
  Arena inputs;
  std::vector<Tensor> latents;  ///< f64; the last one is overwritten by the pass
  Tensor index, stream;         ///< for drawing latents
  Tensor data;                  ///< what they stand for
  Tape tape;
  Var x;  ///< behind the last inverse: `data` before they are rounded to pixels
  Replay replay;
};

}  // namespace flowsmith
