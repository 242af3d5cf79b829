// The executables as people use them: what they print and write.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/npy.h"
#include "models/files/weights.h"
#include "models/interchange/parity.h"
#include "models/runs/evaluation.h"
#include "tests/support/flow_examples.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) word = word << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return word;
}

/// "20x14": rows and columns of a PNG file.
std::string png_size(const std::string& bytes) {
  CHECK(bytes.starts_with("\x89PNG\r\n\x1a\n"));
  return std::to_string(big_endian(bytes, 20)) + "x" + std::to_string(big_endian(bytes, 16));
}

TEST_CASE("info lists layers and ends with the number of parameters", "[cli]") {
  const Workplace place;
  const std::string text = place.output_of("info", {});
  CHECK(text.ends_with("\nparameters: 1711818\n"));
  CHECK_THAT(text, Contains("model multiscale, images 28 x 28") && Contains("flows.11 ") &&
                       Contains("z.0 2 x 14 x 14; z.final 8 x 7 x 7;"));
  CHECK(place.output_of("info", {"--model", "simple"}).ends_with("\nparameters: 556312\n"));
  place.write_weights();
  const std::string of_file = place.output_of("info", {"--weights", "w.safetensors"});
  CHECK_THAT(of_file, Contains("model simple, images 8 x 4"));
  CHECK(of_file == place.output_of("info", {"--model", "simple", "--height", "8", "--width", "4"}));
}

TEST_CASE("eval prints a table and writes its numbers as JSON", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir());
  place.write_weights();
  place.write_weights("m.safetensors", "multiscale");
  const std::string text =
      place.output_of("eval", {"--weights", "w.safetensors,m.safetensors", "--data", "tiny", "--limit", "4", "--offset",
                               "3", "--importance-samples", "2", "--json", "e.json", "--split", "val"});
  const auto rows = nlohmann::ordered_json::parse(place.bytes("e.json"));
  REQUIRE(rows.size() == 2);
  const char* const fields[] = {"weights",
                                "model",
                                "split",
                                "images",
                                "importance_samples",
                                "bits_per_dim",
                                "standard_error",
                                "single_sample_bits_per_dim",
                                "batch_statistics",
                                "scoring_ms_64",
                                "sampling_ms_64",
                                "parameters"};
  for (const auto& row : rows) {
    std::vector<std::string> names;
    for (const auto& [name, value] : row.items()) names.push_back(name);
    CHECK(names == Arguments(std::begin(fields), std::end(fields)));
    CHECK(row["split"] == "val");
    CHECK(row["images"] == 4);
    CHECK(row["importance_samples"] == 2);
    CHECK(row["standard_error"] > 0);
    CHECK(row["scoring_ms_64"] > 0);
    CHECK(row["sampling_ms_64"] > 0);
    char bits[32];
    std::snprintf(bits, sizeof bits, "%.4f +- %.4f", row["bits_per_dim"].get<double>(),
                  row["standard_error"].get<double>());
    CHECK_THAT(text, Contains(bits));
  }
  CHECK(rows[0]["weights"] == "w.safetensors");
  CHECK(rows[0]["model"] == "simple");
  CHECK(rows[0]["parameters"] == 556312);
  CHECK(rows[1]["model"] == "multiscale");
  CHECK(rows[1]["parameters"] == 1711818);

  // The library says the same of these images.
  Flow flow = Flow::load(place.path("w.safetensors"));
  const Dataset dataset = load_dataset(place.path("tiny"));
  ExampleSet set = select_examples(dataset, Subset::kValidation, 42);
  set.restrict_to(3, 4);
  const Evaluation score = evaluate(flow, set, {2, 64}, [](std::size_t) { return true; });
  CHECK(rows[0]["bits_per_dim"] == score.score);
  CHECK(rows[0]["single_sample_bits_per_dim"] == score.single_sample_score);
}

TEST_CASE("sample writes a picture and an array", "[cli]") {
  const Workplace place;
  place.write_weights();
  place.output_of("sample", {"--weights", "w.safetensors", "-n", "3", "--seed", "7", "--npy", "s.npy", "--out",
                             "samples.png", "--columns", "2", "--zoom", "1"});
  const NamedTensor samples = read_npy(place.path("s.npy"));
  CHECK(samples.dtype == "U8");
  CHECK(samples.shape == std::vector<std::int64_t>{3, 8, 4});
  Flow flow = Flow::load(place.path("w.safetensors"));
  const std::vector<std::uint8_t> expected = flow.sample({.count = 3, .seed = 7});
  CHECK(std::ranges::equal(samples.as<std::uint8_t>(), expected));
  CHECK(png_size(place.bytes("samples.png")) == "22x14");  // two rows of 8, two columns of 4, two pixels around each

  // More than fit one pass, without a picture, on the other device: the same samples.
  place.output_of("sample", {"--weights", "w.safetensors", "-n", "66", "--seed", "7", "--npy", "t.npy"});
  const auto many = read_npy(place.path("t.npy"));
  CHECK(std::ranges::equal(many.as<std::uint8_t>().first(expected.size()), expected));
  const std::vector<std::uint8_t> last = flow.sample({.count = 1, .seed = 7, .first = 65});
  CHECK(std::ranges::equal(many.as<std::uint8_t>().last(last.size()), last));
  CHECK(contents_of(place.dir().path()).size() == 4);
}

TEST_CASE("without --weights the tools take those that come with the program", "[cli]") {
  const Workplace place;
  place.output_of("sample", {"-n", "1", "--npy", "s.npy"});  // found from where the program lies
  CHECK(read_npy(place.path("s.npy")).shape == std::vector<std::int64_t>{1, 28, 28});

  // Those below the current folder come first.
  const Dataset dataset = load_dataset(write_tiny_dataset(place.dir(), "tiny", {6, 6, 8, 4}));
  std::filesystem::create_directories(place.path("data/weights"));
  place.write_weights("data/weights/multiscale.safetensors");
  CHECK_THAT(place.output_of("sample", {"-n", "1", "--npy", "s.npy"}),
             Contains("weights: data/weights/multiscale.safetensors"));
  CHECK(read_npy(place.path("s.npy")).shape == std::vector<std::int64_t>{1, 8, 4});
  CHECK_THAT(place.output_of("eval", {"--data", "tiny", "--importance-samples", "1"}),
             Contains("data/weights/multiscale.safetensors"));
  place.output_of("encode", {"--data", "tiny", "--out", "z.safetensors"});
  place.output_of("decode", {"--latents", "z.safetensors", "--out", "x.npy"});
  CHECK(std::ranges::equal(read_npy(place.path("x.npy")).as<std::uint8_t>(), dataset.test.images));
}

TEST_CASE("decode gives back what encode was given", "[cli]") {
  const Workplace place;
  const Dataset dataset = load_dataset(write_tiny_dataset(place.dir(), "tiny", {60, 70, 8, 4}));  // two passes
  place.write_weights("w.safetensors", std::string(GENERATE("vardeq", "multiscale")));
  const Arguments weights{"--weights", "w.safetensors"};
  place.output_of("encode", weights + Arguments{"--data", "tiny", "--out", "z.safetensors"});
  place.output_of("decode", weights + Arguments{"--latents", "z.safetensors", "--out", "x.npy"});
  const NamedTensor images = read_npy(place.path("x.npy"));
  CHECK(images.shape == std::vector<std::int64_t>{70, 8, 4});
  CHECK(std::ranges::equal(images.as<std::uint8_t>(), dataset.test.images));

  // The same images as an array have the same latents: image number k of the array is number k of the split.
  place.output_of("encode", weights + Arguments{"--images", "x.npy", "--out", "again.safetensors"});
  CHECK(place.bytes("again.safetensors") == place.bytes("z.safetensors"));
  place.output_of("encode", weights + Arguments{"--images", "x.npy", "--out", "other.safetensors", "--seed", "1"});
  CHECK(place.bytes("other.safetensors") != place.bytes("z.safetensors"));

  place.output_of("encode", weights + Arguments{"--data", "tiny", "--split", "train", "--offset", "48", "--limit", "9",
                                                "--out", "z.safetensors"});
  place.output_of("decode", weights + Arguments{"--latents", "z.safetensors", "--out", "x.npy"});
  const ExampleSet train = select_examples(dataset, Subset::kTrain, 42);
  const NamedTensor some = read_npy(place.path("x.npy"));
  CHECK(std::ranges::equal(some.as<std::uint8_t>(), gather(train, 32, 48, 2)));
}

TEST_CASE("encode writes no latents that do not decode, and sample no picture of what is not finite", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  const Arguments weights{"--weights", "w.safetensors"};
  const auto write_weights = [&](float bias) {
    Flow flow(tutorial("simple", "2024", 8, 4));
    randomize(flow, 13);
    // z + t and back keeps the digits of t: of 1e15 none is left for pixels, of 1e38 times the scales not even t.
    testing::set_last_bias(flow, "flows.4", bias);
    flow.save(place.path("w.safetensors"));
  };
  write_weights(1e15f);
  const Arguments encode = weights + Arguments{"--data", "tiny", "--out", "z.safetensors"};
  const std::string wrong = place.refusal_of("encode", encode);
  CHECK_THAT(wrong, Contains(" of 384 pixels would not come back") && Contains("earlier checkpoint"));
  const int count = std::stoi(wrong.substr(std::string("flowsmith encode: ").size()));
  CHECK((count > 0 && count <= 384));

  write_weights(1);  // harmless
  place.output_of("encode", encode);

  Flow flow(tutorial("simple", "2024", 8, 4));
  randomize(flow, 13);
  Parameters& parameters = flow.parameters();
  for (int i = 0; i < parameters.count(); ++i) {
    std::fill_n(parameters.value(i).data<float>(), parameters[i].shape.size(), 1e38f);
  }
  flow.save(place.path("w.safetensors"));
  place.output_of("info", weights);
  for (const std::string& line :
       {place.refusal_of("encode", weights + Arguments{"--data", "tiny", "--out", "new.safetensors"}),
        place.refusal_of("sample", weights + Arguments{"--out", "x.png", "--npy", "x.npy"})}) {
    CHECK_THAT(line, Contains("not finite") && Contains("layer flows.") && Contains("image 0"));
  }
}

TEST_CASE("latents of one device are images on another", "[cli][long]") {
  const Workplace place;
  const Dataset dataset = load_dataset(write_tiny_dataset(place.dir(), "tiny", {60, 3, 8, 4}));
  place.write_weights("w.safetensors", "simple");
  const auto run = [&](const char* tool, const char* device, const Arguments& arguments) {
    place.output_of(tool, Arguments{"--weights", "w.safetensors", "--device", device} + arguments);
  };
  for (const auto& [encoder, decoder] : {std::pair{"emulated", "emulated"}, {"emulated", "cpu"}, {"cpu", "emulated"}}) {
    run("encode", encoder, {"--data", "tiny", "--out", "z.safetensors"});
    run("decode", decoder, {"--latents", "z.safetensors", "--out", "x.npy"});
    CHECK(std::ranges::equal(read_npy(place.path("x.npy")).as<std::uint8_t>(), dataset.test.images));
  }
}

TEST_CASE("parity writes what replay computes", "[cli]") {
  const Workplace place;
  Flow flow(tutorial("vardeq", "2024", 8, 4));
  randomize(flow, 6);
  SafetensorsFile input = weights_file(flow);
  input.metadata["lr"] = "0.01";
  input.metadata["clip_norm"] = "1";
  const std::string images = tiny_images(6, 8, 4, 1);
  input.tensors.push_back(NamedTensor::of<std::uint8_t>(
      "images", {2, 3, 1, 8, 4}, {reinterpret_cast<const std::uint8_t*>(images.data()), images.size()}));
  const std::vector<float> noise(images.size(), 0.25f);
  input.tensors.push_back(NamedTensor::of<float>("noise", {2, 3, 1, 8, 4}, noise));
  write_safetensors(place.path("in.safetensors"), input);
  const SafetensorsFile expected = replay(input, "in", Device::kCpu, [](int, int) {});
  write_safetensors(place.path("expected.safetensors"), expected);
  CHECK(place.output_of("parity", {"in.safetensors", "out.safetensors"}) == "2 steps replayed: out.safetensors\n");
  CHECK(place.bytes("out.safetensors") == place.bytes("expected.safetensors"));
}

TEST_CASE("gradcheck and bench run what a filter selects", "[cli]") {
  const Workplace place;
  const std::string checked = place.output_of("gradcheck", {"--filter", "squeeze"});
  CHECK_THAT(checked, Contains(": all ok\n") && !Contains("FAIL"));
  const std::string timed = place.output_of(
      "bench", {"--filter", "^squeeze", "--batch", "1", "--repeats", "1", "--threads", "1", "--json", "b.json"});
  CHECK_THAT(timed, Contains("peak") && Contains("\nsqueeze/"));
  CHECK(nlohmann::json::parse(place.bytes("b.json")).at(0).at("name") == "squeeze");
}

}  // namespace
}  // namespace flowsmith::core
