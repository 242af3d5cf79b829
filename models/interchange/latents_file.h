// Latents in a file: safetensors with one F64 tensor [N, C, H, W] per latent, named as in Latents ("z.0", ...,
// "z.final"). They are f64 because that is what makes images survive x -> z -> x.
#pragma once

#include "models/flow.h"

namespace flowsmith::core {

/// Metadata: the flow's model, and a checksum of its weights.
SafetensorsFile latents_to_file(const Flow& flow, const Latents& latents, int n);

struct LatentBatch {
  Latents latents;
  int n = 0;
};

/// Throws Error naming `path` if the latents are not of this flow's shapes, or carry the checksum of other weights.
LatentBatch latents_from_file(const Flow& flow, const SafetensorsFile& file, const std::string& path);

}  // namespace flowsmith::core
