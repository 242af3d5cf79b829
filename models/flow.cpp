#include "models/flow.h"

#include <cmath>

#include "models/fixed_passes.h"
#include "models/multiscale.h"

namespace flowsmith {
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

Flow::~Flow() = default;
Flow::Flow(Flow&&) noexcept = default;

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

BatchTensors Flow::new_batch(Arena& arena, int n, DType path, bool given_noise) const {
  require(n > 0, "a pass needs at least one image");
  const MapShape map = image_shape(n);
  return {arena.tensor(DType::kU8, map), arena.tensor(DType::kU32, Shape{n}),
          arena.tensor(DType::kU8, Shape{int(sizeof(NoiseStream))}), given_noise ? arena.tensor(path, map) : Tensor{}};
}

void Flow::upload_batch(const BatchTensors& tensors, ImageBatch batch, DequantizationNoise noise) const {
  upload(device(), tensors.images, batch.pixels);
  upload(device(), tensors.index, batch.index);
  upload(device(), tensors.stream.raw(), &noise.stream, sizeof noise.stream);
  if (!tensors.values) return;
  if (tensors.values.dtype() == DType::kF32) return upload(device(), tensors.values, noise.values);
  const std::vector<double> wide(noise.values, noise.values + tensors.values.size());
  upload(device(), tensors.values, wide.data());
}

template <class Visit>
Flow::Pass Flow::run_forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents,
                             Visit&& visit) const {
  const MapShape map = batch.images.map();
  const Var logdet = tape.output(DType::kF64, Shape{map.n}, true);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}, keep_latents};

  Var z = dequantization_.forward(pass, batch, path);
  visit(0, z, logdet);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    z = layers_[i]->forward(pass, z);
    visit(int(i) + 1, z, logdet);
  }
  gaussian_log_density(tape, z, logdet);  // from here on logdet is log p(x)
  return {logdet, z, std::move(pass.latents)};
}

Flow::Pass Flow::forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents) const {
  return run_forward(tape, batch, path, keep_latents, [](int, Var, Var) {});
}

Flow::Pass Flow::forward(Tape& tape, ImageBatch batch, DequantizationNoise noise, DType path, bool keep_latents) const {
  const BatchTensors tensors = new_batch(tape.arena(), batch.n, path, noise.values != nullptr);
  upload_batch(tensors, batch, noise);
  return forward(tape, tensors, path, keep_latents);
}

std::optional<std::string> Flow::find_non_finite(ImageBatch batch, DequantizationNoise noise, DType path) {
  std::optional<std::string> found;
  const std::vector<LayerInfo> infos = layers();
  const auto visit = [&](int layer, Var z, Var logdet) {
    if (found) return;
    const std::vector<double> sums = tape_->read<double>(tape_->value(logdet));
    dispatch_path(device(), path, [&](auto, auto zero) {
      const auto values = tape_->read<decltype(zero)>(tape_->value(z));
      const std::size_t per_image = values.size() / batch.n;
      for (int i = 0; i < batch.n && !found; ++i) {
        bool finite = std::isfinite(sums[i]);
        for (std::size_t j = 0; j < per_image; ++j) finite = finite && std::isfinite(values[i * per_image + j]);
        if (finite) continue;
        found = "layer " + infos[layer].name + " (" + infos[layer].description + "), image " +
                std::to_string(batch.index[i]);
      }
    });
  };
  tape_->start(false);
  const BatchTensors tensors = new_batch(tape_->arena(), batch.n, path, noise.values != nullptr);
  upload_batch(tensors, batch, noise);
  run_forward(*tape_, tensors, path, false, visit);
  return found;
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
