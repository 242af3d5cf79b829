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
#include "kernels/activation.h"
#include "kernels/affine_coupling.h"
#include "kernels/batch_norm.h"
#include "kernels/conv.h"
#include "kernels/dequantization.h"
#include "kernels/layer_norm.h"
#include "kernels/mask.h"

namespace flowsmith::core {

// autograd/dequantization.cpp
Var dequantize(Tape& tape, Tensor images, Var u, Var logdet,
               Dequantizer dequantizer = {});                            ///< images u8 (n,h,w,c); returns z like u
Var logit(Tape& tape, Var u, Var logdet, Dequantizer dequantizer = {});  ///< u is noise: no gradient
Var sigmoid(Tape& tape, Var v, Var logdet, double alpha);
/// Where uniform noise u of the images of a batch comes from, in the memory of the device.
struct NoiseTensors {
  Tensor index;   ///< u32 (n): the numbers of the images
  Tensor stream;  ///< the bytes of a NoiseStream
};
/// dequantize(images, u) and logit(u) with no memory for u. No gradient: nothing learned is in front.
Var noisy_dequantize(Tape& tape, Tensor images, NoiseTensors noise, Var logdet, DType path,
                     Dequantizer dequantizer = {});
Var noisy_logit(Tape& tape, NoiseTensors noise, MapShape map, Var logdet, DType path, Dequantizer dequantizer = {});

// autograd/mask.cpp
/// mask * z, with the image (u8, or none), reduced to `levels` grey levels and scaled to [-1, 1], behind it, in the
/// type of the network.
Var conditioner_input(Tape& tape, Var z, Tensor image, Mask mask, DType network_type, int levels = kGreyLevels);

// autograd/affine_coupling.cpp. scaling_factor is Var{} unless the form's bound is the learned tanh.
/// st (n,h,w,2c) for z (n,h,w,c). While the tape is not recording, works in place on z and returns it.
Var affine_coupling(Tape& tape, Var z, Var st, Var scaling_factor, Var logdet, Mask mask, AffineForm form);
/// z_out becomes z, in place; no gradient. Subtracts from logdet what affine_coupling() added; Var{}: not wanted.
void affine_coupling_inverse(Tape& tape, Var z_out, Var st, Var scaling_factor, Var logdet, Mask mask, AffineForm form);
/// For z_out = in_place(z) that affine_coupling() was run on while nothing was recorded: takes its value back to that
/// of z, up to rounding, and records what affine_coupling() would have recorded. logdet stays as it is.
void rebuild_affine_coupling(Tape& tape, Var z_out, Var z, Var st, Var scaling_factor, Var logdet, Mask mask,
                             AffineForm form);

// autograd/additive_coupling.cpp: the same three with t (n,h,w,c) alone; the log-determinant is 0
Var additive_coupling(Tape& tape, Var z, Var t, Mask mask);
void additive_coupling_inverse(Tape& tape, Var z_out, Var t, Mask mask);
void rebuild_additive_coupling(Tape& tape, Var z_out, Var z, Var t, Mask mask);

// autograd/conv.cpp
/// weight [k][k][c_in][c_out] with k = 1 or 3; with concat_elu, c_in is twice the channels of x. The masks say what of
/// x and y may be left out (kernels/conv.h). Ends in the activation.
Var conv(Tape& tape, Var x, Var weight, Var bias, bool concat_elu, ConvMask x_mask = {}, ConvMask y_mask = {},
         Activation activation = Activation::kNone);

// autograd/dense.cpp
/// act(x weight + bias) of each image as one row; x (n,h,w,c) with h*w*c = in, weight (in, out), bias (out). The n rows
/// of `out` numbers become the map `output`, whose images have as many elements.
Var dense(Tape& tape, Var x, Var weight, Var bias, Activation activation, MapShape output);

// autograd/weight_norm.cpp
/// g v / |v| for each output channel (kernels/weight_norm.h): v (ky,kx,in,out) or (in,out), g (out).
Var weight_norm(Tape& tape, Var v, Var g);

// autograd/gated_block.cpp
struct GatedBlockVars {
  Var weight3, bias3, weight1, bias1, gamma, beta;
};
Var gated_block(Tape& tape, Var x, const GatedBlockVars& weights, bool concat_elu_input,
                double norm_eps = kLayerNormEps);

// autograd/join.cpp
Var add(Tape& tape, Var a, Var b);              ///< a + b, of one shape
Var concat_channels(Tape& tape, Var a, Var b);  ///< (n,h,w,ca) and (n,h,w,cb) become (n,h,w,ca+cb)

// autograd/pointwise.cpp: the parts of the gated block as ops of their own
Var concat_elu(Tape& tape, Var x);
Var gate(Tape& tape, Var x, Var vg);
Var layer_norm(Tape& tape, Var x, Var gamma, Var beta);

// autograd/squeeze.cpp
Var squeeze(Tape& tape, Var z);
Var unsqueeze(Tape& tape, Var z);  ///< the inverse, (n,h,w,4c) -> (n,2h,2w,c); no gradient

// autograd/permute.cpp
/// `order` is u32 (c), in the memory of the device. While the tape is not recording, both work in place on z and return
/// it.
Var permute(Tape& tape, Var z, Tensor order);
Var unpermute(Tape& tape, Var z_out, Tensor order);  ///< the inverse; no gradient

// autograd/channel_matmul.cpp
/// W z at every pixel, weight (c,c) by [out][in]; logdet += h w log|det W|, or Var{} where somebody else adds it (with
/// compose_plu). While the tape is not recording, both directions work in place on z and return it.
Var channel_matmul(Tape& tape, Var z, Var weight, Var logdet);
/// The inverse, W^-1 in double; logdet -= h w log|det W|, or Var{}. No gradient.
Var channel_matmul_inverse(Tape& tape, Var z_out, Var weight, Var logdet);
/// Scalar f64: log|det W| of a weight (c,c).
Var log_abs_det(Tape& tape, Var weight);

// autograd/plu.cpp
/// The weight (c,c) of kernels/plu.h; permutation is u32 (c), lower and upper (c,c), log_scale and sign (c). Its
/// log|det| is the sum of log_scale: add_shared_logdet(tape, log_scale, h * w, logdet).
Var compose_plu(Tape& tape, Tensor permutation, Var lower, Var upper, Var log_scale, Tensor sign);

// autograd/shared_logdet.cpp
/// logdet += factor * sum of terms, the same for every image; terms is f32 or f64 of any shape.
void add_shared_logdet(Tape& tape, Var terms, double factor, Var logdet);

// autograd/prior.cpp
/// logp += log N(z; 0, 1)
void gaussian_log_density(Tape& tape, Var z, Var logp);
/// Returns the kept channels; logp += log N(latent; 0, 1). `latent`, if it is not null, receives the others.
Var split(Tape& tape, Var z, Var logp, Tensor* latent);
Var unsplit(Tape& tape, Var kept, Tensor latent);  ///< the inverse; no gradient

// autograd/channel_affine.cpp
/// One line per channel. `bias` may be Var{}: no shift. With `logdet` it is a layer of a flow, and while the tape is
/// not recording works in place on z and returns it; with Var{} it is part of a network and leaves z as it is.
Var channel_affine(Tape& tape, Var z, Var log_scale, Var bias, double factor, Var logdet);
/// z_out becomes z, in place, and what channel_affine() added is subtracted from logdet unless that is Var{}; no
/// gradient.
void channel_affine_inverse(Tape& tape, Var z_out, Var log_scale, Var bias, double factor, Var logdet);

// autograd/batch_norm.cpp
/// Mean and variance of every channel: f64 (c), on the device of the tape.
struct ChannelMoments {
  Tensor mean, var;
};
/// Training: normalises by the statistics of the batch, at least two images, and writes them to `batch`, which backward
/// reads again. The gradient takes them as what they are, functions of x. In a network gamma and beta have the type of
/// x and `logdet` is Var{}; in a flow gamma and beta are Var{}, and while the tape is not recording it works in place
/// on x and returns it. Ends in the activation, in a network.
Var batch_norm(Tape& tape, Var x, Var gamma, Var beta, Var logdet, ChannelMoments batch, double eps = kBatchNormEps,
               Activation activation = Activation::kNone);
/// The same with statistics that are constants: the running ones.
Var batch_norm_fixed(Tape& tape, Var x, Var gamma, Var beta, Var logdet, ChannelMoments fixed,
                     double eps = kBatchNormEps, Activation activation = Activation::kNone);
/// y becomes x, in place, for the statistics of the forward direction, and what that added is subtracted from logdet
/// unless it is Var{}; no gradient.
void batch_norm_inverse(Tape& tape, Var y, Var logdet, ChannelMoments fixed, double eps = kBatchNormEps);
/// Moves the running statistics towards those of a batch of `count` values per channel. Called after Adam::step with
/// the same loss and with Adam::squared_norm(); nothing changes if one of them is not finite. Needs no word from the
/// device, so it can be captured with the step.
void update_running(Device device, ChannelMoments running, ChannelMoments batch, std::size_t count, double momentum,
                    const Tensor& loss, const Tensor& squared_norm);

// autograd/mixture.cpp
/// logp += the log-density of a mixture of K normals: weight_logits (K), mean and log_scale (K, D) in the type of the
/// network, D the elements of an image of z. Samples: mixture_sample in kernels/mixture.h.
void mixture_log_density(Tape& tape, Var z, Var weight_logits, Var mean, Var log_scale, Var logp);

// autograd/likelihood.cpp
/// Scalar: mean over the batch of -log_prob / nats_per_unit, which is nats_per_bit_per_dim(dims) for bits per dimension
/// and 1 for nats.
Var mean_negative_log_prob(Tape& tape, Var log_prob, double nats_per_unit);

}  // namespace flowsmith::core
