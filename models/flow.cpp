#include "models/flow.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "engine/dispatch.h"
#include "engine/trace.h"
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
  add_couplings(spec_.couplings, MaskKind::kCheckerboard, 1, 32);
}

void Flow::build_multiscale() {
  dequantization_ = make_variational_dequantization();
  const int quarter = spec_.couplings / 4;
  add_couplings(quarter, MaskKind::kCheckerboard, 1, 32);
  layers_.push_back(std::make_unique<SqueezeLayer>());
  add_couplings(quarter, MaskKind::kChannel, 4, 48);
  layers_.push_back(std::make_unique<SplitLayer>(split_count_++));
  layers_.push_back(std::make_unique<SqueezeLayer>());
  add_couplings(2 * quarter, MaskKind::kChannel, 8, 64);
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

std::size_t Flow::batch_bytes(int n, DType path, bool given_noise) const {
  return lay_out_batch(nullptr, n, path, given_noise).block.size();
}

BatchTensors Flow::lay_out_batch(void* memory, int n, DType path, bool given_noise) const {
  constexpr std::size_t kAlignment = 64;
  require(n > 0, "a pass needs at least one image");
  const auto base = reinterpret_cast<std::uintptr_t>(memory);
  std::size_t size = 0;
  const auto place = [&](DType type, const Shape& shape) {
    const Tensor tensor(reinterpret_cast<void*>(base + size), type, shape);
    size += (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    return tensor;
  };
  const MapShape map = image_shape(n);
  BatchTensors tensors;
  tensors.images = place(DType::kU8, map);
  tensors.index = place(DType::kU32, Shape{n});
  tensors.stream = place(DType::kU8, Shape{int(sizeof(NoiseStream))});
  if (given_noise) tensors.values = place(path, map);
  tensors.block = Tensor(memory, DType::kU8, Shape{int(size)});
  return tensors;
}

BatchTensors Flow::new_batch(Arena& arena, int n, DType path, bool given_noise) const {
  return lay_out_batch(arena.allocate(batch_bytes(n, path, given_noise)), n, path, given_noise);
}

void Flow::write_batch(const BatchTensors& tensors, ImageBatch batch, DequantizationNoise noise) const {
  std::memcpy(tensors.images.raw(), batch.pixels, tensors.images.bytes());
  std::memcpy(tensors.index.raw(), batch.index, tensors.index.bytes());
  std::memcpy(tensors.stream.raw(), &noise.stream, sizeof noise.stream);
  if (!tensors.values) return;
  dispatch_path(Device::kReference, tensors.values.dtype(), [&](auto, auto zero) {
    std::copy_n(noise.values, tensors.values.size(), tensors.values.data<decltype(zero)>());
  });
}

void Flow::upload_batch(const BatchTensors& tensors, ImageBatch batch, DequantizationNoise noise) const {
  if (is_host(device())) return write_batch(tensors, batch, noise);
  std::vector<std::byte> block(tensors.block.size());
  const DType path = tensors.values ? tensors.values.dtype() : DType::kF32;  // any: it is the type of the values
  write_batch(lay_out_batch(block.data(), batch.n, path, bool(tensors.values)), batch, noise);
  upload(device(), tensors.block.raw(), block.data(), block.size());
}

template <class Visit>
Flow::Pass Flow::run_forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents,
                             Visit&& visit) const {
  const MapShape map = batch.images.map();
  const Var logdet = tape.output(DType::kF64, Shape{map.n}, true);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}, keep_latents};

  const TraceRange range("forward");
  Var z = dequantization_.forward(pass, batch, path);
  visit(0, z, logdet);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const TraceRange layer(("flows." + std::to_string(i + 1)).c_str());
    z = layers_[i]->forward(pass, z);
    visit(int(i) + 1, z, logdet);
  }
  gaussian_log_density(tape, z, logdet);  // from here on logdet is log p(x)
  return {logdet, z, std::move(pass.latents), std::move(pass.rebuilt)};
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
