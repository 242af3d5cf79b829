// Replays training steps on given images and noise, so that the engine can be held against any other.
#pragma once

#include <functional>

#include "engine/device.h"
#include "engine/safetensors.h"

namespace flowsmith::core {

/// Input: metadata `config` (or `model` and `edition` of the tutorial), `lr`, `clip_norm`; the weights by name; and
/// either `images` U8 [S,B,C,H,W] with `noise` F32 of the same shape (uniform dequantization noise), or `data` F32
/// [S,B,D] or [S,B,H,W,C]. Output: `log_prob` F32 [S,B] (nats, before each step's update), `loss` F32 [S] (the mean in
/// Flow::unit()), `grad_norm` F32 [S] (before clipping), `z.final` F32 [B,C,H,W] of step 0, and the weights after S
/// Adam steps, by name. `path` names the input in errors; `on_step(done, steps)` reports progress.
SafetensorsFile replay(const SafetensorsFile& input, const std::string& path, Device device,
                       const std::function<void(int, int)>& on_step);

}  // namespace flowsmith::core
