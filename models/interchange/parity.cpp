#include "models/interchange/parity.h"

#include <cmath>

#include "models/files/weights.h"
#include "models/training/training_step.h"

namespace flowsmith::core {
namespace {

constexpr std::int64_t kLargest = 1 << 20;  ///< side of a tensor

const NamedTensor& required(const SafetensorsFile& file, const std::string& name, const std::string& dtype,
                            const std::string& path) {
  const NamedTensor* const tensor = file.find(name);
  if (tensor == nullptr) throw Error(path + ": tensor " + name + " is missing");
  const bool images = tensor->shape.size() == 5 && (tensor->shape[2] == 1 || tensor->shape[2] == 3);
  if (tensor->dtype != dtype || !images) {
    throw Error(path + ": tensor " + name + " is " + tensor->dtype + " " + shape_text(tensor->shape) + ", expected " +
                dtype + " [steps, batch, 1 or 3, height, width]");
  }
  return *tensor;
}

/// The examples of all steps, and what an example looks like.
struct Steps {
  int steps = 0, batch = 0;
  MapShape shape;  ///< n = 1
  std::vector<std::uint8_t> pixels;
  std::vector<float> noise;
  std::vector<double> values;
};

void require_sides(const std::vector<std::int64_t>& shape, const std::string& name, const std::string& path) {
  for (const std::int64_t side : shape) {
    if (side < 1 || side > kLargest) throw Error(path + ": tensor " + name + " has a side of " + std::to_string(side));
  }
}

/// (n,c,h,w) -> (n,h,w,c).
template <class T>
std::vector<T> channels_last(std::span<const T> in, MapShape one) {
  std::vector<T> out(in.size());
  const std::size_t pixels = one.pixels(), channels = one.c;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::size_t n = i / one.image_size(), k = i / pixels % channels, p = i % pixels;
    out[(n * pixels + p) * channels + k] = in[i];
  }
  return out;
}

Steps image_steps(const SafetensorsFile& input, const std::string& path) {
  const NamedTensor& images = required(input, "images", "U8", path);
  const NamedTensor& noise = required(input, "noise", "F32", path);
  if (images.shape != noise.shape) throw Error(path + ": tensors images and noise differ in shape");
  for (const float u : noise.as<float>()) {
    if (!(u >= 0 && u <= 1)) throw Error(path + ": tensor noise has values outside [0, 1]");
  }
  require_sides(images.shape, "images", path);
  const auto side = [&](int i) { return int(images.shape[i]); };
  const MapShape one{1, side(3), side(4), side(2)};
  return {side(0), side(1), one, channels_last(images.as<std::uint8_t>(), one), channels_last(noise.as<float>(), one),
          {}};
}

Steps number_steps(const NamedTensor& data, const std::string& path) {
  const std::size_t rank = data.shape.size();
  if (data.dtype != "F32" || (rank != 3 && rank != 5)) {
    throw Error(path + ": tensor data is " + data.dtype + " " + shape_text(data.shape) +
                ", expected F32 [steps, batch, D] or [steps, batch, height, width, channels]");
  }
  require_sides(data.shape, "data", path);
  const auto side = [&](std::size_t i) { return i < rank ? int(data.shape[i]) : 1; };
  const MapShape one = rank == 3 ? MapShape{1, 1, 1, side(2)} : MapShape{1, side(2), side(3), side(4)};
  const std::span<const float> values = data.as<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw Error(path + ": tensor data has a value that is not finite in row " + std::to_string(i / one.size()));
    }
  }
  return {side(0), side(1), one, {}, {}, {values.begin(), values.end()}};
}

/// NHWC -> NCHW.
std::vector<float> channels_first(const std::vector<double>& in, MapShape map) {
  std::vector<float> out(map.size());
  for (int n = 0; n < map.n; ++n) {
    for (std::size_t p = 0; p < map.pixels(); ++p) {
      for (int c = 0; c < map.c; ++c) {
        out[(std::size_t(n) * map.c + c) * map.pixels() + p] =
            float(in[(std::size_t(n) * map.pixels() + p) * map.c + c]);
      }
    }
  }
  return out;
}

}  // namespace

SafetensorsFile replay(const SafetensorsFile& input, const std::string& path, Device device,
                       const std::function<void(int, int)>& on_step) {
  const AdamOptions options{.lr = metadata_number<double>(input, "lr", path)};
  const double clip_norm = metadata_number<double>(input, "clip_norm", path);
  const NamedTensor* const data = input.find("data");
  const Steps given = data != nullptr ? number_steps(*data, path) : image_steps(input, path);
  const FlowConfig config = config_of(input, path);
  Flow flow = [&] {
    try {
      if (config.takes_images() != (data == nullptr)) {
        throw Error("model " + config.name() + " takes " +
                    (data == nullptr ? "numbers: give the tensor data" : "8-bit images: give the tensor images"));
      }
      return Flow(config.with_shape(given.shape.h, given.shape.w, given.shape.c), device);
    } catch (const Error& error) {
      throw Error(path + ": " + error.what());
    }
  }();
  constexpr std::string_view kInputs[] = {"images", "noise", "data"};
  load_weights(flow, input, path, kInputs);

  const int steps = given.steps, n = given.batch;
  const std::size_t batch_size = n * flow.dims();
  const std::vector<std::uint32_t> index(n);  // the noise is given: no image needs a number of its own
  std::vector<float> log_prob, loss, grad_norm;
  NamedTensor z_final;
  TrainingStep step(flow);
  for (int s = 0; s < steps; ++s) {
    const std::size_t begin = s * batch_size;
    if (data == nullptr) {
      step.stage({&given.pixels[begin], index.data(), n}, {{}, &given.noise[begin]});
    } else {
      step.stage({nullptr, index.data(), n, &given.values[begin]}, {});
    }
    const StepResult result = step.run(options, clip_norm);
    for (const double value : step.log_prob()) log_prob.push_back(float(value));
    loss.push_back(float(result.loss));
    grad_norm.push_back(float(result.gradient_norm));
    if (s == 0) {
      const MapShape z = step.final_latent_shape();
      const std::vector<float> values = channels_first(step.final_latent(), z);
      z_final = NamedTensor::of<float>("z.final", {z.n, z.c, z.h, z.w}, values);
    }
    on_step(s + 1, steps);
  }

  SafetensorsFile output{input.metadata, {}};
  output.tensors.push_back(NamedTensor::of<float>("log_prob", {steps, n}, log_prob));
  output.tensors.push_back(NamedTensor::of<float>("loss", {steps}, loss));
  output.tensors.push_back(NamedTensor::of<float>("grad_norm", {steps}, grad_norm));
  output.tensors.push_back(std::move(z_final));
  for (NamedTensor& tensor : weights_file(flow).tensors) output.tensors.push_back(std::move(tensor));
  return output;
}

}  // namespace flowsmith::core
