// Weight files: what is written, what is recognised and what is refused.
#include <algorithm>

#include "models/weights.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"

namespace flowsmith {
namespace {

using Catch::Contains;

std::vector<float> flat_values(const Flow& flow) {
  const Tensor values = flow.parameters().values();
  return {values.data<float>(), values.data<float>() + values.size()};
}

SafetensorsFile file_of(const Flow& flow) {
  return {model_metadata(flow.spec()), export_parameters(flow.parameters(), flow.parameters().values())};
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
std::string refusal(const SafetensorsFile& file, const ModelSpec& spec) {
  const std::string message = error_of([&] {
    Flow flow(spec);
    load_weights(flow, file, "some.safetensors");
  });
  CHECK_THAT(message, Contains("some.safetensors"));
  return message;
}

TEST_CASE("weights survive a file bit for bit, and the file says which model they are", "[weights]") {
  const Architecture architecture = GENERATE(Architecture::kSimple, Architecture::kVardeq, Architecture::kMultiscale);
  const Edition edition = GENERATE(Edition::k2024, Edition::k2022);
  INFO(architecture_name(architecture) << " " << edition_name(edition));
  const TempDir dir;
  const ModelSpec spec{architecture, edition, 8, 12};
  Flow flow(spec);
  randomize(flow, 3);
  flow.save(dir.file("w.safetensors"));
  const Flow loaded = Flow::load(dir.file("w.safetensors"));
  CHECK(loaded.spec() == spec);
  CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));

  SafetensorsFile file = read_safetensors(dir.file("w.safetensors"));
  const std::map<std::string, std::string> metadata{
      {"model", architecture_name(architecture)}, {"edition", edition_name(edition)}, {"height", "8"}, {"width", "12"}};
  CHECK(file.metadata == metadata);
  CHECK(file.tensors.size() == std::size_t(flow.parameters().count()));
  CHECK(recognise_model(file, "w") == spec);
  file.metadata.clear();  // names and shapes tell the model, but not the size of the images: MNIST's
  CHECK(recognise_model(file, "w") == ModelSpec{architecture, edition, 28, 28});
}

TEST_CASE("the size of the images is read from metadata or masks", "[weights]") {
  Flow flow({Architecture::kMultiscale, Edition::k2024, 8, 12});
  SafetensorsFile file = file_of(flow);
  file.metadata.erase("height");  // half a size is none
  CHECK(recognise_model(file, "w") == ModelSpec{});
  add(file, masks_of_multiscale(16, 4));
  CHECK(recognise_model(file, "w") == ModelSpec{Architecture::kMultiscale, Edition::k2024, 16, 4});
  file.metadata.clear();
  CHECK(recognise_model(file, "w") == ModelSpec{Architecture::kMultiscale, Edition::k2024, 16, 4});
  file.metadata = model_metadata(flow.spec());
  CHECK(recognise_model(file, "w") == flow.spec());
}

TEST_CASE("the number of couplings is read from the names", "[weights]") {
  for (const ModelSpec& spec : {ModelSpec{Architecture::kSimple, Edition::k2024, 28, 28, 3},
                                ModelSpec{Architecture::kVardeq, Edition::k2022, 28, 28, 11},
                                ModelSpec{Architecture::kMultiscale, Edition::k2022, 28, 28, 4},
                                ModelSpec{Architecture::kMultiscale, Edition::k2024, 28, 28, 12}}) {
    INFO(architecture_name(spec.architecture) << " " << spec.couplings);
    const TempDir dir;
    Flow flow(spec);
    randomize(flow, 3);
    flow.save(dir.file("w.safetensors"));
    const Flow loaded = Flow::load(dir.file("w.safetensors"));
    CHECK(loaded.spec() == spec);
    CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));
    SafetensorsFile file = file_of(flow);
    file.metadata.clear();
    CHECK(recognise_model(file, "w") == spec);
  }
}

TEST_CASE("a number of couplings that the file cannot hold takes no memory", "[weights]") {
  const Flow flow({Architecture::kSimple, Edition::k2024, 8, 12});
  const auto with = [&](const std::string& number, bool metadata) {
    SafetensorsFile file = file_of(flow);
    if (!metadata) file.metadata.clear();
    add(file, {NamedTensor::of<float>("flows." + number + ".scaling_factor", {1}, std::vector{0.0f})});
    return file;
  };
  for (const bool metadata : {false, true}) {
    for (const std::string number : {"15", "1000", "1000000", "2147483647"}) {
      INFO(number);
      CHECK_THAT(error_of([&] { recognise_model(with(number, metadata), "some.safetensors"); }),
                 Contains("some.safetensors") && Contains("flows." + number) && Contains("too few weights"));
    }
  }
  // These are no numbers of layers: what is left is the tutorial's model, which has no such tensor.
  for (const std::string number : {"99999999999999999999", "-3", "+9", "0x9", "9.9", "", " 9"}) {
    INFO(number);
    const SafetensorsFile file = with(number, true);
    CHECK(recognise_model(file, "some.safetensors") == flow.spec());
    CHECK_THAT(refusal(file, flow.spec()), Contains("is not part of the simple model"));
  }
}

TEST_CASE("metadata that is no model of ours is refused", "[weights]") {
  const Flow flow({Architecture::kSimple, Edition::k2024, 8, 12});
  const auto complaint = [&](const std::string& key, const std::string& text) {
    SafetensorsFile file = file_of(flow);
    file.metadata[key] = text;
    const std::string message = error_of([&] { recognise_model(file, "some.safetensors"); });
    CHECK_THAT(message, Contains("some.safetensors"));
    return message;
  };
  CHECK_THAT(complaint("model", "glow"), Contains("'glow'") && Contains("simple, vardeq or multiscale"));
  CHECK_THAT(complaint("edition", "2023"), Contains("'2023'"));
  CHECK_THAT(complaint("height", "eight"), Contains("'height' is not a number"));
  CHECK_THAT(complaint("width", "12x"), Contains("'width' is not a number"));
  CHECK_THAT(complaint("width", "-12"), Contains("8x-12"));
  CHECK_THAT(complaint("height", "100000"), Contains("100000x12"));
  const SafetensorsFile stranger{{}, {NamedTensor::of<float>("w", {1}, std::vector{1.0f})}};
  CHECK_THAT(error_of([&] { recognise_model(stranger, "some.safetensors"); }), Contains("some.safetensors"));
}

TEST_CASE("a convolution's weights are OIHW in files and [ky][kx][in][out] in memory", "[weights]") {
  Flow flow({Architecture::kSimple, Edition::k2024, 8, 12});
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
  const ModelSpec spec{Architecture::kMultiscale, Edition::k2022, 8, 12};
  Flow flow(spec);
  randomize(flow, 5);
  SafetensorsFile file = file_of(flow);
  add(file, masks_of_multiscale(8, 12));
  add(file, {NamedTensor::of<float>("adam.m.anything", {1}, std::vector{7.0f})});  // an optimizer's: nobody's business
  Flow loaded(spec);
  load_weights(loaded, file, "some.safetensors");
  CHECK(testing::same_bits(flat_values(loaded), flat_values(flow)));

  for (const std::string name : {"flows.0.flows.3.mask", "flows.2.mask", "flows.4.mask", "flows.11.mask"}) {
    INFO(name);
    const auto refused = [&](auto&& damage) {
      SafetensorsFile wrong = file;
      damage(tensor_named(wrong, name));
      CHECK_THAT(refusal(wrong, spec), Contains("tensor " + name + " is not the mask"));
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
  const ModelSpec spec{Architecture::kSimple, Edition::k2024, 8, 12};
  const Flow flow(spec);
  const SafetensorsFile good = file_of(flow);
  const std::string weight = "flows.5.network.nn.3.net.3.weight", norm = "flows.8.network.nn.6.gamma";

  SafetensorsFile file = good;
  std::erase_if(file.tensors, [&](const NamedTensor& t) { return t.name == weight; });
  CHECK_THAT(refusal(file, spec), Contains("tensor " + weight + " is missing"));

  file = good;
  add(file, {NamedTensor::of<float>("flows.9.scaling_factor", {1}, std::vector{0.0f})});
  CHECK_THAT(refusal(file, spec), Contains("tensor flows.9.scaling_factor is not part of the simple model"));

  file = good;  // a mask is fine only where the model has one
  add(file, {NamedTensor::of<float>("flows.9.mask", {1, 1, 8, 12}, std::vector<float>(96))});
  CHECK_THAT(refusal(file, spec), Contains("tensor flows.9.mask"));

  file = good;
  tensor_named(file, norm).shape = {32};
  CHECK_THAT(refusal(file, spec), Contains("tensor " + norm + " is F32 (32)") && Contains("F32 (1, 32, 1, 1)"));

  file = good;
  tensor_named(file, weight).shape = {64, 1, 64, 1};
  CHECK_THAT(refusal(file, spec), Contains("tensor " + weight) && Contains("(64, 1, 64, 1)"));

  file = good;
  tensor_named(file, norm) = NamedTensor::of<double>(norm, {1, 32, 1, 1}, std::vector<double>(32, 1.0));
  CHECK_THAT(refusal(file, spec), Contains("tensor " + norm + " is F64"));

  const Flow vardeq({Architecture::kVardeq, Edition::k2024, 8, 12});
  CHECK_THAT(refusal(file_of(vardeq), spec), Contains("tensor flows.0.flows.0."));
  CHECK_THAT(refusal(good, vardeq.spec()), Contains("tensor flows.0.flows.0.scaling_factor is missing"));
  CHECK_THAT(refusal(good, {Architecture::kSimple, Edition::k2022, 8, 12}),
             Contains("is not part of the simple model"));
}

TEST_CASE("metadata that claims another model does not load", "[weights]") {
  const TempDir dir;
  const Flow flow({Architecture::kSimple, Edition::k2024, 8, 12});
  SafetensorsFile file = file_of(flow);
  file.metadata["model"] = "multiscale";
  write_safetensors(dir.file("lie.safetensors"), file);
  CHECK_THAT(error_of([&] { Flow::load(dir.file("lie.safetensors")); }),
             Contains(dir.file("lie.safetensors")) && Contains("tensor flows."));
}

}  // namespace
}  // namespace flowsmith
