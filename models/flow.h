// A normalizing flow on 8-bit grey images: exact likelihoods, latents and samples.
//
//   log p(x) = log N(z; 0, 1) + log |det dz/dx|,  z = f(x + u),  u ~ U(0,1) or learned
//
// Example:
//   Flow flow = Flow::load("best.safetensors");
//   ImageBatch batch{pixels, index, 64};                    // pixels: 64 x 28 x 28 bytes
//   std::vector<double> nats = flow.log_prob(batch, {seed});
//   std::vector<std::uint8_t> images = flow.sample({.count = 16, .seed = 7});
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "models/bijector.h"
#include "models/dequantization.h"
#include "models/model_spec.h"

namespace flowsmith {

/// Images of the flow's size, one after the other, and the number that each has in its data set: the number
/// keys its noise, so an image scores the same in any batch.
struct ImageBatch {
  const std::uint8_t* pixels;
  const std::uint32_t* index;
  int n;
};

/// Where dequantization noise comes from: a counter-based stream, or (to replay somebody else's run) given
/// values in [0, 1], as many as pixels.
struct DequantizationNoise {
  NoiseStream stream;
  const float* values = nullptr;
};

/// One latent of a batch: per image h*w*c numbers, NHWC.
struct Latent {
  std::string name;  ///< "z.0" for the first split, ..., "z.final"
  int h = 0, w = 0, c = 0;
  std::vector<double> values;
};

/// All latents of a batch, in the order in which the flow makes them. Together they are as many numbers as
/// the images have pixels.
using Latents = std::vector<Latent>;

struct SampleOptions {
  int count = 64;
  std::uint64_t seed = 0;
  double temperature = 1;   ///< standard deviation of the latents
  std::uint32_t first = 0;  ///< number of the first sample: sample k of a seed is the same in any batch
};

class Flow {
 public:
  /// A new flow whose parameters are all zero but for allocation; call initialize() or load weights. `network_type` f64
  /// is for gradient checks on Device::kReference. Throws Error for a spec that is not valid.
  explicit Flow(ModelSpec spec, Device device = Device::kCpu, DType network_type = DType::kF32);
  ~Flow();
  Flow(Flow&&) noexcept;

  /// PyTorch's default initial weights, drawn from the seed.
  void initialize(std::uint64_t seed) { parameters_.initialize(seed); }

  // --- files (models/weights.cpp) ---

  /// Reads weights written by save(), by training, or by PyTorch under the tutorial's names; the model is
  /// taken from the file. Throws Error naming the file.
  static Flow load(const std::string& path, Device device = Device::kCpu);
  /// Writes the weights under the tutorial's names, atomically.
  void save(const std::string& path) const;

  // --- whole batches, without gradients; the path is f64 ---

  /// Images of one pass in the calls below (default 64): larger batches are cut into pieces of this size. It
  /// changes memory and speed, never a result.
  void set_inference_batch(int n) { inference_batch_ = n; }

  /// log p(x) in nats of each image for one draw of noise (a lower bound of the exact value).
  std::vector<double> log_prob(ImageBatch batch, DequantizationNoise noise);
  /// The same for draws 0 ... samples-1 of the stream, [sample][image].
  std::vector<double> log_prob_draws(ImageBatch batch, NoiseStream stream, int samples);
  /// log p(x) with `samples` importance samples: log-mean-exp over log_prob_draws.
  std::vector<double> log_prob(ImageBatch batch, NoiseStream stream, int samples);
  /// -log_prob / (dims ln 2).
  std::vector<double> bits_per_dim(ImageBatch batch, NoiseStream stream, int samples);

  Latents encode(ImageBatch batch, DequantizationNoise noise);
  /// The images of n sets of latents; gives back exactly what encode() was given. Throws Error if the
  /// latents are not those of this flow.
  std::vector<std::uint8_t> decode(const Latents& latents, int n);
  std::vector<std::uint8_t> sample(const SampleOptions& options);

  /// Kernels, copies and fills of the captured pass of log_prob(), and of decode() and sample(); 0 where nothing is
  /// captured.
  std::size_t scoring_graph_nodes() const;
  std::size_t decoding_graph_nodes() const;

  // --- one pass on a tape, for training and tools ---

  struct Pass {
    Var log_prob;                       ///< (n) f64
    Var z;                              ///< final latent
    std::vector<Tensor> latents;        ///< of the splits, if asked for
    std::vector<RebuiltInput> rebuilt;  ///< where the tape says recompute(); backward then writes over z
  };
  /// Bytes of a batch of n images. `path` is the type of z.
  std::size_t batch_bytes(int n, DType path, bool given_noise) const;
  /// A batch in `memory` of that size: of the flow's device, or of the host on its way there.
  BatchTensors lay_out_batch(void* memory, int n, DType path, bool given_noise) const;
  /// The same in memory of the arena, whose device must be that of the flow.
  BatchTensors new_batch(Arena& arena, int n, DType path, bool given_noise) const;
  /// Fills a batch in memory of the host.
  void write_batch(const BatchTensors& tensors, ImageBatch batch, DequantizationNoise noise) const;
  /// Fills a batch in memory of the flow's device.
  void upload_batch(const BatchTensors& tensors, ImageBatch batch, DequantizationNoise noise) const;
  Pass forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents) const;
  /// All three at once. Throws Error if the batch is empty.
  Pass forward(Tape& tape, ImageBatch batch, DequantizationNoise noise, DType path, bool keep_latents) const;

  /// Where a forward pass first meets a value that is not finite: "layer flows.3 (squeeze), image 17"; nothing if
  /// all are finite. Images are named by their index.
  std::optional<std::string> find_non_finite(ImageBatch batch, DequantizationNoise noise, DType path);

  // --- what it is made of ---

  const ModelSpec& spec() const { return spec_; }
  MapShape image_shape(int n) const { return {n, spec_.height, spec_.width, 1}; }
  std::size_t dims() const { return image_shape(1).size(); }
  Device device() const { return parameters_.device(); }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

  /// Names and per-image shapes (n = 1) of the latents, in order.
  std::vector<std::pair<std::string, MapShape>> latent_shapes() const;

  struct LayerInfo {
    std::string name;  ///< "flows.3", the prefix of its parameters
    std::string description;
    MapShape output;  ///< n = 1
    std::size_t parameters;
  };
  std::vector<LayerInfo> layers() const;

  struct MaskInfo {
    std::string name;  ///< of the buffer in the tutorial's state_dict
    Mask mask;
    MapShape shape;  ///< of z there, n = 1
  };
  std::vector<MaskInfo> masks() const;

 private:
  void build_simple(bool variational);
  void build_multiscale();
  void add_couplings(int count, MaskKind kind, int channels, int hidden);
  Dequantization make_variational_dequantization();
  std::string next_prefix() const;

  /// Calls visit(layer number, z, logdet) after each layer.
  template <class Visit>
  Pass run_forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents, Visit&& visit) const;

  // models/flow_inference.cpp: passes of one batch size
  struct Scoring;
  struct Decoding;
  Scoring& scoring(int n, bool given_noise);
  Decoding& decoding(int n);
  void run_decoding(Decoding& pass, std::uint8_t* images);

  ModelSpec spec_;
  Parameters parameters_;
  Dequantization dequantization_;
  std::vector<std::unique_ptr<Bijector>> layers_;  ///< after the dequantization
  int split_count_ = 0;
  int inference_batch_ = 64;
  std::unique_ptr<Tape> tape_;  ///< for passes that are not repeated
  std::unique_ptr<Scoring> scoring_;
  std::unique_ptr<Decoding> decoding_;
};

}  // namespace flowsmith
