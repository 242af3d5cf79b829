// The ops of the tape: one function per op, its gradient beside it in the .cpp file of its family. The
// formulas stand in the kernel headers of the same names.
//
// Types: the path of the flow (z, u, v) is f32 or f64, networks are f32 or f64, log-densities and
// log-determinants are always f64 with shape (N). `logdet` is one variable through the whole flow: ops add
// to its value in place, so its gradient is the same for all of them.
//
// Every function throws Error if types or shapes do not fit together.
#pragma once

#include "autograd/tape.h"
#include "kernels/conv.h"
#include "kernels/mask.h"

namespace flowsmith {

// autograd/dequantization.cpp
Var dequantize(Tape& tape, Tensor images, Var u, Var logdet);  ///< images u8 (n,h,w,c); returns z like u
Var logit(Tape& tape, Var u, Var logdet);                      ///< u is noise: no gradient
Var sigmoid(Tape& tape, Var v, Var logdet);

// autograd/noise.cpp
/// Where uniform noise u of the images of a batch comes from, in the memory of the device.
struct NoiseTensors {
  Tensor index;   ///< u32 (n): the numbers of the images
  Tensor stream;  ///< the bytes of a NoiseStream
};
/// dequantize(images, u) and logit(u); on a GPU in one pass, without writing u. No gradient: nothing learned is in
/// front.
Var noisy_dequantize(Tape& tape, Tensor images, NoiseTensors noise, Var logdet, DType path);
Var noisy_logit(Tape& tape, NoiseTensors noise, MapShape map, Var logdet, DType path);

// autograd/coupling.cpp
/// mask * z, with the image (u8, or none) scaled to [-1, 1] behind it, in the type of the network.
Var conditioner_input(Tape& tape, Var z, Tensor image, Mask mask, DType network_type);
/// While the tape is not recording, works in place on z and returns it.
Var coupling(Tape& tape, Var z, Var st, Var scaling_factor, Var logdet, Mask mask);
/// z_out becomes z, in place; no gradient.
void coupling_inverse(Tape& tape, Var z_out, Var st, Var scaling_factor, Mask mask);
/// For z_out = in_place(z) that coupling() was run on while nothing was recorded: takes its value back to that of z, up
/// to rounding, and records what coupling() would have recorded.
void rebuild_coupling(Tape& tape, Var z_out, Var z, Var st, Var scaling_factor, Var logdet, Mask mask);

// autograd/conv.cpp
/// weight [k][k][c_in][c_out] with k = 1 or 3; with concat_elu, c_in is twice the channels of x. The masks say what of
/// x and y may be left out (kernels/conv.h).
Var conv(Tape& tape, Var x, Var weight, Var bias, bool concat_elu, ConvMask x_mask = {}, ConvMask y_mask = {});

// autograd/gated_block.cpp
struct GatedBlockVars {
  Var weight3, bias3, weight1, bias1, gamma, beta;
};
Var gated_block(Tape& tape, Var x, const GatedBlockVars& weights, bool concat_elu_input);

// autograd/pointwise.cpp: the parts of the gated block as ops of their own
Var concat_elu(Tape& tape, Var x);
Var gate(Tape& tape, Var x, Var vg);
Var layer_norm(Tape& tape, Var x, Var gamma, Var beta);

// autograd/squeeze.cpp
Var squeeze(Tape& tape, Var z);
Var unsqueeze(Tape& tape, Var z);  ///< the inverse, (n,h,w,4c) -> (n,2h,2w,c); no gradient

// autograd/prior.cpp
/// logp += log N(z; 0, 1)
void gaussian_log_density(Tape& tape, Var z, Var logp);
/// Returns the kept channels; logp += log N(latent; 0, 1). `latent`, if it is not null, receives the others.
Var split(Tape& tape, Var z, Var logp, Tensor* latent);
Var unsplit(Tape& tape, Var kept, Tensor latent);  ///< the inverse; no gradient

// autograd/likelihood.cpp
/// Scalar: mean over the batch of -log_prob / (dims * ln 2).
Var mean_bits_per_dim(Tape& tape, Var log_prob, std::size_t dims);

}  // namespace flowsmith
