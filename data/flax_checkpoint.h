// The weights in a checkpoint of the tutorial's JAX edition, which Flax wrote, read without JAX.
#pragma once

#include "data/checkpoint.h"

namespace flowsmith::core {

/// A set of weights in a file that flax.serialization.to_bytes or flax.training.checkpoints.save_checkpoint (without
/// Orbax) wrote: MessagePack, in which maps nest by the names of modules and an array is an extension of type 1 with
/// shape, type and bytes. A set is what lies beside an array of "flows_0", such as all that stands under "params"; the
/// set under `key`, or without one that under "params", else the file as a whole, else the first that belongs to no
/// optimizer.
///
/// Names and layouts become those of the tutorial's PyTorch edition: "flows_2/network/nn/layers_1/Conv_0/kernel" is
/// "flows.2.network.nn.1.net.1.weight", and a kernel (height, width, in, out) becomes (out, in, height, width). Names
/// of other modules stay as they are, with dots.
///
/// The file is not trusted: maps nest 32 deep at most, names have 500 characters, there are 20,000 arrays, and sizes
/// are checked against the file. Throws an Error that names the file and what was refused.
Checkpoint read_flax_checkpoint(InputFile& file, const std::string& key = "");

}  // namespace flowsmith::core
