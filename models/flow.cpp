#include "models/flow.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "engine/dispatch.h"
#include "engine/trace.h"
#include "kernels/likelihood.h"
#include "models/fixed_passes.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

/// Of an image, as one row if the configuration says so; of numbers.
MapShape flattened_shape(const FlowConfig& config) {
  const MapShape shape = config.data_shape();
  const bool flatten = config.takes_images() && config.data().flag("flatten");
  return flatten ? MapShape{1, 1, 1, int(shape.image_size())} : shape;
}

/// For passes in which nobody looks at the parts of a dequantization.
constexpr std::nullptr_t kNoParts = nullptr;

}  // namespace

Flow::Flow(const FlowConfig& config, Device device, DType network_type, std::size_t most_parameters)
    : config_(config),
      takes_images_(config.takes_images()),
      data_shape_(config.data_shape()),
      layer_shape_(flattened_shape(config)),
      parameters_(device, network_type),
      workspaces_(std::make_unique<Workspaces>()) {
  require_usable(device);
  try {
    Builder builder{parameters_, "flows.0.", layer_shape(1)};
    if (takes_images()) builder.levels = config.data().integer("levels");
    input_ = takes_images() ? make_dequantization(config.dequantization(), builder)
                            : make_number_input(config.data(), builder);
    layers_ = make_layers(config.layers(), builder, "flows.", 1);
    builder.prefix = "base.";
    base_ = make_base(config.base(), builder);
    if (parameters_.element_count() > most_parameters) {
      throw Error("it has " + std::to_string(parameters_.element_count()) + " parameters, and there are at most " +
                  std::to_string(most_parameters) + " weights for them: give the weights of the right model");
    }
    parameters_.allocate();
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    throw Error("model " + config.name() + ": " + error.what());
  }
}

Flow::~Flow() = default;
Flow::Flow(Flow&&) noexcept = default;

void Flow::initialize(std::uint64_t seed) {
  parameters_.initialize(seed);
  data_initialized_ = false;
  weights_changed();
}

void Flow::standardize(const std::vector<double>& mean, const std::vector<double>& deviation) {
  require(config_.standardizes(), "this flow takes its data as they are");
  set_standardization(parameters_, mean, deviation);
  input_->weights_changed(parameters_);
}

bool Flow::needs_data() const { return input_->needs_data() || core::needs_data(layers_); }

bool Flow::uses_batch_statistics() const {
  return std::any_of(layers_.begin(), layers_.end(),
                     [](const PlacedLayer& l) { return l.bijector->uses_batch_statistics(); });
}

void Flow::initialize_from(Batch batch, DequantizationNoise noise) {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  tape.start(false);
  const BatchTensors tensors = uploaded(tape, batch, noise, DType::kF64);
  const Var logdet = tape.output(DType::kF64, Shape{batch.n}, false);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, {}, false};
  pass.batch_statistics = true;
  Var z = input_->initialize(pass, parameters_, tensors, DType::kF64);
  for (const PlacedLayer& layer : layers_) z = layer.bijector->initialize(pass, parameters_, z);
  data_initialized_ = true;
  weights_changed();
}

void Flow::weights_changed() {
  try {
    input_->weights_changed(parameters_);
  } catch (const Error& error) {
    throw Error("layer flows.0 (" + input_->description() + "): " + error.what());
  }
  core::weights_changed(layers_, parameters_);
}

double Flow::nats_per_unit() const { return takes_images() ? nats_per_bit_per_dim(dims()) : 1; }

BatchLayout Flow::batch_layout(int n, DType path, bool given_noise) const {
  return {layer_shape(n), takes_images(), path, given_noise};
}

BatchTensors Flow::uploaded(Tape& tape, Batch batch, DequantizationNoise noise, DType path) const {
  const BatchLayout layout = batch_layout(batch.n, path, noise.values != nullptr);
  const BatchTensors tensors = layout.allocate(tape.arena());
  layout.upload(device(), tensors, batch, noise);
  return tensors;
}

template <class Visit, class Part>
Flow::Pass Flow::run_forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents,
                             bool batch_statistics, Pass memory, Visit&& visit, Part&& part) const {
  const MapShape map = batch.data.map();
  const Var logdet = tape.output(DType::kF64, Shape{map.n}, true);
  fill_zero(device(), tape.value(logdet));
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), logdet, std::move(memory.latents), keep_latents};
  pass.batch_statistics = batch_statistics;
  pass.rebuilt = std::move(memory.rebuilt);
  pass.running = &memory.running;
  pass.latents.clear();
  pass.rebuilt.clear();
  pass.running->clear();

  const TraceRange range("forward");
  std::function<void(const std::string&, const std::string&)> on_part;
  if constexpr (!std::is_null_pointer_v<std::remove_cvref_t<Part>>) {
    on_part = [&](const std::string& name, const std::string& what) { part(logdet, name, what); };
    pass.on_part = &on_part;
  }
  Var z = input_->forward(pass, batch, path);
  pass.on_part = nullptr;
  visit(0, z, logdet);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const TraceRange layer(layers_[i].name.c_str());
    z = layers_[i].bijector->forward(pass, z);
    visit(int(i) + 1, z, logdet);
  }
  z = base_->forward(pass, z);  // from here on logdet is log p(x)
  return {logdet, z, std::move(pass.latents), std::move(pass.rebuilt), std::move(memory.running)};
}

Flow::Pass Flow::forward(Tape& tape, const BatchTensors& batch, DType path, bool keep_latents, bool batch_statistics,
                         Pass memory) const {
  return run_forward(
      tape, batch, path, keep_latents, batch_statistics, std::move(memory), [](int, Var, Var) {}, kNoParts);
}

Flow::Pass Flow::forward(Tape& tape, Batch batch, DequantizationNoise noise, DType path, bool keep_latents,
                         bool batch_statistics) const {
  return forward(tape, uploaded(tape, batch, noise, path), path, keep_latents, batch_statistics);
}

std::optional<std::string> Flow::find_non_finite(Batch batch, DequantizationNoise noise, DType path,
                                                 bool batch_statistics) const {
  const Borrowed work(*this);
  return find_non_finite(*work, batch, noise, path, batch_statistics);
}

std::optional<std::string> Flow::find_non_finite(Workspace& work, Batch batch, DequantizationNoise noise, DType path,
                                                 bool batch_statistics) const {
  Tape& tape = work.tape;
  std::optional<std::string> found;
  const std::vector<LayerInfo> infos = layers();
  const auto visit = [&](int layer, Var z, Var logdet) {
    if (found) return;
    const std::vector<double> sums = tape.read<double>(tape.value(logdet));
    dispatch_path(device(), path, [&](auto, auto zero) {
      const auto values = tape.read<decltype(zero)>(tape.value(z));
      const std::size_t per_image = values.size() / batch.n;
      for (int i = 0; i < batch.n && !found; ++i) {
        bool finite = std::isfinite(sums[i]);
        for (std::size_t j = 0; j < per_image; ++j) finite = finite && std::isfinite(values[i * per_image + j]);
        if (finite) continue;
        found = "layer " + infos[layer].name + " (" + infos[layer].description + "), " +
                (takes_images() ? "image " : "row ") + std::to_string(batch.index[i]);
      }
    });
  };
  tape.start(false);
  const BatchTensors tensors = uploaded(tape, batch, noise, path);
  run_forward(tape, tensors, path, false, batch_statistics, {}, visit, kNoParts);
  return found;
}

std::vector<Flow::BoundedLogdet> Flow::bounded_logdets(Batch batch, DequantizationNoise noise) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  std::vector<BoundedLogdet> found;
  double before = 0;
  const auto visit = [&](int layer, Var, Var logdet) {
    double mean = 0;
    for (const double value : tape.read<double>(tape.value(logdet))) mean += value / batch.n;
    if (layer > 0) {
      const PlacedLayer& placed = layers_[layer - 1];
      const std::optional<double> largest = placed.bijector->largest_logdet(parameters_);
      if (largest) found.push_back({placed.name, mean - before, *largest});
    }
    before = mean;
  };
  tape.start(false);
  const BatchTensors tensors = uploaded(tape, batch, noise, DType::kF64);
  run_forward(tape, tensors, DType::kF64, false, false, {}, visit, kNoParts);
  return found;
}

std::vector<Flow::LedgerTerm> Flow::ledger(Batch batch, DequantizationNoise noise) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  std::vector<LedgerTerm> terms;
  const std::vector<LayerInfo> infos = layers();
  std::vector<double> before(batch.n, 0.0);
  const auto add = [&](const std::string& name, const std::string& what, MapShape map, Var sums) {
    const std::vector<double> after = tape.read<double>(tape.value(sums));
    LedgerTerm term{name, what, map, std::vector<double>(batch.n)};
    for (int i = 0; i < batch.n; ++i) term.nats[i] = after[i] - before[i];
    terms.push_back(std::move(term));
    before = after;
  };
  const auto part = [&](Var logdet, const std::string& name, const std::string& what) {
    add(name, what, infos[0].output, logdet);
  };
  const auto visit = [&](int layer, Var, Var logdet) {
    if (layer > 0 || !takes_images())
      return add(infos[layer].name, infos[layer].description, infos[layer].output, logdet);
    // A grey level is 1 / L wide: this much of the log-density belongs to no layer.
    const int levels = config().data().integer("levels");
    const double width = -double(dims()) * std::log(double(levels));
    add("logit", "logit of the pixels and their noise", infos[0].output, logdet);
    for (double& nats : terms.back().nats) nats -= width;
    terms.insert(terms.end() - 1, {"quantisation", std::to_string(levels) + " grey levels", infos[0].output,
                                   std::vector<double>(batch.n, width)});
  };
  tape.start(false);
  const BatchTensors tensors = uploaded(tape, batch, noise, DType::kF64);
  const Pass pass = run_forward(tape, tensors, DType::kF64, false, false, {}, visit, part);
  add("base", infos.back().description, infos.back().output, pass.log_prob);
  return terms;
}

std::vector<Flow::LayerOutput> Flow::layer_outputs(Batch batch, DequantizationNoise noise) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  std::vector<LayerOutput> outputs;
  const std::vector<LayerInfo> infos = layers();
  const auto visit = [&](int layer, Var z, Var) {
    outputs.push_back({infos[layer].name, infos[layer].output, tape.read<double>(tape.value(z))});
  };
  tape.start(false);
  const BatchTensors tensors = uploaded(tape, batch, noise, DType::kF64);
  run_forward(tape, tensors, DType::kF64, false, false, {}, visit, kNoParts);
  return outputs;
}

std::vector<std::pair<std::string, MapShape>> Flow::latent_shapes() const {
  std::vector<std::pair<std::string, MapShape>> shapes;
  MapShape map = layer_shape(1);
  for (const PlacedLayer& layer : layers_) {
    if (const auto latent = layer.bijector->latent_shape()) {
      shapes.emplace_back("z." + std::to_string(shapes.size()), *latent);
    }
    map = layer.output;
  }
  shapes.emplace_back("z.final", map);
  return shapes;
}

std::vector<Flow::LayerInfo> Flow::layers() const {
  MapShape map = layer_shape(1);
  std::vector<LayerInfo> infos{{"flows.0", input_->description(), map, 0, {}}};
  for (const PlacedLayer& layer : layers_) {
    map = layer.output;
    infos.push_back({layer.name, layer.bijector->description(), map, 0, layer.bijector->condition_number(parameters_)});
  }
  infos.push_back({"base", base_->description(), map, 0, {}});
  for (LayerInfo& info : infos) {
    for (int i = 0; i < parameters_.count(); ++i) {
      if (parameters_[i].name.starts_with(info.name + ".")) info.parameters += parameters_[i].shape.size();
    }
  }
  return infos;
}

std::vector<NamedMask> Flow::masks() const {
  std::vector<NamedMask> all = input_->masks();
  for (const PlacedLayer& layer : layers_) {
    for (NamedMask& mask : layer.bijector->masks()) all.push_back(std::move(mask));
  }
  return all;
}

}  // namespace flowsmith::core
