// The calls of a flow on whole batches, without gradients. Batches are cut into passes of at most inference_batch_
// images; a pass of one size keeps its memory between calls, and on a GPU its graph.
#include <algorithm>
#include <cmath>

#include "engine/trace.h"
#include "kernels/dequantization.h"
#include "kernels/likelihood.h"
#include "models/fixed_passes.h"

namespace flowsmith {
namespace {

ImageBatch slice(ImageBatch batch, std::size_t image_size, int begin, int n) {
  return {batch.pixels + begin * image_size, batch.index + begin, n};
}

DequantizationNoise slice(DequantizationNoise noise, std::size_t image_size, int begin) {
  if (noise.values != nullptr) noise.values += begin * image_size;
  return noise;
}

/// Calls fn(begin, n) for consecutive pieces of at most `piece` images.
template <class Fn>
void in_pieces(int count, int piece, Fn&& fn) {
  for (int begin = 0; begin < count; begin += piece) fn(begin, std::min(piece, count - begin));
}

/// latent (n,h,w,c) f64 ~ N(0, temperature^2). `stream_bytes` is memory of the device for the stream.
void draw_latent(Device device, const Tensor& latent, const Tensor& index, const Tensor& stream_bytes,
                 NoiseStream stream, double temperature) {
  upload(device, stream_bytes.raw(), &stream, sizeof stream);
  const int n = latent.map().n;
  const std::size_t per_image = latent.map().image_size();
  dispatch_device(device, [&](auto backend) {
    double* const out = latent.data<double>();
    const auto* const numbers = index.data<std::uint32_t>();
    if constexpr (Gpu<decltype(backend)>) {
      const auto* const on_device = static_cast<const NoiseStream*>(stream_bytes.raw());
      normal_noise(out, numbers, on_device, temperature, n, per_image, backend);
    } else {
      normal_noise(out, numbers, stream, temperature, n, per_image, backend);
    }
  });
}

}  // namespace

Flow::Scoring& Flow::scoring(int n, bool given_noise) {
  if (scoring_ == nullptr || scoring_->n != n || scoring_->given_noise != given_noise) {
    scoring_.reset();  // its memory first
    scoring_ = std::make_unique<Scoring>(device());
    scoring_->n = n;
    scoring_->given_noise = given_noise;
    scoring_->batch = new_batch(scoring_->inputs, n, DType::kF64, given_noise);
  }
  return *scoring_;
}

std::vector<double> Flow::log_prob(ImageBatch batch, DequantizationNoise noise) {
  std::vector<double> result(batch.n);
  in_pieces(batch.n, inference_batch_, [&](int begin, int n) {
    const TraceRange range("score");
    Scoring& pass = scoring(n, noise.values != nullptr);
    upload_batch(pass.batch, slice(batch, dims(), begin, n), slice(noise, dims(), begin));
    pass.replay.run([&] { pass.tape.start(false); },
                    [&] { pass.log_prob = forward(pass.tape, pass.batch, DType::kF64, false).log_prob; });
    const Tensor& log_prob = pass.tape.value(pass.log_prob);
    download(device(), &result[begin], log_prob.raw(), log_prob.bytes());
  });
  return result;
}

std::vector<double> Flow::log_prob_draws(ImageBatch batch, NoiseStream stream, int samples) {
  require(samples > 0, "importance sampling needs at least one sample");
  std::vector<double> draws;
  for (int k = 0; k < samples; ++k) {
    stream.draw = std::uint32_t(k);
    const std::vector<double> draw = log_prob(batch, {stream});
    draws.insert(draws.end(), draw.begin(), draw.end());
  }
  return draws;
}

std::vector<double> Flow::log_prob(ImageBatch batch, NoiseStream stream, int samples) {
  const std::vector<double> draws = log_prob_draws(batch, stream, samples);
  std::vector<double> result(batch.n);
  for (int i = 0; i < batch.n; ++i) result[i] = log_mean_exp(&draws[i], samples, batch.n);
  return result;
}

std::vector<double> Flow::bits_per_dim(ImageBatch batch, NoiseStream stream, int samples) {
  std::vector<double> result = log_prob(batch, stream, samples);
  for (double& value : result) value = flowsmith::bits_per_dim(value, dims());
  return result;
}

Latents Flow::encode(ImageBatch batch, DequantizationNoise noise) {
  Latents latents;
  for (const auto& [name, shape] : latent_shapes()) {
    latents.push_back({name, shape.h, shape.w, shape.c, {}});
    latents.back().values.reserve(shape.size() * batch.n);
  }
  in_pieces(batch.n, inference_batch_, [&](int begin, int n) {
    tape_->start(false);
    Pass pass = forward(*tape_, slice(batch, dims(), begin, n), slice(noise, dims(), begin), DType::kF64, true);
    pass.latents.push_back(tape_->value(pass.z));
    for (std::size_t k = 0; k < latents.size(); ++k) {
      const std::vector<double> values = tape_->read<double>(pass.latents[k]);
      latents[k].values.insert(latents[k].values.end(), values.begin(), values.end());
    }
  });
  return latents;
}

Flow::Decoding& Flow::decoding(int n) {
  if (decoding_ == nullptr || decoding_->n != n) {
    decoding_.reset();  // its memory first
    decoding_ = std::make_unique<Decoding>(device());
    Decoding& pass = *decoding_;
    pass.n = n;
    for (const auto& [name, shape] : latent_shapes()) {
      pass.latents.push_back(pass.inputs.tensor(DType::kF64, MapShape{n, shape.h, shape.w, shape.c}));
    }
    pass.index = pass.inputs.tensor(DType::kU32, Shape{n});
    pass.stream = pass.inputs.tensor(DType::kU8, Shape{int(sizeof(NoiseStream))});
    pass.images = pass.inputs.tensor(DType::kU8, image_shape(n));
  }
  return *decoding_;
}

void Flow::run_decoding(Decoding& decoding, std::uint8_t* images) {
  const TraceRange range("decode");
  Tape& tape = decoding.tape;
  const auto work = [&] {
    const Var logdet = tape.output(DType::kF64, Shape{decoding.n}, false);
    Var z = tape.constant(decoding.latents.back());
    const ParameterVars parameters(tape, parameters_);
    FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {decoding.latents.begin(), decoding.latents.end() - 1},
                  false};
    for (std::size_t i = layers_.size(); i-- > 0;) z = layers_[i]->inverse(pass, z);
    dispatch_path(device(), DType::kF64, [&](auto stream, auto zero) {
      dequantize_inverse(decoding.images.data<std::uint8_t>(), tape.value(z).data<decltype(zero)>(), decoding.n, dims(),
                         stream);
    });
  };
  decoding.replay.run([&] { tape.start(false); }, work);
  download(device(), images, decoding.images.raw(), decoding.images.bytes());
}

std::vector<std::uint8_t> Flow::decode(const Latents& latents, int n) {
  const auto shapes = latent_shapes();
  require(n >= 0 && latents.size() == shapes.size(), "the number of latents is not that of the flow");
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const MapShape& s = shapes[k].second;
    const Latent& z = latents[k];
    if (z.name == shapes[k].first && z.h == s.h && z.w == s.w && z.c == s.c && z.values.size() == s.size() * n)
      continue;
    throw Error("latent " + z.name + " does not fit this flow: expected " + shapes[k].first + " with " +
                std::to_string(n) + " x " + std::to_string(s.h) + " x " + std::to_string(s.w) + " x " +
                std::to_string(s.c) + " numbers");
  }
  std::vector<std::uint8_t> images(n * dims());
  in_pieces(n, inference_batch_, [&](int begin, int count) {
    Decoding& pass = decoding(count);
    for (std::size_t k = 0; k < latents.size(); ++k) {
      upload(device(), pass.latents[k], &latents[k].values[begin * shapes[k].second.size()]);
    }
    run_decoding(pass, &images[begin * dims()]);
  });
  return images;
}

std::vector<std::uint8_t> Flow::sample(const SampleOptions& options) {
  require(options.count >= 0, "the number of samples cannot be negative");
  require(options.temperature >= 0 && std::isfinite(options.temperature), "the temperature must be 0 or more");
  std::vector<std::uint8_t> images(options.count * dims());
  in_pieces(options.count, inference_batch_, [&](int begin, int count) {
    Decoding& pass = decoding(count);
    std::vector<std::uint32_t> index(count);
    for (int i = 0; i < count; ++i) index[i] = options.first + std::uint32_t(begin + i);
    upload(device(), pass.index, index.data());
    for (std::size_t k = 0; k < pass.latents.size(); ++k) {
      // Draw 0 is the final latent and draw k+1 split k, whatever the number of splits.
      const std::uint32_t draw = k + 1 == pass.latents.size() ? 0 : std::uint32_t(k) + 1;
      draw_latent(device(), pass.latents[k], pass.index, pass.stream, {options.seed, NoisePurpose::kPrior, draw},
                  options.temperature);
    }
    run_decoding(pass, &images[begin * dims()]);
  });
  return images;
}

std::size_t Flow::scoring_graph_nodes() const { return scoring_ == nullptr ? 0 : scoring_->replay.node_count(); }
std::size_t Flow::decoding_graph_nodes() const { return decoding_ == nullptr ? 0 : decoding_->replay.node_count(); }

}  // namespace flowsmith
