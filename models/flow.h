// A normalizing flow: exact likelihoods, latents and samples of 8-bit images or vectors of numbers.
//
//   log p(x) = log p_base(z) + log |det dz/dx|,  z = f(x)            (for 8-bit images of x + noise)
//
// Example:
//   Flow flow = Flow::load("best.safetensors");
//   Batch batch{pixels, index, 64};                              // pixels: 64 x 28 x 28 bytes
//   std::vector<double> nats = flow.log_prob(batch, {seed, NoisePurpose::kScoring, 0}, 8);
//   std::vector<std::uint8_t> images = flow.sample({.count = 16, .seed = 7});
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "models/bases/base.h"
#include "models/batch.h"
#include "models/bijectors/sequence.h"
#include "models/config.h"
#include "models/input/input_layer.h"

namespace flowsmith::core {

/// One latent of a batch: per example h*w*c numbers, NHWC.
struct Latent {
  std::string name;  ///< "z.0" for the first split, ..., "z.final"
  int h = 0, w = 0, c = 0;
  std::vector<double> values;
};

/// All latents of a batch, in the order in which the flow makes them. Together they are as many numbers as
/// the data have.
using Latents = std::vector<Latent>;

struct SampleOptions {
  int count = 64;
  std::uint64_t seed = 0;
  double temperature = 1;   ///< factor on the standard deviations of the base
  std::uint32_t first = 0;  ///< number of the first sample: sample k of a seed is the same in any batch
  /// Instead of `temperature`, one for each latent in the order of latent_shapes().
  std::vector<double> temperatures = {};
};

/// What a stack of layers makes of arrays.
struct Transformed {
  std::vector<double> values;  ///< per example as many as went in
  std::vector<double> logdet;  ///< per example: log|det| of the direction that was run
};

/// What weights were trained on.
struct Origin {
  std::string data;        ///< as load_dataset() takes it
  std::uint64_t seed = 0;  ///< that drew the validation set from it
};

/// What a flow throws instead of latents, images or numbers that are not finite. The message names the layer and the
/// example, counted as the caller counts them.
class NotFinite : public Error {
 public:
  explicit NotFinite(const std::string& message) : Error(message, ErrorCode::kNotFinite) {}
};

class Flow {
 public:
  /// A new flow whose parameters are all zero but for allocation; call initialize() or load weights. `network_type` f64
  /// is for gradient checks on Device::kReference. Throws Error naming the layer if one does not fit the shape of what
  /// comes before it, or if the flow has more than `most_parameters`, before they take memory; and what
  /// require_usable(device) throws.
  explicit Flow(const FlowConfig& config, Device device = Device::kCpu, DType network_type = DType::kF32,
                std::size_t most_parameters = std::size_t(-1));
  ~Flow();
  Flow(Flow&&) noexcept;

  /// Initial weights as each layer's documentation says, drawn from the seed.
  void initialize(std::uint64_t seed);
  /// The mean and standard deviation of each column of the training data, for a flow whose data are standardized: kept
  /// with the weights, undone in samples, and counted in the log-determinant.
  void standardize(const std::vector<double>& mean, const std::vector<double>& deviation);
  /// Whether layers take initial values from data, as actnorm does.
  bool needs_data() const;
  /// Whether a training step needs at least two examples, for batch norms.
  bool uses_batch_statistics() const;
  /// Lets them. To be called once, on the first examples, before training; the flag goes into weight files, so that
  /// nobody does it again. Layers behind them see what they make of the examples.
  void initialize_from(Batch batch, DequantizationNoise noise);
  bool is_data_initialized() const { return data_initialized_; }
  void set_data_initialized(bool done) { data_initialized_ = done; }
  /// To be called when parameters() got new values. Throws Error naming the layer if they are no bijection.
  void weights_changed();

  // --- files (models/files/weights.cpp) ---

  /// Reads a weight file written by save(), by training, or from PyTorch under the tutorial's names; the configuration
  /// is taken from the file. Throws Error naming the file.
  static Flow load(const std::string& path, Device device = Device::kCpu);
  /// The same of a file that is in memory; `path` names it in errors.
  static Flow from_file(const SafetensorsFile& file, const std::string& path, Device device = Device::kCpu);
  /// What the file said of it; nothing of files of earlier versions and of others, and of new flows.
  const std::optional<Origin>& origin() const { return origin_; }
  /// Writes the weights and the configuration, atomically.
  void save(const std::string& path) const;

  // --- whole batches, without gradients; the path is f64 (models/inference.cpp) ---

  // Calls on a const Flow may come from several threads at once: each has memory of its own. On a GPU they take turns.

  static constexpr int kInferenceBatch = 64;
  /// Examples of one pass in the calls below (default kInferenceBatch): larger batches are cut into pieces of this
  /// size, and where there is no memory for it, it is halved until there is. It changes memory and speed, never a
  /// result. OutOfMemory where not even one example has room.
  void set_inference_batch(int n);
  /// As it was set, or smaller once a pass had no room.
  int inference_batch() const;

  /// log p(x) in nats of each example; of images for one draw of noise (a lower bound of the exact value).
  std::vector<double> log_prob(Batch batch, DequantizationNoise noise) const;
  /// The same for draws 0 ... samples-1 of the stream, [sample][image].
  std::vector<double> log_prob_draws(Batch batch, NoiseStream stream, int samples) const;
  /// log p(x) with `samples` importance samples: log-mean-exp over log_prob_draws.
  std::vector<double> log_prob(Batch batch, NoiseStream stream, int samples) const;

  /// Throws NotFinite if a latent is not finite.
  Latents encode(Batch batch, DequantizationNoise noise) const;
  /// The images of n sets of latents; gives back exactly what encode() was given, unless the layers stretch so much
  /// that not even doubles do. Throws Error if the latents are not those of this flow, or if it takes numbers, and
  /// NotFinite if a layer makes something that is not finite of them.
  std::vector<std::uint8_t> decode(const Latents& latents, int n) const;
  /// Throws NotFinite if a layer makes something that is not finite of the latents that are drawn.
  std::vector<std::uint8_t> sample(const SampleOptions& options) const;
  /// The latents that sample() decodes, in the order of latent_shapes().
  Latents draw_latents(const SampleOptions& options) const;
  /// The same for flows of numbers.
  std::vector<double> decode_numbers(const Latents& latents, int n) const;
  std::vector<double> sample_numbers(const SampleOptions& options) const;

  /// The layers as a function on n examples of dims() numbers (NHWC): x -> z. Where layers split, z is the latents of
  /// an example one after the other. For flows of 8-bit images x is what their dequantization gives. Base and
  /// dequantization take no part.
  Transformed transform(std::span<const double> x, int n) const;
  Transformed inverse_transform(std::span<const double> z, int n) const;

  /// Kernels, copies and fills of the captured pass of log_prob(), and of decode() and sample(); 0 where nothing is
  /// captured.
  std::size_t scoring_graph_nodes() const;
  std::size_t decoding_graph_nodes() const;

  // --- one pass on a tape, for training and tools ---

  struct Pass {
    Var log_prob;                        ///< (n) f64
    Var z;                               ///< final latent
    std::vector<Tensor> latents;         ///< of the splits, if asked for
    std::vector<RebuiltInput> rebuilt;   ///< where the tape says recompute(); backward then writes over z
    std::vector<RunningUpdate> running;  ///< of batch norms, if they took the batch's statistics
  };
  /// Of a batch of n examples. `path` is the type of z.
  BatchLayout batch_layout(int n, DType path, bool given_noise) const;
  /// `batch_statistics`: batch norms normalise by the statistics of the batch, as in training, instead of running ones.
  /// `memory`: an earlier pass, whose lists are used again.
  Pass forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents, bool batch_statistics = false,
               Pass memory = {}) const;
  /// The same with the batch on its way first. Throws Error if it is empty.
  Pass forward(Tape& tape, Batch batch, DequantizationNoise noise, DType path, bool keep_latents,
               bool batch_statistics = false) const;

  /// Where a forward pass first meets a value that is not finite: "layer flows.3 (squeeze), image 17"; nothing if
  /// all are finite. Images are named by their index.
  std::optional<std::string> find_non_finite(Batch batch, DequantizationNoise noise, DType path,
                                             bool batch_statistics = false) const;

  /// Of a layer whose log-determinant is bounded: what it is on average over the examples, and its bound.
  struct BoundedLogdet {
    std::string name;
    double mean, largest;
  };
  /// Flows stall when every coupling expands as much as it can: this is how near they are. Batch norms take running
  /// statistics.
  std::vector<BoundedLogdet> bounded_logdets(Batch batch, DequantizationNoise noise) const;

  /// A part of log p(x), which is their sum.
  struct LedgerTerm {
    std::string name;          ///< "quantisation", "logit", "flows.3", "base"
    std::string what;          ///< in words
    MapShape map;              ///< of what comes out of it, n = 1
    std::vector<double> nats;  ///< of each example
  };
  /// Where log p(x) of each example comes from, in the order of the layers: for images the width of a grey level and
  /// the logit, and the parts of a variational dequantization; each layer's log-determinant, and the log-density of
  /// what a split lets go; the base. One pass, whatever inference_batch() is.
  std::vector<LedgerTerm> ledger(Batch batch, DequantizationNoise noise) const;

  /// A batch behind a layer.
  struct LayerOutput {
    std::string name;
    MapShape map;                ///< n = 1
    std::vector<double> values;  ///< NHWC, of all examples
  };
  /// The examples behind the dequantization ("flows.0") and behind each layer, in f64. One pass.
  std::vector<LayerOutput> layer_outputs(Batch batch, DequantizationNoise noise) const;
  /// The same the other way: latents ("base"), and what each layer's inverse makes of them, from the last layer to the
  /// first.
  std::vector<LayerOutput> inverse_outputs(const Latents& latents, int n) const;

  /// d log p(x) / dz of each example in nats, z being the data behind the dequantization ("flows.0"), whose noise is
  /// held as it is: what would make it likelier. NHWC. The gradients of the parameters are overwritten.
  std::vector<double> log_prob_gradient(Batch batch, DequantizationNoise noise);

  /// How a layer computes, on some examples (models/layer_health.cpp).
  struct LayerHealth {
    std::string name, description;
    double round_trip = 0;  ///< largest |x' - x| where the layer is inverted at its own output, in f64
    /// Of the elements that a coupling transforms: the smallest and the largest log dz/dx.
    std::optional<std::pair<double, double>> log_scale = {};
    /// The mean of its log-determinant as a share of the largest that its bound allows.
    std::optional<double> share_of_bound = {};
    std::optional<double> condition_number = {};  ///< of the matrix of a linear layer
    /// Largest difference, over the examples, between the log-determinants with x in f32 and in f64: nats.
    double precision_gap = 0;
    /// Of its network: share of the hidden channels to which no example gives a gradient. Nothing without a network.
    std::optional<double> dead_channels = {};
  };
  /// Of each layer behind the dequantization. The gradients of the parameters are overwritten. Throws NotFinite where
  /// a layer makes something that is not finite.
  std::vector<LayerHealth> layer_health(Batch batch, DequantizationNoise noise);

  // --- what it is made of ---

  const FlowConfig& config() const { return config_; }
  bool takes_images() const { return takes_images_; }
  /// Of n examples of data.
  MapShape data_shape(int n) const { return data_shape_.with_images(n); }
  std::size_t dims() const { return data_shape(1).size(); }
  /// Nats in one unit of the flow's score: bits per dimension for 8-bit images, nats for numbers.
  double nats_per_unit() const;
  std::string unit() const { return takes_images() ? "bits/dim" : "nats"; }

  Device device() const { return parameters_.device(); }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

  /// Names and shapes (n = 1) of the latents, in order.
  std::vector<std::pair<std::string, MapShape>> latent_shapes() const;

  struct LayerInfo {
    std::string name;  ///< "flows.3", the prefix of its parameters; "base"
    std::string description;
    MapShape output;  ///< n = 1
    std::size_t parameters;
    std::optional<double> condition_number;  ///< of the matrix of a linear layer
  };
  /// The layers, and the base behind them.
  std::vector<LayerInfo> layers() const;
  std::vector<NamedMask> masks() const;

 private:
  // models/fixed_passes.h
  struct Scoring;
  struct Decoding;
  struct Workspace;
  struct Workspaces;
  class Borrowed;

  /// Runs one layer forward on n examples of its own, given as `path`; what it makes, in f64, and its log-determinants.
  Transformed run_layer(const PlacedLayer& layer, MapShape input, std::span<const double> x, DType path) const;
  /// A layer's part of layer_health().
  double round_trip_error(const PlacedLayer& layer, MapShape input, std::span<const double> x) const;
  void find_dead_channels(std::vector<LayerHealth>& layers, Batch batch, DequantizationNoise noise);
  /// A batch in memory of the tape.
  BatchTensors uploaded(Tape& tape, Batch batch, DequantizationNoise noise, DType path) const;
  /// Calls visit(layer number, z, logdet) after each layer, and part(pass, name, what) after each part of a
  /// dequantization but the last.
  template <class Visit, class Part>
  Pass run_forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents, bool batch_statistics,
                   Pass memory, Visit&& visit, Part&& part) const;
  /// z, in the shape of the last layer, back to that of the first. Calls visit(layer number, z) behind each layer, from
  /// the last one, which has the largest number, to 1.
  template <class Visit>
  Var run_inverse(FlowPass& pass, Var z, Visit&& visit) const {
    for (std::size_t i = layers_.size(); i-- > 0;) {
      z = layers_[i].bijector->inverse(pass, z);
      visit(int(i) + 1, z);
    }
    return z;
  }
  Var run_inverse(FlowPass& pass, Var z) const {
    return run_inverse(pass, z, [](int, Var) {});
  }
  /// Of what the first layer behind the dequantization sees.
  MapShape layer_shape(int n) const { return layer_shape_.with_images(n); }

  std::optional<std::string> find_non_finite(Workspace& work, Batch batch, DequantizationNoise noise, DType path,
                                             bool batch_statistics) const;

  // models/inference.cpp: passes of one batch size
  /// Calls fn(begin, n) for consecutive passes of at most inference_batch() examples. A pass that ran out of memory is
  /// made again in halves.
  template <class Fn>
  void in_passes(Workspace& work, int count, Fn&& fn) const;
  Scoring& scoring(Workspace& work, int n, bool given_noise) const;
  Decoding& decoding(Workspace& work, int n) const;
  /// A temperature for each latent. Throws Error if one is negative or not finite, or there are not as many.
  std::vector<double> temperatures_of(const SampleOptions& options) const;
  /// Draws the latents of a pass: those of samples `begin` and on.
  void draw(Decoding& pass, const SampleOptions& options, int begin) const;
  /// Runs `fill`, which lays latents into the pass, and writes what they stand for to `data`. Throws NotFinite, for an
  /// example counted from `first`.
  template <class Fill>
  void run_decoding(Workspace& work, Decoding& pass, std::uint32_t first, void* data, Fill&& fill) const;
  /// "layer flows.3 (squeeze), image 17": where the latents of the pass first become something that is not finite.
  std::string find_non_finite_inverse(Tape& tape, const Decoding& pass, std::uint32_t first) const;
  void decode_into(const Latents& latents, int n, std::byte* data) const;
  void sample_into(const SampleOptions& options, std::byte* data) const;
  std::size_t example_bytes() const;

  FlowConfig config_;
  bool takes_images_;                  ///< as the configuration says
  MapShape data_shape_, layer_shape_;  ///< n = 1
  Parameters parameters_;
  std::unique_ptr<InputLayer> input_;
  std::vector<PlacedLayer> layers_;  ///< behind the input
  std::unique_ptr<Base> base_;
  bool data_initialized_ = false;
  std::optional<Origin> origin_;
  std::unique_ptr<Workspaces> workspaces_;
};

}  // namespace flowsmith::core
