// Normalizing flows: exact likelihoods, latents and samples of 8-bit images or of rows of numbers.
//
//   log p(x) = log p_base(z) + log |det dz/dx|,  z = f(x)            (Dinh, Sohl-Dickstein, Bengio 2017, equation 2)
//
// Example:
//   const auto flow = flowsmith::Flow::load("best.safetensors");
//   std::vector<double> nats = flow.log_prob(pixels);              // pixels: n images, one after the other
//   std::vector<std::uint8_t> images = flow.sample_images({.count = 16, .seed = 7});
//
// Arrays lie row by row. Images are n x height x width x channels bytes of 0 to 255; numbers are n rows of doubles. How
// many examples a call is given follows from the size of its span.
//
// Every function throws flowsmith::Error (flowsmith/error.h) and nothing else of its own. Const functions of one flow
// may run in several threads at once, and flows know nothing of each other; on a GPU calls take turns.
#pragma once

#if !defined(_MSVC_LANG) && __cplusplus < 202002L
#error "flowsmith needs C++20: compile with -std=c++20"
#endif

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowsmith/error.h"
#include "flowsmith/export.h"

namespace flowsmith {

/// Where flows compute, and how.
struct Context {
  std::string device = "cpu";      ///< "cpu"; "cuda" or "cuda:1", a GPU; "auto"; "reference": plain loops, slow
  int threads = 0;                 ///< of a call on the host; 0: one per core
  std::string precision = "fp32";  ///< of the networks: "fp32", "bf16", or on a GPU "tf32". The path of z is double
};

/// Of one example: an image, or a row of numbers (1 x 1 x D); also of a latent.
struct Shape {
  int height = 1, width = 1, channels = 1;

  std::size_t size() const { return std::size_t(height) * std::size_t(width) * std::size_t(channels); }
  bool operator==(const Shape&) const = default;
};

/// How a likelihood is taken.
struct ScoreOptions {
  /// Of images: draws of the dequantization noise, over which the likelihood is a mean (importance sampling). One draw
  /// is an unbiased estimate of p(x), and on average a lower bound of log p(x).
  int samples = 1;
  std::uint64_t seed = 42;  ///< of that noise
  std::uint32_t first = 0;  ///< number of the first example; seed and number decide an example's noise, its batch never
};

struct EncodeOptions {
  std::uint64_t seed = 42;  ///< of the dequantization noise, as in ScoreOptions
  std::uint32_t first = 0;
};

struct SampleOptions {
  int count = 64;
  double temperature = 1;                 ///< factor on the deviations of the base
  std::vector<double> temperatures = {};  ///< instead, one for each latent in the order of Flow::latents()
  std::uint64_t seed = 42;
  std::uint32_t first = 0;  ///< number of the first sample: sample k of a seed is the same in any batch
};

struct LatentInfo {
  std::string name;  ///< "z.0" for what the first split lets go, ..., "z.final"
  Shape shape;
};

/// One latent of n examples: n x height x width x channels numbers. All latents together are as many as the data.
struct Latent {
  std::string name;
  Shape shape;
  std::vector<double> values;
};

struct Transformed {
  std::vector<double> values;  ///< n rows of dims() numbers
  std::vector<double> logdet;  ///< of each example: log |det| of the direction that was run, in nats
};

/// A parameter, or a state that is kept beside the parameters, such as running statistics.
struct StateArray {
  std::string name;                 ///< as in PyTorch's state_dict
  std::vector<std::int64_t> shape;  ///< as there: convolutions are out x in x height x width
  std::vector<double> values;
  bool is_parameter = true;  ///< learned, and float inside; states are double
};

/// Names of the models that come with the library: "multiscale", "glow", "moons", ...
FLOWSMITH_API std::vector<std::string> config_names();
/// The whole JSON configuration, every default filled in, of a name, or of a JSON text. Throws Error that names layer
/// and key.
FLOWSMITH_API std::string config_text(const std::string& name_or_json);
/// The same with the value of one key changed: `path` is "layers.0.repeat", `value` a JSON value or a text.
FLOWSMITH_API std::string config_with(const std::string& name_or_json, const std::string& path,
                                      const std::string& value);
/// The same for data of this shape.
FLOWSMITH_API std::string config_for(const std::string& name_or_json, Shape shape);
/// Of the examples of a configuration.
FLOWSMITH_API Shape config_shape(const std::string& name_or_json);
/// "1.0.0", and the commit that was built where it is known: "1.0.0 (commit 65eff50)".
FLOWSMITH_API std::string library_version();

class FLOWSMITH_API Flow {
 public:
  /// Reads a weight file (safetensors), which holds its configuration. Checkpoints of PyTorch and Flax are converted to
  /// such files by `flowsmith import`. Error kFile if there is none, it is damaged, or it is none of ours.
  static Flow load(const std::string& path, const Context& context = {});
  /// A new flow with random weights. `config` is a name of config_names() or a JSON text.
  static Flow from_config(const std::string& config, std::uint64_t seed = 42, const Context& context = {});

  Flow(Flow&&) noexcept;
  Flow& operator=(Flow&&) noexcept;
  ~Flow();

  // --- likelihoods ---

  /// log p(x) of each image, in nats: of 8-bit values, so p is a probability.
  std::vector<double> log_prob(std::span<const std::uint8_t> images, const ScoreOptions& options = {}) const;
  /// log p(x) of each row, in nats, the logarithm of a density.
  std::vector<double> log_prob(std::span<const double> rows, const ScoreOptions& options = {}) const;
  /// -log2 p(x) / dims() of each image. Error kInvalidInput where a flow takes numbers.
  std::vector<double> bits_per_dim(std::span<const std::uint8_t> images, const ScoreOptions& options = {}) const;

  // --- latents ---

  /// x -> z. Decoding gives back every pixel, and numbers up to the rounding of doubles.
  std::vector<Latent> encode(std::span<const std::uint8_t> images, const EncodeOptions& options = {}) const;
  std::vector<Latent> encode(std::span<const double> rows) const;
  /// z -> x. Error kInvalidInput if names, shapes and sizes are not those of latents().
  std::vector<std::uint8_t> decode_images(const std::vector<Latent>& latents) const;
  std::vector<double> decode_rows(const std::vector<Latent>& latents) const;
  std::vector<std::uint8_t> sample_images(const SampleOptions& options = {}) const;
  std::vector<double> sample_rows(const SampleOptions& options = {}) const;
  /// The layers as a function, without base and dequantization: n rows of dims() numbers to as many, for images what
  /// their dequantization gives. Where layers split, z is the latents of an example one after the other.
  Transformed transform(std::span<const double> x) const;
  Transformed inverse_transform(std::span<const double> z) const;

  // --- what it is ---

  std::string name() const;     ///< of its configuration: "multiscale"
  std::string config() const;   ///< JSON
  std::string summary() const;  ///< layers, shapes and parameters as a table for people
  bool takes_images() const;    ///< 8-bit images; rows of numbers otherwise
  Shape shape() const;          ///< of one example
  std::size_t dims() const;     ///< numbers in one example
  std::size_t parameter_count() const;
  std::vector<LatentInfo> latents() const;  ///< in the order of encode() and decode()

  // --- weights ---

  /// Writes a weight file: whole or not at all.
  void save(const std::string& path) const;
  /// Parameters and states, copied.
  std::vector<StateArray> state() const;
  /// Takes values of these names and shapes, all that state() names, in any order. Error kInvalidInput, and the flow as
  /// it was, otherwise.
  void set_state(const std::vector<StateArray>& arrays);

 private:
  friend class Trainer;
  struct Impl;
  explicit Flow(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace flowsmith
