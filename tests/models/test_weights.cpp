// Weight files: what is written, what is recognised and what is refused.
#include <algorithm>
#include <bit>

#include "models/files/weights.h"
#include "models/gradient_suite.h"
#include "tests/support/error_of.h"
#include "tests/support/flow_examples.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/run_program.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

std::vector<float> flat_values(const Flow& flow) {
  const Tensor values = flow.parameters().values();
  return {values.data<float>(), values.data<float>() + values.size()};
}

SafetensorsFile file_of(const Flow& flow) {
  return {config_metadata(flow.config()), export_parameters(flow.parameters(), flow.parameters().values())};
}

/// What versions that knew the tutorial's models only wrote instead of a configuration.
std::map<std::string, std::string> old_metadata(const std::string& model, const std::string& edition, int height,
                                                int width) {
  return {{"model", model}, {"edition", edition}, {"height", std::to_string(height)}, {"width", std::to_string(width)}};
}

/// The masks that PyTorch stores beside the weights, written down from the tutorial: (y + x) mod 2, and ones for the
/// first half of the channels; every second coupling has them inverted.
std::vector<NamedTensor> masks_of_multiscale(int rows, int cols) {
  std::vector<NamedTensor> masks;
  const auto checkerboard = [&](const std::string& name, bool invert) {
    std::vector<float> values;
    for (int y = 0; y < rows; ++y) {
      for (int x = 0; x < cols; ++x) values.push_back(float(((y + x) % 2 == 1) != invert));
    }
    masks.push_back(NamedTensor::of<float>(name, {1, 1, rows, cols}, values));
  };
  const auto channel = [&](const std::string& name, int channels, bool invert) {
    std::vector<float> values;
    for (int c = 0; c < channels; ++c) values.push_back(float((c < channels / 2) != invert));
    masks.push_back(NamedTensor::of<float>(name, {1, channels, 1, 1}, values));
  };
  for (int i = 0; i < 4; ++i) checkerboard("flows.0.flows." + std::to_string(i) + ".mask", i % 2 == 1);
  for (int i = 0; i < 2; ++i) checkerboard("flows." + std::to_string(1 + i) + ".mask", i % 2 == 1);
  for (int i = 0; i < 2; ++i) channel("flows." + std::to_string(4 + i) + ".mask", 4, i % 2 == 1);
  for (int i = 0; i < 4; ++i) channel("flows." + std::to_string(8 + i) + ".mask", 8, i % 2 == 1);
  return masks;
}

void add(SafetensorsFile& file, std::vector<NamedTensor> tensors) {
  for (NamedTensor& tensor : tensors) file.tensors.push_back(std::move(tensor));
}

NamedTensor& tensor_named(SafetensorsFile& file, const std::string& name) {
  const auto found = std::find_if(file.tensors.begin(), file.tensors.end(), [&](auto& t) { return t.name == name; });
  REQUIRE(found != file.tensors.end());
  return *found;
}

/// The Error of loading `file` into a new flow of this model; it names the file.
std::string refusal(const SafetensorsFile& file, const FlowConfig& config) {
  const std::string message = error_of([&] {
    Flow flow(config);
    load_weights(flow, file, "some.safetensors");
  });
  CHECK_THAT(message, Contains("some.safetensors"));
  return message;
}

TEST_CASE("weights survive a file bit for bit, and the file says which model they are", "[weights]") {
  const std::string model = GENERATE("simple", "vardeq", "multiscale");
  const std::string edition = GENERATE("2024", "2022");
  INFO(model << " " << edition);
  const TempDir dir;
  const FlowConfig config = tutorial(model, edition, 8, 12);
  Flow flow(config);
  randomize(flow, 3);
  flow.save(dir.file("w.safetensors"));
  const Flow loaded = Flow::load(dir.file("w.safetensors"));
  CHECK(loaded.config() == config);
  CHECK(loaded.config().text() == config.text());  // its name and training too
  CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));

  SafetensorsFile file = read_safetensors(dir.file("w.safetensors"));
  CHECK(file.metadata == std::map<std::string, std::string>{{"config", config.line()}});
  CHECK(file.tensors.size() == std::size_t(flow.parameters().count()));
  CHECK(config_of(file, "w") == config);

  file.metadata = old_metadata(model, edition, 8, 12);  // a file of earlier versions
  CHECK(config_of(file, "w") == config);
  write_safetensors(dir.file("old.safetensors"), file);
  const Flow old = Flow::load(dir.file("old.safetensors"));
  CHECK(old.config() == config);
  CHECK(testing::same_bits(flat_values(old), flat_values(flow)));
  file.metadata.clear();  // names and shapes tell the model, but not the size of the images: MNIST's
  CHECK(config_of(file, "w") == tutorial(model, edition, 28, 28));
}

TEST_CASE("the size of the images is read from metadata or masks", "[weights]") {
  Flow flow(tutorial("multiscale", "2024", 8, 12));
  SafetensorsFile file = file_of(flow);
  file.metadata = old_metadata("multiscale", "2024", 8, 12);
  file.metadata.erase("height");  // half a size is none
  CHECK(config_of(file, "w") == tutorial("multiscale"));
  add(file, masks_of_multiscale(16, 4));
  CHECK(config_of(file, "w") == tutorial("multiscale", "2024", 16, 4));
  file.metadata.clear();
  CHECK(config_of(file, "w") == tutorial("multiscale", "2024", 16, 4));
  file.metadata = old_metadata("multiscale", "2024", 8, 12);
  CHECK(config_of(file, "w") == flow.config());
  file.metadata = config_metadata(flow.config());
  CHECK(config_of(file, "w") == flow.config());
}

TEST_CASE("the number of couplings is read from the names", "[weights]") {
  for (const FlowConfig& config :
       {tutorial("simple", "2024", 28, 28, 3), tutorial("vardeq", "2022", 28, 28, 11),
        tutorial("multiscale", "2022", 28, 28, 4), tutorial("multiscale", "2024", 28, 28, 12)}) {
    INFO(config.name() << " " << config.couplings());
    const TempDir dir;
    Flow flow(config);
    randomize(flow, 3);
    flow.save(dir.file("w.safetensors"));
    const Flow loaded = Flow::load(dir.file("w.safetensors"));
    CHECK(loaded.config() == config);
    CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));
    SafetensorsFile file = file_of(flow);
    file.metadata.clear();
    CHECK(config_of(file, "w") == config);
    const bool new_edition = config.name().find("2022") == std::string::npos;
    file.metadata =
        old_metadata(config.name().substr(0, config.name().find('_')), new_edition ? "2024" : "2022", 28, 28);
    CHECK(config_of(file, "w") == config);
  }
}

TEST_CASE("a number of couplings that the file cannot hold takes no memory", "[weights]") {
  const Flow flow(tutorial("simple", "2024", 8, 12));
  const auto with = [&](const std::string& number, bool metadata) {
    SafetensorsFile file = file_of(flow);
    file.metadata.clear();
    if (metadata) file.metadata = old_metadata("simple", "2024", 8, 12);
    add(file, {NamedTensor::of<float>("flows." + number + ".scaling_factor", {1}, std::vector{0.0f})});
    return file;
  };
  for (const bool metadata : {false, true}) {
    for (const std::string number : {"15", "1000", "1000000", "2147483647"}) {
      INFO(number);
      CHECK_THAT(error_of([&] { config_of(with(number, metadata), "some.safetensors"); }),
                 Contains("some.safetensors") && Contains("flows." + number) && Contains("too few weights"));
    }
  }
  // These are no numbers of layers: what is left is the tutorial's model, which has no such tensor.
  for (const std::string number : {"99999999999999999999", "-3", "+9", "0x9", "9.9", "", " 9"}) {
    INFO(number);
    const SafetensorsFile file = with(number, true);
    CHECK(config_of(file, "some.safetensors") == flow.config());
    CHECK_THAT(refusal(file, flow.config()), Contains("is not part of model simple"));
  }
}

TEST_CASE("a configuration that the file has no weights for takes no memory", "[weights]") {
  const Flow flow(tutorial("simple", "2024", 8, 12));
  const auto refusal_of = [&](const FlowConfig& config) {
    SafetensorsFile file = file_of(flow);
    file.metadata = config_metadata(config);
    const std::string message = error_of([&] { flow_for(file, "some.safetensors"); });
    CHECK_THAT(message, Contains("some.safetensors"));
    return message;
  };
  // 4 GB with gradients, and more than can be counted.
  CHECK_THAT(refusal_of(flow.config().with("layers.0.conditioner.hidden", "1024")),
             Contains("parameters") && Contains("weights of the right model"));
  CHECK_THAT(refusal_of(flow.config().with("layers.0.conditioner.hidden", "4096").with_couplings(4096)),
             Contains("layers.0 (coupling)") && Contains("more than 2^31 numbers"));
}

TEST_CASE("metadata that is no model of ours is refused", "[weights]") {
  const Flow flow(tutorial("simple", "2024", 8, 12));
  const auto complaint = [&](const std::string& key, const std::string& text) {
    SafetensorsFile file = file_of(flow);
    if (key != "config") file.metadata = old_metadata("simple", "2024", 8, 12);
    file.metadata[key] = text;
    const std::string message = error_of([&] { config_of(file, "some.safetensors"); });
    CHECK_THAT(message, Contains("some.safetensors"));
    return message;
  };
  CHECK_THAT(complaint("model", "glow"), Contains("'glow'") && Contains("simple, vardeq or multiscale"));
  CHECK_THAT(complaint("edition", "2023"), Contains("'2023'"));
  CHECK_THAT(complaint("height", "eight"), Contains("'height' is not a number"));
  CHECK_THAT(complaint("width", "12x"), Contains("'width' is not a number"));
  CHECK_THAT(complaint("width", "-12"), Contains("data.width") && Contains("'-12'"));
  CHECK_THAT(complaint("height", "100000"), Contains("data.height") && Contains("'100000'"));
  CHECK_THAT(complaint("config", ""), Contains("metadata 'config'") && Contains("is not JSON"));
  CHECK_THAT(complaint("config", std::string(500'000, '[')), Contains("metadata 'config'"));
  CHECK_THAT(complaint("config", "[]"), Contains("metadata 'config'") && Contains("JSON object"));
  const std::string line = flow.config().line();
  CHECK_THAT(complaint("config", line.substr(0, line.size() / 2)), Contains("metadata 'config'"));
  std::string other = line;
  other.replace(other.find("affine"), 6, "afine");
  CHECK_THAT(complaint("config", other), Contains("metadata 'config'") && Contains("layers.0.transformer") &&
                                             Contains("'afine'") && Contains("affine"));
  const SafetensorsFile stranger{{}, {NamedTensor::of<float>("w", {1}, std::vector{1.0f})}};
  CHECK_THAT(error_of([&] { config_of(stranger, "some.safetensors"); }), Contains("some.safetensors"));
}

TEST_CASE("a convolution's weights are OIHW in files and [ky][kx][in][out] in memory", "[weights]") {
  Flow flow(tutorial("simple", "2024", 8, 12));
  SafetensorsFile file = file_of(flow);
  const std::string name = "flows.3.network.nn.1.net.1.weight";
  NamedTensor& tensor = tensor_named(file, name);
  REQUIRE(tensor.shape == std::vector<std::int64_t>{32, 64, 3, 3});
  std::vector<float> values(32 * 64 * 3 * 3);  // element number e holds e, which a float holds exactly
  for (std::size_t e = 0; e < values.size(); ++e) values[e] = float(e);
  tensor = NamedTensor::of<float>(name, tensor.shape, values);
  load_weights(flow, file, "w");

  int p = 0;
  while (flow.parameters()[p].name != name) ++p;
  const float* const memory = flow.parameters().value(p).data<float>();
  int misplaced = 0;
  for (int ky = 0; ky < 3; ++ky) {
    for (int kx = 0; kx < 3; ++kx) {
      for (int in = 0; in < 64; ++in) {
        for (int out = 0; out < 32; ++out) {
          misplaced += memory[((ky * 3 + kx) * 64 + in) * 32 + out] != float(((out * 64 + in) * 3 + ky) * 3 + kx);
        }
      }
    }
  }
  CHECK(misplaced == 0);
  const SafetensorsFile again = file_of(flow);
  CHECK(again.find(name)->data == file.find(name)->data);
}

TEST_CASE("masks in a file must be those of the model", "[weights]") {
  const FlowConfig config = tutorial("multiscale", "2022", 8, 12);
  Flow flow(config);
  randomize(flow, 5);
  SafetensorsFile file = file_of(flow);
  add(file, masks_of_multiscale(8, 12));
  add(file, {NamedTensor::of<float>("adam.m.anything", {1}, std::vector{7.0f})});  // an optimizer's: nobody's business
  Flow loaded(config);
  load_weights(loaded, file, "some.safetensors");
  CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));

  for (const std::string name : {"flows.0.flows.3.mask", "flows.2.mask", "flows.4.mask", "flows.11.mask"}) {
    INFO(name);
    const auto refused = [&](auto&& damage) {
      SafetensorsFile wrong = file;
      damage(tensor_named(wrong, name));
      CHECK_THAT(refusal(wrong, config), Contains("tensor " + name + " is not the mask"));
    };
    refused([](NamedTensor& mask) {
      std::vector<float> values(mask.as<float>().begin(), mask.as<float>().end());
      values.back() = 1 - values.back();
      mask = NamedTensor::of<float>(mask.name, mask.shape, values);
    });
    refused([](NamedTensor& mask) {
      std::vector<float> values(mask.as<float>().begin(), mask.as<float>().end());
      for (float& value : values) value = 1 - value;  // that of the next coupling
      mask = NamedTensor::of<float>(mask.name, mask.shape, values);
    });
    refused([](NamedTensor& mask) { std::reverse(mask.shape.begin(), mask.shape.end()); });
    refused([](NamedTensor& mask) { mask.dtype = "I32"; });
  }
}

TEST_CASE("a file with other tensors than the model's is refused by name", "[weights]") {
  const FlowConfig config = tutorial("simple", "2024", 8, 12);
  const Flow flow(config);
  const SafetensorsFile good = file_of(flow);
  const std::string weight = "flows.5.network.nn.3.net.3.weight", norm = "flows.8.network.nn.6.gamma";

  SafetensorsFile file = good;
  std::erase_if(file.tensors, [&](const NamedTensor& t) { return t.name == weight; });
  CHECK_THAT(refusal(file, config), Contains("tensor " + weight + " is missing"));

  file = good;
  add(file, {NamedTensor::of<float>("flows.9.scaling_factor", {1}, std::vector{0.0f})});
  CHECK_THAT(refusal(file, config), Contains("tensor flows.9.scaling_factor is not part of model simple"));

  file = good;  // a mask is fine only where the model has one
  add(file, {NamedTensor::of<float>("flows.9.mask", {1, 1, 8, 12}, std::vector<float>(96))});
  CHECK_THAT(refusal(file, config), Contains("tensor flows.9.mask"));

  file = good;
  tensor_named(file, norm).shape = {32};
  CHECK_THAT(refusal(file, config), Contains("tensor " + norm + " is F32 (32)") && Contains("F32 (1, 32, 1, 1)"));

  file = good;
  tensor_named(file, weight).shape = {64, 1, 64, 1};
  CHECK_THAT(refusal(file, config), Contains("tensor " + weight) && Contains("(64, 1, 64, 1)"));

  file = good;
  tensor_named(file, norm) = NamedTensor::of<std::int32_t>(norm, {1, 32, 1, 1}, std::vector<std::int32_t>(32, 1));
  CHECK_THAT(refusal(file, config), Contains("tensor " + norm + " is I32"));

  const Flow vardeq(tutorial("vardeq", "2024", 8, 12));
  CHECK_THAT(refusal(file_of(vardeq), config), Contains("tensor flows.0.flows.0."));
  CHECK_THAT(refusal(good, vardeq.config()), Contains("tensor flows.0.flows.0.scaling_factor is missing"));
  CHECK_THAT(refusal(good, tutorial("simple", "2022", 8, 12)), Contains("is not part of model simple"));
}

TEST_CASE("weights and states of every named model survive a file bit for bit", "[weights]") {
  for (const std::string& name : FlowConfig::names()) {
    INFO(name);
    const TempDir dir;
    const FlowConfig config =
        name == "moons" ? small_config(name).with("data.standardize", "true") : small_config(name);
    Flow flow(config);
    set_random_parameters(flow, 3);
    flow.save(dir.file("w.safetensors"));
    Flow loaded = Flow::load(dir.file("w.safetensors"));
    CHECK(loaded.config().text() == config.text());
    CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));
    REQUIRE(loaded.parameters().state_count() == flow.parameters().state_count());
    for (int i = 0; i < flow.parameters().state_count(); ++i) {
      CHECK(to_doubles(loaded.parameters().state_values(i)) == to_doubles(flow.parameters().state_values(i)));
    }
    CHECK(flow.parameters().state_count() == (name == "realnvp" ? 2 * (10 + 10 * 3)
                                              : name == "glow"  ? 2 * 4
                                              : name == "moons" ? 2
                                                                : 0));
    const testing::FlowExamples examples(flow);
    const NoiseStream noise{3, NoisePurpose::kScoring, 0};
    CHECK(loaded.log_prob(examples.batch(), {noise}) == flow.log_prob(examples.batch(), {noise}));
    loaded.save(dir.file("again.safetensors"));
    CHECK(bytes_of(dir.file("again.safetensors")) == bytes_of(dir.file("w.safetensors")));
  }
}

TEST_CASE("weights that are no bijection are refused, and the layer is named", "[weights]") {
  const FlowConfig plu = small_config("glow");
  const FlowConfig plain = plu.with("layers.0.layers.1.layers.1.form", "plain");
  const FlowConfig inside = plu.with("dequantization", R"({"type": "variational", "layers": ["actnorm",
      {"type": "invertible_conv", "form": "plain"}]})");
  const FlowConfig norm = small_config("realnvp");
  const FlowConfig standardized = small_config("moons").with("data.standardize", "true");
  const auto complaint = [](const FlowConfig& config, const std::string& tensor, auto&& damage) {
    Flow flow(config);
    flow.initialize(4);
    SafetensorsFile file = weights_file(flow);
    CHECK_NOTHROW(load_weights(flow, file, "some.safetensors"));
    damage(tensor_named(file, tensor));
    return refusal(file, config);
  };
  const auto set = [](std::size_t i, double value) {
    return [=](NamedTensor& tensor) {
      if (tensor.dtype == "F64") {
        std::vector<double> values(tensor.as<double>().begin(), tensor.as<double>().end());
        values.at(i) = value;
        tensor = NamedTensor::of<double>(tensor.name, tensor.shape, values);
      } else {
        std::vector<float> values(tensor.as<float>().begin(), tensor.as<float>().end());
        values.at(i) = float(value);
        tensor = NamedTensor::of<float>(tensor.name, tensor.shape, values);
      }
    };
  };
  const auto fill = [](float value) {
    return [=](NamedTensor& tensor) {
      const std::vector<float> values(tensor.as<float>().size(), value);
      tensor = NamedTensor::of<float>(tensor.name, tensor.shape, values);
    };
  };
  const auto layer = [](const std::string& name) { return Contains("layer " + name + " (invertible 1x1 convolution"); };

  // Singular: zeros, equal rows, and a factor that underflows.
  for (const float value : {0.0f, 1.0f, 1e-30f}) {
    CHECK_THAT(complaint(plain, "flows.3.weight", fill(value)), layer("flows.3") && Contains("singular"));
  }
  CHECK_THAT(complaint(inside, "flows.0.flows.1.weight", fill(0)), layer("flows.0.flows.1") && Contains("singular"));
  for (const double value : {-1000.0, -50.0}) {
    CHECK_THAT(complaint(plu, "flows.6.log_scale", set(1, value)), layer("flows.6") && Contains("singular"));
  }
  CHECK_THAT(complaint(plu, "flows.3.log_scale", set(0, 500)), layer("flows.3"));  // infinite
  CHECK_THAT(complaint(plain, "flows.3.weight", set(0, NAN)), Contains("flows.3.weight") && Contains("not finite"));

  for (const double value : {-1.0, 4.0, 0.5, 1e300}) {
    CHECK_THAT(complaint(plu, "flows.3.permutation", set(2, value)), layer("flows.3") && Contains("permutation"));
  }
  CHECK_THAT(complaint(plu, "flows.3.permutation",
                       [](NamedTensor& tensor) {
                         const std::vector<double> twice{0, 1, 1, 3};
                         tensor = NamedTensor::of<double>(tensor.name, tensor.shape, twice);
                       }),
             layer("flows.3") && Contains("permutation"));
  for (const double value : {0.0, 2.0, -0.999}) {
    CHECK_THAT(complaint(plu, "flows.14.sign", set(3, value)), layer("flows.14") && Contains("signs"));
  }
  CHECK_THAT(complaint(plu, "flows.3.sign", set(3, INFINITY)), Contains("flows.3.sign") && Contains("not finite"));

  CHECK_THAT(complaint(norm, "flows.2.running_var", set(0, -1e-9)),
             Contains("layer flows.2 (batch norm)") && Contains("variance is below 0"));
  CHECK_THAT(complaint(norm, "flows.3.network.norm.running_var", set(2, -1)),
             Contains("layer flows.3 (coupling") && Contains("variance is below 0"));
  for (const double value : {0.0, -1.0}) {
    CHECK_THAT(complaint(standardized, "flows.0.deviation", set(1, value)),
               Contains("layer flows.0 (standardization)") && Contains("not above 0"));
  }
  // States are part of the file like parameters.
  CHECK_THAT(complaint(norm, "flows.2.running_mean", [](NamedTensor& tensor) { tensor.name = "flows.2.mean"; }),
             Contains("flows.2.mean is not part of model realnvp"));
  CHECK_THAT(complaint(norm, "flows.2.running_mean",
                       [](NamedTensor& tensor) {
                         tensor.shape = {1, 1};
                       }),
             Contains("tensor flows.2.running_mean is F64 (1, 1)"));
}

TEST_CASE("metadata that claims another model does not load", "[weights]") {
  const TempDir dir;
  const Flow flow(tutorial("simple", "2024", 8, 12));
  SafetensorsFile file = file_of(flow);
  file.metadata =
      GENERATE(old_metadata("multiscale", "2024", 8, 12), config_metadata(tutorial("multiscale", "2024", 8, 12)));
  write_safetensors(dir.file("lie.safetensors"), file);
  CHECK_THAT(error_of([&] { Flow::load(dir.file("lie.safetensors")); }),
             Contains(dir.file("lie.safetensors")) && Contains("tensor flows."));
}

TEST_CASE("weights of other precisions are converted", "[weights]") {
  const FlowConfig config = tutorial("simple", "2024", 8, 12);
  Flow flow(config);
  randomize(flow, 5);
  const SafetensorsFile good = weights_file(flow);
  TempDir dir;
  const auto parameters_of = [&](const SafetensorsFile& file) {
    write_safetensors(dir.file("w.safetensors"), file);
    const Flow loaded = Flow::load(dir.file("w.safetensors"));
    return download<float>(loaded.device(), loaded.parameters().values());
  };
  const std::vector<float> expected = parameters_of(good);

  // Doubles of the same values, the upper halves of floats, and floats cut to halves.
  SafetensorsFile doubles = good, bfloats = good, halves = good;
  for (NamedTensor& tensor : doubles.tensors) {
    if (tensor.dtype != "F32") continue;
    const std::vector<double> values = numbers_of(tensor.dtype, tensor.data);
    tensor = NamedTensor::of<double>(tensor.name, tensor.shape, values);
  }
  CHECK(parameters_of(doubles) == expected);
  for (NamedTensor& tensor : bfloats.tensors) {
    if (tensor.dtype != "F32") continue;
    std::vector<std::byte> upper;
    for (std::size_t i = 0; i < tensor.data.size(); i += 4) {
      upper.insert(upper.end(), tensor.data.begin() + std::ptrdiff_t(i) + 2,
                   tensor.data.begin() + std::ptrdiff_t(i) + 4);
    }
    tensor.dtype = "BF16";
    tensor.data = upper;
  }
  std::vector<float> cut = expected;
  for (float& value : cut) value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000u);
  CHECK(parameters_of(bfloats) == cut);
  for (NamedTensor& tensor : halves.tensors) {
    if (tensor.dtype != "F32") continue;
    tensor.dtype = "F16";
    tensor.data.resize(tensor.data.size() / 2);
    for (std::size_t i = 0; i < tensor.data.size(); i += 2) {
      tensor.data[i] = std::byte{0};
      tensor.data[i + 1] = std::byte{0x38};  // 0.5
    }
  }
  const std::vector<float> half = parameters_of(halves);  // with zeros between the parameters
  CHECK(std::size_t(std::count(half.begin(), half.end(), 0.5f)) == flow.parameters().element_count());
  CHECK(std::size_t(std::count(half.begin(), half.end(), 0.0f)) == half.size() - flow.parameters().element_count());

  SafetensorsFile large = doubles;
  std::vector<double> beyond(numbers_of("F64", large.tensors[0].data));
  beyond[0] = 1e300;
  large.tensors[0] = NamedTensor::of<double>(large.tensors[0].name, large.tensors[0].shape, beyond);
  write_safetensors(dir.file("w.safetensors"), large);
  CHECK_THAT(error_of([&] { Flow::load(dir.file("w.safetensors")); }), Contains("beyond those of a float"));
}

}  // namespace
}  // namespace flowsmith::core
