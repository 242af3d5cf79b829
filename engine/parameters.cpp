#include "engine/parameters.h"

#include "engine/device_memory.h"

namespace flowsmith {
namespace {

constexpr std::size_t kSpanAlignment = 16;  // elements: every parameter starts on a cache line

/// Calls fn(file index, memory index) for every element of a parameter.
template <class Fn>
void for_each_element(const Parameter& parameter, Fn&& fn) {
  const std::size_t size = parameter.shape.size();
  if (parameter.layout == ParameterLayout::kPlain) {
    for (std::size_t e = 0; e < size; ++e) fn(e, e);
    return;
  }
  const auto& file = parameter.file_shape;
  const std::size_t out = file[0], in = file[1], taps = file[2] * file[3];
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
  Parameter parameter{std::move(name), std::move(file_shape), layout, init, {}, span_size_};
  const auto& f = parameter.file_shape;
  if (layout == ParameterLayout::kConvWeight) {
    require(f.size() == 4, "a convolution weight has four dimensions");
    parameter.shape = Shape{int(f[2]), int(f[3]), int(f[1]), int(f[0])};
  } else {
    int size = 1;
    for (const std::int64_t dim : f) size *= int(dim);
    parameter.shape = Shape{size};
  }
  const std::size_t size = parameter.shape.size();
  span_size_ += (size + kSpanAlignment - 1) / kSpanAlignment * kSpanAlignment;
  element_count_ += size;
  parameters_.push_back(std::move(parameter));
  return count() - 1;
}

void Parameters::allocate() {
  const Shape span{int(span_size_)};
  values_ = arena_.tensor(dtype_, span);
  grads_ = arena_.tensor(dtype_, span);
  fill_zero(device_, values_);
  fill_zero(device_, grads_);
}

void Parameters::initialize(std::uint64_t seed) {
  for (int i = 0; i < count(); ++i) {
    const Parameter& p = parameters_[i];
    const NoiseStream stream{seed, NoisePurpose::kWeights, std::uint32_t(i)};
    PhiloxCounter words{};
    std::vector<float> values(p.shape.size());
    for (std::size_t e = 0; e < values.size(); ++e) {
      if (e % 4 == 0) words = noise_words(stream, 0, std::uint32_t(e / 4));
      values[e] = float(p.init.centre) + (2 * word_to_uniform(words[e % 4]) - 1) * float(p.init.spread);
    }
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

}  // namespace flowsmith
