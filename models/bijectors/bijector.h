// What the layers of a flow have in common: a bijection of feature maps with a log-determinant.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "engine/parameters.h"
#include "models/settings.h"

namespace flowsmith::core {

/// The parameters of a flow as variables of one tape.
class ParameterVars {
 public:
  ParameterVars(Tape& tape, const Parameters& parameters);
  Var operator[](int i) const { return {first_ + i}; }

 private:
  int first_ = 0;
};

/// The input of consecutive couplings that worked in place (Tape::recompute): a copy, and the memory in which backward
/// rebuilds it.
struct RebuiltInput {
  Tensor kept, rebuilt;
};

/// The largest |rebuilt - kept| of all elements, after backward: how far rounding carried what couplings were rebuilt
/// from, and so what their gradients were computed at. 0 if there is none. Waits for the device.
double largest_drift(const std::vector<RebuiltInput>& inputs, Device device);

/// Statistics of a batch, and those that follow them from step to step.
struct RunningUpdate {
  ChannelMoments running, batch;
  std::size_t count;  ///< values per channel in the batch
  double momentum;
};

/// One pass through a flow, in either direction.
struct FlowPass {
  Tape& tape;
  const ParameterVars& parameters;
  DType network_type;           ///< of the conditioners: f32, or f64 for gradient checks
  Var logdet;                   ///< (n) f64: the forward direction adds to it, the inverse subtracts; none: not wanted
  std::vector<Tensor> latents;  ///< one for each split, in the order of the layers; see below
  bool keep_latents = false;    ///< the forward direction fills `latents`
  // The inverse direction reads `latents` and needs them all.
  std::vector<RebuiltInput> rebuilt = {};  ///< filled by the forward direction while the tape says recompute()
  Var log_prior = {};             ///< (n) f64: where splits add the log-density of their latents; none: to logdet
  bool batch_statistics = false;  ///< batch norms take those of the batch, as in training
  /// Where they put what their running statistics then learn, after the step; none: not wanted.
  std::vector<RunningUpdate>* running = nullptr;
  Tensor image = {};  ///< u8 (n,h,w,c): what couplings inside a variational dequantization are conditioned on
  int levels = 256;   ///< grey levels of that image
  /// Called by a dequantization of several parts after each but the last, with its name and what it is.
  const std::function<void(const std::string&, const std::string&)>* on_part = nullptr;
};

/// A mask as PyTorch's state_dict names it.
struct NamedMask {
  std::string name;
  Mask mask;
  MapShape shape;  ///< of z there, n = 1
};

class Bijector {
 public:
  virtual ~Bijector() = default;

  /// x -> z; adds its log-determinant to pass.logdet.
  virtual Var forward(FlowPass& pass, Var x) const = 0;
  /// z -> x; subtracts its log-determinant (that of the forward direction, at x) from pass.logdet, if that is wanted.
  virtual Var inverse(FlowPass& pass, Var z) const = 0;

  /// As forward, for the first examples that a new flow sees, before it has learned anything: layers whose initial
  /// values depend on data set them first (actnorm: Kingma and Dhariwal 2018, section 3.1).
  virtual Var initialize(FlowPass& pass, Parameters&, Var x) const { return forward(pass, x); }
  /// Whether initialize() sets anything.
  virtual bool needs_data() const { return false; }
  /// Whether training normalises by the statistics of a batch, which one example does not have.
  virtual bool uses_batch_statistics() const { return false; }
  /// Called when parameters and states have new values from a seed or a file: brings up to date what the layer keeps of
  /// them. Throws Error if they are no bijection.
  virtual void weights_changed(const Parameters&) {}
  /// Of the layer's matrix: how much its inverse can blow rounding up. Nothing if it has none.
  virtual std::optional<double> condition_number(const Parameters&) const { return std::nullopt; }
  /// The most that its log-determinant can be. Nothing if there is no such bound.
  virtual std::optional<double> largest_logdet(const Parameters&) const { return std::nullopt; }

  virtual MapShape output_shape(MapShape input) const { return input; }
  /// Of what the layer sends to the base at once, n = 1; nothing if all goes on to the next layer.
  virtual std::optional<MapShape> latent_shape() const { return std::nullopt; }
  virtual std::vector<NamedMask> masks() const { return {}; }
  virtual std::string description() const = 0;
};

/// What a factory needs to know of the flow that its layer becomes part of.
struct Builder {
  Parameters& parameters;
  std::string prefix;      ///< of the names of the layer's parameters: "flows.3."
  MapShape shape;          ///< of z in front of the layer, n = 1
  int repetition = 0;      ///< layers that were made of the same settings before
  int latents = 0;         ///< layers in front of it that have a latent_shape()
  int levels = 256;        ///< grey levels of 8-bit images
  int image_channels = 0;  ///< of an image that couplings see besides z (FlowPass::image)
};

}  // namespace flowsmith::core
