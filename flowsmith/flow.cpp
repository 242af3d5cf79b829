#include "flowsmith/flow.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/version.h"
#include "flowsmith/internal.h"
#include "models/config.h"
#include "models/files/weights.h"

namespace flowsmith {

using internal::count_of, internal::guarded, internal::guarded_file;

namespace internal {

core::Device device_of(const Context& context) {
  core::Device device = core::select_device(context.device);
  device.threads = context.threads;
  device.precision = core::parse_precision(context.precision);
  return device;
}

core::FlowConfig config_of(const std::string& name_or_json) {
  const std::size_t first = name_or_json.find_first_not_of(" \t\r\n");
  const bool json = first != std::string::npos && name_or_json[first] == '{';
  return json ? core::FlowConfig::parse(name_or_json, "configuration") : core::FlowConfig::named(name_or_json);
}

}  // namespace internal

namespace {

Shape public_shape(core::MapShape shape) { return {shape.h, shape.w, shape.c}; }

core::NoiseStream scoring_noise(std::uint64_t seed) { return {seed, core::NoisePurpose::kScoring, 0}; }

/// first ... first + n - 1.
std::vector<std::uint32_t> numbers_from(std::uint32_t first, int n) {
  std::vector<std::uint32_t> numbers(std::size_t(n), 0);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

void require_kind(const core::Flow& flow, bool images) {
  if (flow.takes_images() == images) return;
  throw Error(images ? "this flow takes rows of numbers, not 8-bit images"
                     : "this flow takes 8-bit images, not numbers");
}

std::vector<double> scores(const core::Flow& flow, core::Batch batch, const ScoreOptions& options) {
  if (options.samples < 1) throw Error("a likelihood needs at least one sample of the noise");
  const std::vector<std::uint32_t> index = numbers_from(options.first, batch.n);
  batch.index = index.data();
  // Numbers have no noise to draw anew.
  const int samples = flow.takes_images() ? options.samples : 1;
  std::vector<double> nats = flow.log_prob(batch, scoring_noise(options.seed), samples);
  const auto bad = std::find_if(nats.begin(), nats.end(), [](double value) { return !std::isfinite(value); });
  if (bad != nats.end()) {
    throw Error("the score of example " + std::to_string(bad - nats.begin()) +
                    " is not finite: the weights are damaged or the training diverged; use an earlier checkpoint",
                ErrorCode::kNotFinite);
  }
  return nats;
}

std::vector<Latent> latents_of(const core::Flow& flow, core::Batch batch, const EncodeOptions& options) {
  const std::vector<std::uint32_t> index = numbers_from(options.first, batch.n);
  batch.index = index.data();
  std::vector<Latent> latents;
  for (core::Latent& one : flow.encode(batch, {scoring_noise(options.seed)})) {
    latents.push_back({std::move(one.name), {one.h, one.w, one.c}, std::move(one.values)});
  }
  return latents;
}

/// The latents as the flow keeps them, and of how many examples they are.
std::pair<core::Latents, int> core_latents(const core::Flow& flow, const std::vector<Latent>& latents) {
  core::Latents all;
  for (const Latent& one : latents) {
    all.push_back({one.name, one.shape.height, one.shape.width, one.shape.channels, one.values});
  }
  const std::size_t size = flow.latent_shapes().front().second.size();
  return {std::move(all), latents.empty() ? 0 : int(latents.front().values.size() / size)};
}

core::SampleOptions core_options(const SampleOptions& options) {
  return {.count = options.count,
          .seed = options.seed,
          .temperature = options.temperature,
          .first = options.first,
          .temperatures = options.temperatures};
}

}  // namespace

std::vector<std::string> config_names() { return core::FlowConfig::names(); }

std::string config_text(const std::string& name_or_json) {
  return guarded([&] { return internal::config_of(name_or_json).text(); });
}

std::string config_with(const std::string& name_or_json, const std::string& path, const std::string& value) {
  return guarded([&] { return internal::config_of(name_or_json).with(path, value).text(); });
}

std::string config_for(const std::string& name_or_json, Shape shape) {
  return guarded(
      [&] { return internal::config_of(name_or_json).with_shape(shape.height, shape.width, shape.channels).text(); });
}

Shape config_shape(const std::string& name_or_json) {
  return guarded([&] { return public_shape(internal::config_of(name_or_json).data_shape()); });
}

std::string library_version() { return std::string(core::version()); }

Flow::Flow(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Flow::Flow(Flow&&) noexcept = default;
Flow& Flow::operator=(Flow&&) noexcept = default;
Flow::~Flow() = default;

Flow Flow::load(const std::string& path, const Context& context) {
  const core::Device device = guarded([&] { return internal::device_of(context); });
  return guarded_file([&] { return Flow(std::make_unique<Impl>(core::Flow::load(path, device))); });
}

Flow Flow::from_config(const std::string& config, std::uint64_t seed, const Context& context) {
  return guarded([&] {
    core::Flow flow(internal::config_of(config), internal::device_of(context));
    flow.initialize(seed);
    return Flow(std::make_unique<Impl>(std::move(flow)));
  });
}

std::vector<double> Flow::log_prob(std::span<const std::uint8_t> images, const ScoreOptions& options) const {
  return guarded([&] {
    require_kind(impl_->flow, true);
    return scores(impl_->flow, {images.data(), nullptr, count_of(images.size(), dims(), "bytes")}, options);
  });
}

std::vector<double> Flow::log_prob(std::span<const double> rows, const ScoreOptions& options) const {
  return guarded([&] {
    require_kind(impl_->flow, false);
    return scores(impl_->flow, {nullptr, nullptr, count_of(rows.size(), dims(), "numbers"), rows.data()}, options);
  });
}

std::vector<double> Flow::bits_per_dim(std::span<const std::uint8_t> images, const ScoreOptions& options) const {
  std::vector<double> values = log_prob(images, options);
  for (double& value : values) value /= -impl_->flow.nats_per_unit();
  return values;
}

std::vector<Latent> Flow::encode(std::span<const std::uint8_t> images, const EncodeOptions& options) const {
  return guarded([&] {
    require_kind(impl_->flow, true);
    return latents_of(impl_->flow, {images.data(), nullptr, count_of(images.size(), dims(), "bytes")}, options);
  });
}

std::vector<Latent> Flow::encode(std::span<const double> rows) const {
  return guarded([&] {
    require_kind(impl_->flow, false);
    return latents_of(impl_->flow, {nullptr, nullptr, count_of(rows.size(), dims(), "numbers"), rows.data()}, {});
  });
}

std::vector<std::uint8_t> Flow::decode_images(const std::vector<Latent>& latents) const {
  return guarded([&] {
    require_kind(impl_->flow, true);
    const auto [all, n] = core_latents(impl_->flow, latents);
    return impl_->flow.decode(all, n);
  });
}

std::vector<double> Flow::decode_rows(const std::vector<Latent>& latents) const {
  return guarded([&] {
    require_kind(impl_->flow, false);
    const auto [all, n] = core_latents(impl_->flow, latents);
    return impl_->flow.decode_numbers(all, n);
  });
}

std::vector<std::uint8_t> Flow::sample_images(const SampleOptions& options) const {
  return guarded([&] {
    require_kind(impl_->flow, true);
    return impl_->flow.sample(core_options(options));
  });
}

std::vector<double> Flow::sample_rows(const SampleOptions& options) const {
  return guarded([&] {
    require_kind(impl_->flow, false);
    return impl_->flow.sample_numbers(core_options(options));
  });
}

Transformed Flow::transform(std::span<const double> x) const {
  return guarded([&] {
    core::Transformed found = impl_->flow.transform(x, count_of(x.size(), dims(), "numbers"));
    return Transformed{std::move(found.values), std::move(found.logdet)};
  });
}

Transformed Flow::inverse_transform(std::span<const double> z) const {
  return guarded([&] {
    core::Transformed found = impl_->flow.inverse_transform(z, count_of(z.size(), dims(), "numbers"));
    return Transformed{std::move(found.values), std::move(found.logdet)};
  });
}

std::string Flow::name() const { return impl_->flow.config().name(); }
std::string Flow::config() const { return impl_->flow.config().text(); }
bool Flow::takes_images() const { return impl_->flow.takes_images(); }
Shape Flow::shape() const { return public_shape(impl_->flow.data_shape(1)); }
std::size_t Flow::dims() const { return impl_->flow.dims(); }
std::size_t Flow::parameter_count() const { return impl_->flow.parameters().element_count(); }

std::string Flow::summary() const {
  return guarded([&] {
    const auto text = [](core::MapShape s) {
      return s.h == 1 && s.w == 1 ? std::to_string(s.c)
                                  : std::to_string(s.h) + "x" + std::to_string(s.w) + "x" + std::to_string(s.c);
    };
    const std::vector<core::Flow::LayerInfo> layers = impl_->flow.layers();
    std::size_t names = 0, shapes = 0, numbers = 0;
    for (const auto& layer : layers) {
      names = std::max(names, layer.name.size());
      shapes = std::max(shapes, text(layer.output).size());
      numbers = std::max(numbers, std::to_string(layer.parameters).size());
    }
    std::string table = "flow " + name() + " of " + text(impl_->flow.data_shape(1)) +
                        (takes_images() ? " pixels, " : " numbers, ") + std::to_string(parameter_count()) +
                        " parameters\n";
    for (const auto& layer : layers) {
      const std::string shape = text(layer.output), count = std::to_string(layer.parameters);
      table += "  " + layer.name + std::string(names - layer.name.size() + 2, ' ') + shape +
               std::string(shapes - shape.size() + numbers - count.size() + 2, ' ') + count + "  " + layer.description +
               "\n";
    }
    return table;
  });
}

std::vector<LatentInfo> Flow::latents() const {
  std::vector<LatentInfo> all;
  for (const auto& [name, shape] : impl_->flow.latent_shapes()) all.push_back({name, public_shape(shape)});
  return all;
}

void Flow::save(const std::string& path) const {
  guarded_file([&] { impl_->flow.save(path); });
}

std::vector<StateArray> Flow::state() const {
  return guarded([&] {
    const core::Parameters& parameters = impl_->flow.parameters();
    std::vector<StateArray> all;
    const auto add = [&](const std::vector<core::NamedTensor>& tensors, bool is_parameter) {
      for (const core::NamedTensor& tensor : tensors) {
        all.push_back({tensor.name, tensor.shape, core::numbers_of(tensor.dtype, tensor.data), is_parameter});
      }
    };
    add(core::export_parameters(parameters, parameters.values()), true);
    add(core::export_states(parameters), false);
    return all;
  });
}

void Flow::set_state(const std::vector<StateArray>& arrays) {
  guarded([&] {
    core::SafetensorsFile file;
    for (const StateArray& array : arrays) {
      file.tensors.push_back(core::NamedTensor::of<double>(array.name, array.shape, array.values));
    }
    const core::SafetensorsFile before = core::weights_file(impl_->flow);
    const bool initialized = impl_->flow.is_data_initialized();
    try {
      core::load_weights(impl_->flow, file, "the given arrays");
      impl_->flow.set_data_initialized(initialized);
    } catch (...) {
      core::load_weights(impl_->flow, before, "the weights before");
      throw;
    }
  });
}

}  // namespace flowsmith
