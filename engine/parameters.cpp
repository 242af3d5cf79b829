#include "engine/parameters.h"

#include <limits>

#include "engine/device_memory.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kSpanAlignment = 16;  // elements: every parameter starts on a cache line

constexpr std::size_t kMostElements = std::size_t{1} << 31;

std::size_t size_of(const std::vector<std::int64_t>& shape) {
  std::size_t size = 1;
  for (const std::int64_t dim : shape) size *= std::size_t(dim);
  return size;
}

/// Sizes come from files: none may be more than an int holds.
void require_small(const std::string& name, const std::vector<std::int64_t>& shape) {
  double size = 1;
  for (const std::int64_t dim : shape) size *= double(dim);
  if (!(size >= 0 && size < double(kMostElements))) {
    throw Error("parameter " + name + " would have 2^31 numbers or more: choose a smaller model");
  }
}

/// Calls fn(file index, memory index) for every element of a parameter.
template <class Fn>
void for_each_element(const Parameter& parameter, Fn&& fn) {
  const std::size_t size = parameter.shape.size();
  if (parameter.layout == ParameterLayout::kPlain || parameter.layout == ParameterLayout::kMatrix) {
    for (std::size_t e = 0; e < size; ++e) fn(e, e);
    return;
  }
  const auto& file = parameter.file_shape;
  const std::size_t out = file[0], in = file[1];
  const std::size_t taps = parameter.layout == ParameterLayout::kConvWeight ? file[2] * file[3] : 1;
  for (std::size_t e = 0; e < size; ++e) {
    const std::size_t tap = e % taps, i = e / taps % in, o = e / taps / in;
    fn(e, (tap * in + i) * out + o);
  }
}

template <class Fn>
void with_float_type(DType dtype, Fn&& fn) {
  dtype == DType::kF64 ? fn(double{}) : fn(float{});
}

}  // namespace

int Parameters::add(std::string name, std::vector<std::int64_t> file_shape, ParameterLayout layout,
                    ParameterInit init) {
  require(!values_, "parameters cannot be added once they have memory");
  Parameter parameter{std::move(name), std::move(file_shape), layout, std::move(init), {}, span_size_};
  const auto& f = parameter.file_shape;
  require_small(parameter.name, f);
  if (layout == ParameterLayout::kConvWeight) {
    require(f.size() == 4, "a convolution weight has four dimensions");
    parameter.shape = Shape{int(f[2]), int(f[3]), int(f[1]), int(f[0])};
  } else if (layout == ParameterLayout::kLinearWeight) {
    require(f.size() == 2, "a linear weight has two dimensions");
    parameter.shape = Shape{int(f[1]), int(f[0])};
  } else if (layout == ParameterLayout::kMatrix) {
    require(f.size() == 2, "a matrix has two dimensions");
    parameter.shape = Shape{int(f[0]), int(f[1])};
  } else {
    parameter.shape = Shape{int(size_of(f))};
  }
  const std::size_t size = parameter.shape.size();
  span_size_ += (size + kSpanAlignment - 1) / kSpanAlignment * kSpanAlignment;
  element_count_ += size;
  if (span_size_ > kMostElements) throw Error("parameter " + parameter.name + " makes them more than 2^31 numbers");
  parameters_.push_back(std::move(parameter));
  return count() - 1;
}

void Parameters::allocate() {
  require(span_size_ <= std::size_t(std::numeric_limits<int>::max()), "a flow has at most 2147483647 parameters");
  const Shape span{int(span_size_)};
  values_ = arena_.tensor(dtype_, span);
  grads_ = arena_.tensor(dtype_, span);
  fill_zero(device_, values_);
  fill_zero(device_, grads_);
  for (const State& state : states_) {
    state_values_.push_back(arena_.tensor(DType::kF64, Shape{int(size_of(state.file_shape))}));
    fill_zero(device_, state_values_.back());
  }
}

int Parameters::add_state(std::string name, std::vector<std::int64_t> file_shape,
                          std::function<std::vector<double>(std::uint64_t)> init) {
  require(!values_, "states cannot be added once parameters have memory");
  require_small(name, file_shape);
  states_.push_back({std::move(name), std::move(file_shape), std::move(init)});
  return state_count() - 1;
}

void Parameters::set_state(int i, const std::vector<double>& values) {
  require(values.size() == state_values_[i].size(), "a state has as many values as its shape says");
  upload(device_, state_values_[i], values.data());
}

void Parameters::initialize(std::uint64_t seed) {
  for (int i = 0; i < count(); ++i) {
    const Parameter& p = parameters_[i];
    if (p.init.values) {
      const std::vector<double> given = p.init.values(seed);
      require(given.size() == p.shape.size(), "initial values are as many as the parameter's shape says");
      const std::vector<float> values(given.begin(), given.end());
      from_file_order(values_, i, values.data());
      continue;
    }
    const NoiseStream stream{seed, NoisePurpose::kWeights, std::uint32_t(i)};
    PhiloxCounter words{};
    std::vector<float> values(p.shape.size());
    for (std::size_t e = 0; e < values.size(); ++e) {
      if (e % 4 == 0) words = noise_words(stream, 0, std::uint32_t(e / 4));
      values[e] = float(p.init.centre) + (2 * word_to_uniform(words[e % 4]) - 1) * float(p.init.spread);
    }
    from_file_order(values_, i, values.data());
  }
  for (int i = 0; i < state_count(); ++i) set_state(i, states_[i].init(seed));
}

void Parameters::jitter(std::uint64_t seed, double deviation) {
  constexpr std::uint32_t kIndex = 1;
  for (int i = 0; i < count(); ++i) {
    std::vector<float> values(parameters_[i].shape.size()), noise(values.size());
    const NoiseStream stream{seed, NoisePurpose::kWeights, std::uint32_t(i)};
    normal_noise(noise.data(), &kIndex, &stream, deviation, 1, noise.size(), Reference{});
    to_file_order(values_, i, values.data());
    for (std::size_t e = 0; e < values.size(); ++e) values[e] += noise[e];
    from_file_order(values_, i, values.data());
  }
}

void Parameters::to_file_order(const Tensor& span, int i, float* out) const {
  with_float_type(dtype_, [&](auto zero) {
    const auto in = download<decltype(zero)>(device_, view(span, i));
    for_each_element(parameters_[i], [&](std::size_t file, std::size_t memory) { out[file] = float(in[memory]); });
  });
}

void Parameters::from_file_order(const Tensor& span, int i, const float* in) const {
  with_float_type(dtype_, [&](auto zero) {
    std::vector<decltype(zero)> out(parameters_[i].shape.size());
    for_each_element(parameters_[i], [&](std::size_t file, std::size_t memory) { out[memory] = in[file]; });
    upload(device_, view(span, i), out.data());
  });
}

Tensor Parameters::view(const Tensor& span, int i) const {
  const Parameter& p = parameters_[i];
  auto* const start = static_cast<std::byte*>(span.raw()) + p.offset * dtype_size(dtype_);
  return {start, dtype_, p.shape};
}

}  // namespace flowsmith::core
