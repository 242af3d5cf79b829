#include "models/flow.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/dequantization.h"
#include "kernels/likelihood.h"
#include "models/multiscale.h"

namespace flowsmith {
namespace {

ImageBatch slice(ImageBatch batch, std::size_t image_size, int begin, int n) {
  return {batch.pixels + begin * image_size, batch.index + begin, n};
}

/// Calls fn(begin, n) for consecutive pieces of at most `piece` images.
template <class Fn>
void in_pieces(int count, int piece, Fn&& fn) {
  for (int begin = 0; begin < count; begin += piece) fn(begin, std::min(piece, count - begin));
}

}  // namespace

Flow::Flow(ModelSpec spec, Device device, DType network_type)
    : spec_(spec), parameters_(device, network_type), tape_(std::make_unique<Tape>(device)) {
  require_valid(spec);
  switch (spec.architecture) {
    case Architecture::kSimple:
      build_simple(false);
      break;
    case Architecture::kVardeq:
      build_simple(true);
      break;
    case Architecture::kMultiscale:
      build_multiscale();
      break;
  }
  parameters_.allocate();
}

void Flow::build_simple(bool variational) {
  if (variational) dequantization_ = make_variational_dequantization();
  add_couplings(8, MaskKind::kCheckerboard, 1, 32);
}

void Flow::build_multiscale() {
  dequantization_ = make_variational_dequantization();
  add_couplings(2, MaskKind::kCheckerboard, 1, 32);
  layers_.push_back(std::make_unique<SqueezeLayer>());
  add_couplings(2, MaskKind::kChannel, 4, 48);
  layers_.push_back(std::make_unique<SplitLayer>(split_count_++));
  layers_.push_back(std::make_unique<SqueezeLayer>());
  add_couplings(4, MaskKind::kChannel, 8, 64);
}

void Flow::add_couplings(int count, MaskKind kind, int channels, int hidden) {
  for (int i = 0; i < count; ++i) {
    const CouplingOptions options{{kind, i % 2 == 1}, channels, 0, hidden, spec_.edition};
    layers_.push_back(std::make_unique<CouplingLayer>(parameters_, next_prefix(), options));
  }
}

Dequantization Flow::make_variational_dequantization() {
  std::vector<std::unique_ptr<CouplingLayer>> couplings;
  for (int i = 0; i < 4; ++i) {
    const CouplingOptions options{{MaskKind::kCheckerboard, i % 2 == 1}, 1, 1, 16, spec_.edition};
    const std::string prefix = "flows.0.flows." + std::to_string(i) + ".";
    couplings.push_back(std::make_unique<CouplingLayer>(parameters_, prefix, options));
  }
  return Dequantization(std::move(couplings));
}

/// The dequantization is the tutorial's flows.0.
std::string Flow::next_prefix() const { return "flows." + std::to_string(layers_.size() + 1) + "."; }

template <class Visit>
Flow::Pass Flow::run_forward(Tape& tape, ImageBatch batch, DequantizationNoise noise, DType path, bool keep_latents,
                             Visit&& visit) const {
  require(batch.n > 0, "a pass needs at least one image");
  const MapShape map = image_shape(batch.n);
  const Tensor images = tape.arena().tensor(DType::kU8, map);
  std::memcpy(images.raw(), batch.pixels, images.bytes());

  const Tensor u = tape.arena().tensor(path, map);
  dispatch_path(device(), path, [&](auto stream, auto zero) {
    auto* const out = u.data<decltype(zero)>();
    if (noise.values != nullptr) {
      std::copy(noise.values, noise.values + map.size(), out);
    } else {
      uniform_noise(out, batch.index, noise.stream, map.n, map.image_size(), stream);
    }
  });

  const Var logdet = tape.output(DType::kF64, Shape{batch.n}, true);
  std::memset(tape.value(logdet).raw(), 0, tape.value(logdet).bytes());
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}, keep_latents};

  Var z = dequantization_.forward(pass, images, tape.constant(u));
  visit(0, z, logdet);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    z = layers_[i]->forward(pass, z);
    visit(int(i) + 1, z, logdet);
  }
  gaussian_log_density(tape, z, logdet);  // from here on logdet is log p(x)
  return {logdet, z, std::move(pass.latents)};
}

Flow::Pass Flow::forward(Tape& tape, ImageBatch batch, DequantizationNoise noise, DType path, bool keep_latents) const {
  return run_forward(tape, batch, noise, path, keep_latents, [](int, Var, Var) {});
}

std::optional<std::string> Flow::find_non_finite(ImageBatch batch, DequantizationNoise noise, DType path) {
  std::optional<std::string> found;
  const std::vector<LayerInfo> infos = layers();
  const auto visit = [&](int layer, Var z, Var logdet) {
    if (found) return;
    const Tensor values = tape_->value(z);
    const double* const sums = tape_->value(logdet).data<double>();
    const std::size_t per_image = values.map().image_size();
    dispatch_path(device(), path, [&](auto, auto zero) {
      const auto* const data = values.data<decltype(zero)>();
      for (int i = 0; i < batch.n && !found; ++i) {
        bool finite = std::isfinite(sums[i]);
        for (std::size_t j = 0; j < per_image; ++j) finite = finite && std::isfinite(data[i * per_image + j]);
        if (finite) continue;
        found = "layer " + infos[layer].name + " (" + infos[layer].description + "), image " +
                std::to_string(batch.index[i]);
      }
    });
  };
  tape_->start(false);
  run_forward(*tape_, batch, noise, path, false, visit);
  return found;
}

std::vector<double> Flow::log_prob(ImageBatch batch, DequantizationNoise noise) {
  std::vector<double> result(batch.n);
  in_pieces(batch.n, inference_batch_, [&](int begin, int n) {
    DequantizationNoise piece_noise = noise;
    if (noise.values != nullptr) piece_noise.values += begin * dims();
    tape_->start(false);
    const Pass pass = forward(*tape_, slice(batch, dims(), begin, n), piece_noise, DType::kF64, false);
    const double* const log_prob = tape_->value(pass.log_prob).data<double>();
    std::copy(log_prob, log_prob + n, result.begin() + begin);
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
    DequantizationNoise piece_noise = noise;
    if (noise.values != nullptr) piece_noise.values += begin * dims();
    tape_->start(false);
    Pass pass = forward(*tape_, slice(batch, dims(), begin, n), piece_noise, DType::kF64, true);
    pass.latents.push_back(tape_->value(pass.z));
    for (std::size_t k = 0; k < latents.size(); ++k) {
      const double* const values = pass.latents[k].data<double>();
      latents[k].values.insert(latents[k].values.end(), values, values + pass.latents[k].size());
    }
  });
  return latents;
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
    tape_->start(false);
    std::vector<Tensor> tensors;
    for (const Latent& z : latents) {
      const MapShape shape{count, z.h, z.w, z.c};
      tensors.push_back(tape_->arena().tensor(DType::kF64, shape));
      std::memcpy(tensors.back().raw(), &z.values[begin * shape.image_size()], tensors.back().bytes());
    }
    const Var logdet = tape_->output(DType::kF64, Shape{count}, false);
    Var z = tape_->constant(tensors.back());
    tensors.pop_back();
    const ParameterVars parameters(*tape_, parameters_);
    FlowPass pass{*tape_, parameters, parameters_.dtype(), logdet, std::move(tensors), false};
    for (std::size_t i = layers_.size(); i-- > 0;) z = layers_[i]->inverse(pass, z);
    dispatch_path(device(), DType::kF64, [&](auto stream, auto zero) {
      dequantize_inverse(&images[begin * dims()], tape_->value(z).data<decltype(zero)>(), count, dims(), stream);
    });
  });
  return images;
}

std::vector<std::uint8_t> Flow::sample(const SampleOptions& options) {
  require(options.count >= 0, "the number of samples cannot be negative");
  require(options.temperature >= 0 && std::isfinite(options.temperature), "the temperature must be 0 or more");
  std::vector<std::uint32_t> index(options.count);
  for (int i = 0; i < options.count; ++i) index[i] = options.first + std::uint32_t(i);
  const auto shapes = latent_shapes();
  Latents latents;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const auto& [name, shape] = shapes[k];
    // Draw 0 is the final latent and draw k+1 split k, whatever the number of splits.
    const std::uint32_t draw = k + 1 == shapes.size() ? 0 : std::uint32_t(k) + 1;
    latents.push_back({name, shape.h, shape.w, shape.c, std::vector<double>(shape.size() * options.count)});
    dispatch_path(device(), DType::kF64, [&](auto stream, auto) {
      normal_noise(latents.back().values.data(), index.data(), {options.seed, NoisePurpose::kPrior, draw},
                   options.temperature, options.count, shape.size(), stream);
    });
  }
  return decode(latents, options.count);
}

std::vector<std::pair<std::string, MapShape>> Flow::latent_shapes() const {
  std::vector<std::pair<std::string, MapShape>> shapes;
  MapShape map = image_shape(1);
  for (const auto& layer : layers_) {
    if (const auto* const split = dynamic_cast<const SplitLayer*>(layer.get())) {
      shapes.emplace_back("z." + std::to_string(shapes.size()), split->latent_shape(map));
    }
    map = layer->output_shape(map);
  }
  shapes.emplace_back("z.final", map);
  return shapes;
}

std::vector<Flow::LayerInfo> Flow::layers() const {
  MapShape map = image_shape(1);
  std::vector<LayerInfo> infos{{"flows.0", dequantization_.description(), map, 0}};
  for (const auto& layer : layers_) {
    map = layer->output_shape(map);
    infos.push_back({"flows." + std::to_string(infos.size()), layer->description(), map, 0});
  }
  for (int i = 0; i < parameters_.count(); ++i) {
    const std::string& name = parameters_[i].name;  // "flows.12.network..."
    infos[std::stoul(name.substr(6))].parameters += parameters_[i].shape.size();
  }
  return infos;
}

std::vector<Flow::MaskInfo> Flow::masks() const {
  std::vector<MaskInfo> masks;
  MapShape map = image_shape(1);
  for (const auto& coupling : dequantization_.couplings())
    masks.push_back({coupling->mask_name(), coupling->mask(), map});
  for (const auto& layer : layers_) {
    if (const auto* const coupling = dynamic_cast<const CouplingLayer*>(layer.get())) {
      masks.push_back({coupling->mask_name(), coupling->mask(), map});
    }
    map = layer->output_shape(map);
  }
  return masks;
}

}  // namespace flowsmith
