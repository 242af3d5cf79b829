#include "models/parity.h"

#include "models/training_step.h"
#include "models/weights.h"

namespace flowsmith {
namespace {

const NamedTensor& required(const SafetensorsFile& file, const std::string& name, const std::string& dtype,
                            const std::string& path) {
  const NamedTensor* const tensor = file.find(name);
  if (tensor == nullptr) throw Error(path + ": tensor " + name + " is missing");
  if (tensor->dtype != dtype || tensor->shape.size() != 5 || tensor->shape[2] != 1) {
    throw Error(path + ": tensor " + name + " is " + tensor->dtype + " " + shape_text(tensor->shape) + ", expected " +
                dtype + " [steps, batch, 1, height, width]");
  }
  return *tensor;
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
  for (const char* const key : {"model", "edition"}) {
    if (!input.metadata.contains(key)) throw Error(path + ": metadata '" + key + "' is missing");
  }
  const AdamOptions options{.lr = metadata_number<double>(input, "lr", path)};
  const double clip_norm = metadata_number<double>(input, "clip_norm", path);
  const NamedTensor& images = required(input, "images", "U8", path);
  const NamedTensor& noise = required(input, "noise", "F32", path);
  if (images.shape != noise.shape) throw Error(path + ": tensors images and noise differ in shape");
  for (const float u : noise.as<float>()) {
    if (!(u >= 0 && u <= 1)) throw Error(path + ": tensor noise has values outside [0, 1]");
  }

  ModelSpec spec = recognise_model(input, path);
  constexpr std::int64_t kLargest = 1 << 20;
  for (const std::int64_t dim : images.shape) {
    if (dim < 1 || dim > kLargest) throw Error(path + ": tensor images has a side of " + std::to_string(dim));
  }
  spec.height = int(images.shape[3]);
  spec.width = int(images.shape[4]);
  try {
    require_valid(spec);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
  Flow flow(spec, device);
  constexpr std::string_view kInputs[] = {"images", "noise"};
  load_weights(flow, input, path, kInputs);

  const int steps = int(images.shape[0]), n = int(images.shape[1]);
  const std::size_t batch_size = n * flow.dims();
  const std::vector<std::uint32_t> index(n);  // the noise is given: no image needs a number of its own
  std::vector<float> log_prob, loss, grad_norm;
  NamedTensor z_final;
  TrainingStep step(flow);
  for (int s = 0; s < steps; ++s) {
    const ImageBatch batch{images.as<std::uint8_t>().data() + s * batch_size, index.data(), n};
    step.stage(batch, {{}, noise.as<float>().data() + s * batch_size});
    const StepResult result = step.run(options, clip_norm);
    for (const double value : step.log_prob()) log_prob.push_back(float(value));
    loss.push_back(float(result.bits_per_dim));
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
  for (NamedTensor& tensor : export_parameters(flow.parameters(), flow.parameters().values())) {
    output.tensors.push_back(std::move(tensor));
  }
  return output;
}

}  // namespace flowsmith
