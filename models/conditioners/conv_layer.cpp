#include "models/conditioners/conv_layer.h"

#include <cmath>

namespace flowsmith::core {

ConvLayer::ConvLayer(Parameters& parameters, const std::string& name, Size size, Init init) {
  const double bound = init != Init::kPytorch ? 0 : 1 / std::sqrt(double(size.c_in) * size.kernel * size.kernel);
  ParameterInit weight{0, bound};
  if (init == Init::kNormal) {
    const std::size_t count = std::size_t(size.c_out) * size.c_in * size.kernel * size.kernel;
    weight.values = [count, place = std::uint32_t(parameters.count())](std::uint64_t seed) {
      constexpr double kDeviation = 0.05;
      constexpr std::uint32_t kIndex = 0;
      std::vector<double> values(count);
      const NoiseStream stream{seed, NoisePurpose::kWeights, place};
      normal_noise(values.data(), &kIndex, &stream, kDeviation, 1, count, Reference{});
      return values;
    };
  }
  weight_ = parameters.add(name + ".weight", {size.c_out, size.c_in, size.kernel, size.kernel},
                           ParameterLayout::kConvWeight, weight);
  parameters.add(name + ".bias", {size.c_out}, ParameterLayout::kPlain, {0, bound});
}

}  // namespace flowsmith::core
