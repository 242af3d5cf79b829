// flowsmith transform: the layers of a flow as a function on arrays, in either direction, with its log-determinant.
#include "data/npy.h"
#include "models/files/weights.h"
#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/model_option.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kPiece = 64;

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<double> values;
  int n = 0;
  MapShape example;  ///< n = 1
};

Array read_array(const std::string& path) {
  const NamedTensor tensor = read_npy(path);
  const std::size_t rank = tensor.shape.size();
  const bool right_rank = rank == 2 || rank == 4;
  if (!right_rank) {
    throw Error(path + ": has the shape " + shape_text(tensor.shape) + ", expected numbers N x D or N x H x W x C");
  }
  for (const std::int64_t side : tensor.shape) {
    if (side < 1 || side > (1 << 24)) throw Error(path + ": has a side of " + std::to_string(side));
  }
  Array array{tensor.shape, {}, int(tensor.shape[0]), {1, 1, 1, 1}};
  if (rank == 2) {
    array.example.c = int(tensor.shape[1]);
  } else {
    array.example = {1, int(tensor.shape[1]), int(tensor.shape[2]), int(tensor.shape[3])};
  }
  array.values = numbers_of(tensor.dtype, tensor.data);
  const std::size_t row = array.example.size();
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    if (std::isfinite(array.values[i])) continue;
    throw Error(path + ": row " + std::to_string(i / row) + ", counted from 0, has a number that is not finite");
  }
  return array;
}

/// New weights from the seed, or those of a file.
Flow flow_of_options(const cxxopts::ParseResult& options, const Array& input, Device device) {
  const bool given_model = options.count("model") > 0 || options.count("config") > 0;
  if (options.count("weights") > 0) {
    for (const char* const name : {"model", "config", "set", "edition", "couplings", "seed", "jitter"}) {
      if (options.count(name) > 0) throw Error("give --weights or --" + std::string(name) + ", not both");
    }
    return load_flow(weights_named(options["weights"].as<std::string>()), device);
  }
  if (!given_model) throw Error("name the flow with --weights, --config or --model");
  FlowConfig config = config_from(options);
  // Rows say nothing of the shape of an image: latents that splits have taken apart are rows too.
  if (input.shape.size() == 4 || !config.takes_images()) {
    config = config.with_shape(input.example.h, input.example.w, input.example.c);
  }
  Flow flow(config, device);
  const std::uint64_t seed = options["seed"].as<std::uint64_t>();
  flow.initialize(seed);
  const double jitter = options["jitter"].as<Real>().value;
  if (!(jitter >= 0) || !std::isfinite(jitter)) throw Error("--jitter must be 0 or a positive number");
  if (jitter > 0) {
    flow.parameters().jitter(seed, jitter);
    flow.weights_changed();
  }
  return flow;
}

int transform(const cxxopts::ParseResult& options) {
  if (options.count("input") == 0) throw Error("--input is missing: name an array (.npy)");
  const bool inverse = options["inverse"].as<bool>();
  const auto path_of = [&](const char* name) {
    return options.count(name) > 0 ? options[name].as<std::string>() : std::string();
  };
  const std::string in = input_named(path_of("input")), out = output_named(path_of("out"));
  const std::string logdet = output_named(path_of("logdet")), save = output_named(path_of("save"));
  require_outputs({{"--input", in}, {"--weights", input_named(path_of("weights"))}, {"--config", path_of("config")}},
                  {{"--out", out}, {"--logdet", logdet}, {"--save", save}});
  require_kind({"--out", out}, ".npy");
  require_kind({"--logdet", logdet}, ".npy");
  require_kind({"--save", save}, ".safetensors");
  if (out.empty() && logdet.empty() && save.empty()) throw Error("nothing to write: name --out, --logdet or --save");
  const Device device = device_from(options);
  const Array array = read_array(in);
  Flow flow = flow_of_options(options, array, device);
  if (array.example.size() != flow.dims()) {
    throw Error(in + ": has " + std::to_string(array.example.size()) + " numbers in an example, and the flow takes " +
                std::to_string(flow.dims()));
  }
  Transformed result;
  CountProgress progress(inverse ? "inverting" : "transforming", array.n);
  for (int begin = 0; begin < array.n; begin += kPiece) {
    const int n = std::min(kPiece, array.n - begin);
    const std::span<const double> piece(&array.values[begin * flow.dims()], n * flow.dims());
    const Transformed some = inverse ? flow.inverse_transform(piece, n) : flow.transform(piece, n);
    result.values.insert(result.values.end(), some.values.begin(), some.values.end());
    result.logdet.insert(result.logdet.end(), some.logdet.begin(), some.logdet.end());
    progress.update(begin + n);
  }
  if (!out.empty()) {
    // One latent has its own shape; several are rows, one behind the other. Data have their own shape too.
    const auto latents = flow.latent_shapes();
    const MapShape shape = inverse ? flow.data_shape(1) : latents.back().second;
    std::vector<std::int64_t> dims{array.n, shape.h, shape.w, shape.c};
    if (array.shape.size() == 2 || (!inverse && latents.size() > 1)) dims = {array.n, std::int64_t(flow.dims())};
    if (inverse && shape.h * shape.w > 1) dims = {array.n, shape.h, shape.w, shape.c};
    write_npy<double>(out, dims, result.values);
    std::printf("%d examples %s: %s\n", array.n, inverse ? "inverted" : "transformed", shown(out).c_str());
  }
  if (!logdet.empty()) {
    const std::int64_t dims[] = {array.n};
    write_npy<double>(logdet, dims, result.logdet);
    std::printf("their log-determinants: %s\n", shown(logdet).c_str());
  }
  if (!save.empty()) {
    flow.save(save);
    std::printf("weights: %s\n", shown(save).c_str());
  }
  say_passes(flow);
  return 0;
}

}  // namespace

int transform_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith transform",
      "Runs the layers of a flow on an array of float32 or float64 numbers, N x D or N x H x W x C: x to z, or with "
      "--inverse z to x. Of flows of 8-bit images x is what their dequantization gives. Where layers split, z is N x "
      "D, the latents of an example one behind the other.\n");
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp, cxxopts::value<std::string>())
      ("seed", "Without --weights: of the initial weights", cxxopts::value<std::uint64_t>()->default_value("42"))
      ("jitter", "Without --weights: move every parameter by a normal number of this standard deviation",
       cxxopts::value<Real>()->default_value("0"))
      ("inverse", "z to x (default: off)", cxxopts::value<bool>()->default_value("false"))
      ("input", "Array to transform (.npy)", cxxopts::value<std::string>())
      ("out", "Result (.npy, float64)", cxxopts::value<std::string>())
      ("logdet", "Log-determinant of each example (.npy, float64, N)", cxxopts::value<std::string>())
      ("save", "Also write the weights that were used to this file", cxxopts::value<std::string>());
  // clang-format on
  add_model_options(options);
  add_device_options(options);
  return run_tool("flowsmith transform", options, argc, argv, transform);
}

}  // namespace flowsmith::core
