// The calls of a flow on whole batches, without gradients. Batches are cut into passes of at most inference_batch_
// examples; a pass of one size keeps its memory between calls, and on a GPU its graph.
#include <algorithm>
#include <cmath>

#include "engine/trace.h"
#include "kernels/likelihood.h"
#include "models/fixed_passes.h"

namespace flowsmith::core {
namespace {

/// Copies example by example between n rows of `row` numbers and n rows of `part` numbers that begin at `offset` there.
void gather_columns(const double* rows, std::size_t row, std::size_t offset, std::size_t part, int n, double* parts) {
  for (int i = 0; i < n; ++i) std::copy_n(rows + i * row + offset, part, parts + i * part);
}
void scatter_columns(const double* parts, std::size_t row, std::size_t offset, std::size_t part, int n, double* rows) {
  for (int i = 0; i < n; ++i) std::copy_n(parts + i * part, part, rows + i * row + offset);
}

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

[[noreturn]] void fail_not_finite(const std::string& what, const std::string& where) {
  throw NotFinite(what + " not finite, first at " + where +
                  ": the weights are damaged or the training diverged; use an earlier checkpoint");
}

}  // namespace

void Flow::set_inference_batch(int n) { workspaces_->inference_batch = n; }
int Flow::inference_batch() const { return workspaces_->inference_batch; }

template <class Fn>
void Flow::in_passes(Workspace& work, int count, Fn&& fn) const {
  for (int begin = 0; begin < count;) {
    const int n = std::min(inference_batch(), count - begin);
    std::string why;
    try {
      fn(begin, n);
      begin += n;
      continue;
    } catch (const OutOfMemory& error) {
      why = error.what();
    } catch (const std::bad_alloc&) {
      why = "out of memory";
    }
    work.give_back();
    {
      const std::lock_guard guard(workspaces_->lock);
      workspaces_->free.clear();
    }
    if (n == 1) throw OutOfMemory(why + " (not even one example has room)");
    workspaces_->inference_batch = n / 2;
  }
}

Flow::Scoring& Flow::scoring(Workspace& work, int n, bool given_noise) const {
  std::unique_ptr<Scoring>& pass = work.scoring;
  if (pass == nullptr || pass->n != n || pass->given_noise != given_noise) {
    pass.reset();  // its memory first
    pass = std::make_unique<Scoring>(device());
    pass->n = n;
    pass->given_noise = given_noise;
    pass->batch = batch_layout(n, DType::kF64, given_noise).allocate(pass->inputs);
  }
  return *pass;
}

std::vector<double> Flow::log_prob(Batch batch, DequantizationNoise noise) const {
  const Borrowed work(*this);
  std::vector<double> result(batch.n);
  in_passes(*work, batch.n, [&](int begin, int n) {
    const TraceRange range("score");
    const bool given_noise = noise.values != nullptr;
    Scoring& pass = scoring(*work, n, given_noise);
    batch_layout(n, DType::kF64, given_noise)
        .upload(device(), pass.batch, batch.slice(dims(), begin, n), noise.slice(dims(), begin));
    pass.replay.run([&] { pass.tape.start(false); },
                    [&] { pass.log_prob = forward(pass.tape, pass.batch, DType::kF64, false).log_prob; });
    const Tensor& log_prob = pass.tape.value(pass.log_prob);
    download(device(), &result[begin], log_prob.raw(), log_prob.bytes());
  });
  return result;
}

std::vector<double> Flow::log_prob_draws(Batch batch, NoiseStream stream, int samples) const {
  require(samples > 0, "importance sampling needs at least one sample");
  std::vector<double> draws;
  for (int k = 0; k < samples; ++k) {
    stream.draw = std::uint32_t(k);
    const std::vector<double> draw = log_prob(batch, {stream});
    draws.insert(draws.end(), draw.begin(), draw.end());
  }
  return draws;
}

std::vector<double> Flow::log_prob(Batch batch, NoiseStream stream, int samples) const {
  const std::vector<double> draws = log_prob_draws(batch, stream, samples);
  std::vector<double> result(batch.n);
  for (int i = 0; i < batch.n; ++i) result[i] = log_mean_exp(&draws[i], samples, batch.n);
  return result;
}

Latents Flow::encode(Batch batch, DequantizationNoise noise) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  Latents latents;
  for (const auto& [name, shape] : latent_shapes()) {
    latents.push_back({name, shape.h, shape.w, shape.c, std::vector<double>(shape.size() * batch.n)});
  }
  in_passes(*work, batch.n, [&](int begin, int n) {
    tape.start(false);
    const Batch piece = batch.slice(dims(), begin, n);
    Pass pass = forward(tape, piece, noise.slice(dims(), begin), DType::kF64, true);
    pass.latents.push_back(tape.value(pass.z));
    bool finite = true;
    for (std::size_t k = 0; k < latents.size(); ++k) {
      const std::vector<double> values = tape.read<double>(pass.latents[k]);
      finite = finite && all_finite(values);
      std::copy(values.begin(), values.end(), latents[k].values.begin() + std::ptrdiff_t(begin * (values.size() / n)));
    }
    if (finite) return;
    const auto where = find_non_finite(*work, piece, noise.slice(dims(), begin), DType::kF64, false);
    fail_not_finite("latents are", where.value_or("the base"));
  });
  return latents;
}

Flow::Decoding& Flow::decoding(Workspace& work, int n) const {
  if (work.decoding == nullptr || work.decoding->n != n) {
    work.decoding.reset();  // its memory first
    work.decoding = std::make_unique<Decoding>(device());
    Decoding& pass = *work.decoding;
    pass.n = n;
    for (const auto& [name, shape] : latent_shapes()) {
      pass.latents.push_back(pass.inputs.tensor(DType::kF64, shape.with_images(n)));
    }
    pass.index = pass.inputs.tensor(DType::kU32, Shape{n});
    pass.stream = pass.inputs.tensor(DType::kU8, Shape{int(sizeof(NoiseStream))});
    pass.data = pass.inputs.tensor(takes_images() ? DType::kU8 : DType::kF64, layer_shape(n));
  }
  return *work.decoding;
}

template <class Fill>
void Flow::run_decoding(Workspace& work, Decoding& decoding, std::uint32_t first, void* data, Fill&& fill) const {
  const TraceRange range("decode");
  Tape& tape = decoding.tape;
  fill();
  const auto decode = [&] {
    const ParameterVars parameters(tape, parameters_);
    FlowPass pass{tape, parameters, parameters_.dtype(), Var{}, {decoding.latents.begin(), decoding.latents.end() - 1}};
    decoding.x = run_inverse(pass, base_->inverse(pass, tape.constant(decoding.latents.back())));
    input_->inverse(pass, decoding.x, decoding.data);
  };
  decoding.replay.run([&] { tape.start(false); }, decode);
  download(device(), data, decoding.data.raw(), decoding.data.bytes());
  if (all_finite(tape.read<double>(takes_images() ? tape.value(decoding.x) : decoding.data))) return;
  fill();  // the pass has written over its latents
  fail_not_finite(takes_images() ? "images are" : "numbers are", find_non_finite_inverse(work.tape, decoding, first));
}

std::string Flow::find_non_finite_inverse(Tape& tape, const Decoding& decoding, std::uint32_t first) const {
  std::optional<std::string> found;
  const std::vector<LayerInfo> infos = layers();
  tape.start(false);
  const auto look = [&](int layer, Var z) {
    if (found) return;
    const std::vector<double> values = tape.read<double>(tape.value(z));
    const auto bad = std::find_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); });
    if (bad == values.end()) return;
    const std::size_t example = std::size_t(bad - values.begin()) / (values.size() / decoding.n);
    const std::string place = layer < int(infos.size()) - 1 ? "layer " + infos[layer].name : infos[layer].name;
    found = place + " (" + infos[layer].description + "), " + (takes_images() ? "image " : "row ") +
            std::to_string(first + example);
  };
  const ParameterVars parameters(tape, parameters_);
  FlowPass pass{tape, parameters, parameters_.dtype(), Var{}, {decoding.latents.begin(), decoding.latents.end() - 1}};
  const Var z = base_->inverse(pass, tape.constant(decoding.latents.back()));
  look(int(infos.size()) - 1, z);
  run_inverse(pass, z, look);
  return found.value_or("layer " + infos[0].name + " (" + infos[0].description + ")");
}

std::size_t Flow::example_bytes() const { return dims() * (takes_images() ? 1 : sizeof(double)); }

void Flow::decode_into(const Latents& latents, int n, std::byte* data) const {
  const Borrowed work(*this);
  const auto shapes = latent_shapes();
  require(latents.size() == shapes.size(), "the number of latents is not that of the flow");
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const MapShape& s = shapes[k].second;
    const Latent& z = latents[k];
    if (z.name == shapes[k].first && z.h == s.h && z.w == s.w && z.c == s.c && z.values.size() == s.size() * n)
      continue;
    throw Error("latent " + z.name + " does not fit this flow: expected " + shapes[k].first + " with " +
                std::to_string(n) + " x " + std::to_string(s.h) + " x " + std::to_string(s.w) + " x " +
                std::to_string(s.c) + " numbers");
  }
  in_passes(*work, n, [&](int begin, int count) {
    Decoding& pass = decoding(*work, count);
    run_decoding(*work, pass, std::uint32_t(begin), data + begin * example_bytes(), [&] {
      for (std::size_t k = 0; k < latents.size(); ++k) {
        upload(device(), pass.latents[k], &latents[k].values[begin * shapes[k].second.size()]);
      }
    });
  });
}

std::vector<double> Flow::temperatures_of(const SampleOptions& options) const {
  const std::size_t count = latent_shapes().size();
  const std::vector<double> all =
      options.temperatures.empty() ? std::vector<double>(count, options.temperature) : options.temperatures;
  require(all.size() == count, "there is one temperature for each latent");
  for (const double one : all) require(one >= 0 && std::isfinite(one), "a temperature must be 0 or more");
  return all;
}

void Flow::draw(Decoding& pass, const SampleOptions& options, int begin) const {
  std::vector<std::uint32_t> index(pass.n);
  for (int i = 0; i < pass.n; ++i) index[i] = options.first + std::uint32_t(begin + i);
  upload(device(), pass.index, index.data());
  const std::vector<double> temperatures = temperatures_of(options);
  for (std::size_t k = 0; k < pass.latents.size(); ++k) {
    // Draw 0 is the final latent and draw k+1 split k, whatever the number of splits.
    const bool final = k + 1 == pass.latents.size();
    const NoiseStream stream{options.seed, NoisePurpose::kPrior, final ? 0 : std::uint32_t(k) + 1};
    upload(device(), pass.stream.raw(), &stream, sizeof stream);
    if (final) {
      base_->draw(parameters_, pass.latents[k], {pass.index, pass.stream}, temperatures[k]);
    } else {
      draw_normals(device(), pass.latents[k], {pass.index, pass.stream}, temperatures[k]);
    }
  }
}

void Flow::sample_into(const SampleOptions& options, std::byte* data) const {
  temperatures_of(options);  // with its complaints
  const Borrowed work(*this);
  in_passes(*work, options.count, [&](int begin, int count) {
    Decoding& pass = decoding(*work, count);
    run_decoding(*work, pass, options.first + std::uint32_t(begin), data + begin * example_bytes(),
                 [&] { draw(pass, options, begin); });
  });
}

Latents Flow::draw_latents(const SampleOptions& options) const {
  temperatures_of(options);  // with its complaints
  const Borrowed work(*this);
  Latents latents;
  for (const auto& [name, shape] : latent_shapes()) {
    latents.push_back({name, shape.h, shape.w, shape.c, std::vector<double>(shape.size() * options.count)});
  }
  in_passes(*work, options.count, [&](int begin, int count) {
    Decoding& pass = decoding(*work, count);
    draw(pass, options, begin);
    for (std::size_t k = 0; k < latents.size(); ++k) {
      const std::size_t size = latents[k].values.size() / options.count;
      download(device(), &latents[k].values[begin * size], pass.latents[k].raw(), pass.latents[k].bytes());
    }
  });
  return latents;
}

std::vector<std::uint8_t> Flow::decode(const Latents& latents, int n) const {
  require(takes_images(), "this flow takes numbers: it has no images to decode");
  require(n >= 0, "the number of examples cannot be negative");
  std::vector<std::uint8_t> images(n * dims());
  decode_into(latents, n, reinterpret_cast<std::byte*>(images.data()));
  return images;
}

std::vector<std::uint8_t> Flow::sample(const SampleOptions& options) const {
  require(takes_images(), "this flow takes numbers: it has no images to sample");
  require(options.count >= 0, "the number of samples cannot be negative");
  std::vector<std::uint8_t> images(options.count * dims());
  sample_into(options, reinterpret_cast<std::byte*>(images.data()));
  return images;
}

std::vector<double> Flow::decode_numbers(const Latents& latents, int n) const {
  require(!takes_images(), "this flow takes 8-bit images: it has no numbers to decode");
  require(n >= 0, "the number of examples cannot be negative");
  std::vector<double> values(n * dims());
  decode_into(latents, n, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

std::vector<double> Flow::sample_numbers(const SampleOptions& options) const {
  require(!takes_images(), "this flow takes 8-bit images: it has no numbers to sample");
  require(options.count >= 0, "the number of samples cannot be negative");
  std::vector<double> values(options.count * dims());
  sample_into(options, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

Transformed Flow::transform(std::span<const double> x, int n) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  require(n >= 0 && x.size() == n * dims(), "the number of values is not that of n examples of the flow");
  Transformed result{std::vector<double>(x.size()), std::vector<double>(n)};
  const auto shapes = latent_shapes();
  in_passes(*work, n, [&](int begin, int count) {
    tape.start(false);
    const auto zeros = [&] {
      const Var sums = tape.output(DType::kF64, Shape{count}, false);
      fill_zero(device(), tape.value(sums));
      return sums;
    };
    const ParameterVars parameters(tape, parameters_);
    FlowPass pass{tape, parameters, parameters_.dtype(), zeros(), {}, true};
    pass.log_prior = zeros();
    BatchTensors batch;
    batch.data = tape.arena().tensor(DType::kF64, layer_shape(count));
    upload(device(), batch.data, &x[begin * dims()]);
    Var z = takes_images() ? tape.constant(batch.data) : input_->forward(pass, batch, DType::kF64);
    for (const PlacedLayer& layer : layers_) z = layer.bijector->forward(pass, z);
    pass.latents.push_back(tape.value(z));
    std::size_t offset = 0;
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      const std::size_t part = shapes[k].second.size();
      scatter_columns(tape.read<double>(pass.latents[k]).data(), dims(), offset, part, count,
                      &result.values[begin * dims()]);
      offset += part;
    }
    download(device(), &result.logdet[begin], tape.value(pass.logdet).raw(), tape.value(pass.logdet).bytes());
  });
  return result;
}

Transformed Flow::inverse_transform(std::span<const double> z, int n) const {
  const Borrowed work(*this);
  Tape& tape = work->tape;
  require(n >= 0 && z.size() == n * dims(), "the number of values is not that of n examples of the flow");
  Transformed result{std::vector<double>(z.size()), std::vector<double>(n)};
  const auto shapes = latent_shapes();
  in_passes(*work, n, [&](int begin, int count) {
    tape.start(false);
    const ParameterVars parameters(tape, parameters_);
    FlowPass pass{tape, parameters, parameters_.dtype(), tape.output(DType::kF64, Shape{count}, false), {}};
    fill_zero(device(), tape.value(pass.logdet));
    std::size_t offset = 0;
    for (const auto& [name, shape] : shapes) {
      std::vector<double> part(count * shape.size());
      gather_columns(&z[begin * dims()], dims(), offset, shape.size(), count, part.data());
      pass.latents.push_back(tape.arena().tensor(DType::kF64, shape.with_images(count)));
      upload(device(), pass.latents.back(), part.data());
      offset += shape.size();
    }
    const Var last = tape.constant(pass.latents.back());
    pass.latents.pop_back();
    const Var x = run_inverse(pass, last);
    Tensor data = tape.value(x);
    if (!takes_images()) {
      data = tape.arena().tensor(DType::kF64, layer_shape(count));
      input_->inverse(pass, x, data);
    }
    download(device(), &result.values[begin * dims()], data.raw(), data.bytes());
    download(device(), &result.logdet[begin], tape.value(pass.logdet).raw(), tape.value(pass.logdet).bytes());
  });
  return result;
}

std::size_t Flow::scoring_graph_nodes() const {
  const Borrowed work(*this);
  return work->scoring == nullptr ? 0 : work->scoring->replay.node_count();
}

std::size_t Flow::decoding_graph_nodes() const {
  const Borrowed work(*this);
  return work->decoding == nullptr ? 0 : work->decoding->replay.node_count();
}

}  // namespace flowsmith::core
