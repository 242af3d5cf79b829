// Flows as data, through the executables: configurations, flows of numbers and of colour images, transforms of arrays.
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/csv.h"
#include "data/npy.h"
#include "data/png.h"
#include "kernels/noise.h"
#include "models/files/weights.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

/// n rows of d numbers, of different means and deviations.
std::vector<double> table(int n, int d) {
  std::vector<double> values(n * d);
  constexpr std::uint32_t kIndex = 0;
  const NoiseStream stream{5};
  normal_noise(values.data(), &kIndex, &stream, 1, 1, values.size(), Reference{});
  for (int i = 0; i < n * d; ++i) values[i] = 10 * (i % d) + (1 + i % d) * values[i];
  return values;
}

/// A small flow of vectors, as its user would write it.
constexpr const char* kSmall = R"({
  "name": "small", "data": {"type": "vector", "dims": 3},
  "layers": [{"type": "coupling", "repeat": 4, "mask": [1, 0, 1], "alternate": true,
              "conditioner": {"type": "mlp", "hidden": [8]}},
             {"type": "invertible_conv"}, {"type": "actnorm"}],
  "base": "diagonal_normal", "training": {"epochs": 3, "batch_size": 10, "lr": 0.01}})";

/// Images of two colours, one file each.
void write_pngs(const Workplace& place, const std::string& folder, int count, int side) {
  std::filesystem::create_directory(place.path(folder));
  for (int i = 0; i < count; ++i) {
    Image image{side, side, std::vector<std::uint8_t>(std::size_t(side) * side * 3), 3};
    for (std::size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = std::uint8_t(40 * (p % 3) + 11 * i + p);
    const std::vector<std::byte> bytes = encode_png(image);
    place.dir().write(folder + "/" + std::to_string(100 + i) + ".png",
                      {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
}

double largest_difference(const std::vector<double>& a, std::span<const double> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("info lists the models, and its JSON is where one's own begins", "[cli]") {
  const Workplace place;
  const std::string list = place.output_of("info", {"--list"});
  for (const std::string& name : FlowConfig::names()) {
    CHECK_THAT(list, Contains(name + " ") && Contains(FlowConfig::named(name).description()));
    const std::string json = place.output_of("info", {"--model", name, "--json"});
    place.dir().write("own.json", json);
    CHECK(place.output_of("info", {"--config", "own.json", "--json"}) == json);
  }
  const std::string layers = place.output_of("info", {"--model", "glow", "--set", "layers.2.repeat=2"});
  CHECK_THAT(layers, Contains("condition number 1\n") || Contains("condition number 1 "));
}

TEST_CASE("a key is changed from the command line, or refused by name", "[cli]") {
  const Workplace place;
  const auto repeats = [&](const Arguments& set) {
    const auto json = nlohmann::json::parse(place.output_of("info", Arguments{"--model", "moons", "--json"} + set));
    return json.at("layers").at(0).at("repeat").get<int>();
  };
  CHECK(repeats({}) == 8);
  CHECK(repeats({"--set", "layers.0.repeat=16"}) == 16);
  const std::string mixture =
      place.output_of("info", {"--model", "moons", "--set", "base.type=mixture", "--set", "base.components=3"});
  CHECK_THAT(mixture, Contains("mixture of 3 normals"));
  const std::pair<std::string, std::string> bad[] = {{"layers.9.repeat=2", "layers.9"},
                                                     {"layers.0.repeat=0", "1 to 4096"},
                                                     {"layers.0.hidden=3", "'hidden'"},
                                                     {"layers.0.conditioner.hidden=big", "list"},
                                                     {"base.type=logistic", "'logistic'"},
                                                     {"layers.0.mask=[1]", "layers.0"},
                                                     {"repeat", "KEY=VALUE"}};
  for (const auto& [change, part] : bad) {
    INFO(change);
    CHECK_THAT(place.refusal_of("info", {"--model", "moons", "--set", change}), Contains(part));
  }
}

TEST_CASE("configurations that make no sense are refused with file, layer and key", "[cli]") {
  const Workplace place;
  const std::pair<std::string, std::string> bad[] = {
      {"[]", "JSON object"},
      {"{", "JSON"},
      {R"({"layers": []})", "'data'"},
      {R"({"data": {"type": "image8", "height": 28, "width": 28}})", "'layers'"},
      {R"({"data": {"type": "image8", "height": 28, "width": 28}, "layers": [{"type": "squeze"}]})", "layers.0"},
      {R"({"data": {"type": "image8", "height": 28, "width": 28}, "layers": [{"type": "split"}]})", "layers.0 (split)"},
      {R"({"data": {"type": "image8", "height": 7, "width": 7}, "layers": [{"type": "squeeze"}]})",
       "layers.0 (squeeze)"},
      {R"({"data": {"type": "image8", "height": 7, "width": 7, "levels": 48}, "layers": []})", "data.levels"},
      {R"({"data": {"type": "vector", "dims": 1025}, "layers": []})", "data.dims"},
      {R"({"data": {"type": "vector", "dims": 2}, "layers": [{"type": "actnorm", "repeat": 1000000000}]})",
       "layers.0.repeat"},
  };
  for (const auto& [text, part] : bad) {
    INFO(text);
    place.dir().write("bad.json", text);
    CHECK_THAT(place.refusal_of("info", {"--config", "bad.json"}), Contains("bad.json") && Contains(part));
  }
}

TEST_CASE("a flow of numbers trains on a table, with columns standardized, and comes back", "[cli]") {
  const Workplace place;
  place.dir().write("small.json", kSmall);
  const std::vector<double> values = table(120, 3);
  write_csv(place.path("t.csv"), values, 3);
  const Arguments train{"--config", "small.json", "--data", "t.csv", "--standardize", "--out", "run"};
  const std::string text = place.output_of("train", train);
  CHECK_THAT(text, Contains("training small on t.csv") && Contains(" nats"));
  CHECK(place.bytes("run/metrics.csv")
            .starts_with("step,epoch,train_nats,val_nats,test_nats,gradient_norm,learning_rate,rows_per_second\n"));
  const Arguments weights{"--weights", "run/best.safetensors"};

  // The statistics of the training rows are in the file.
  const SafetensorsFile file = read_safetensors(place.path("run/best.safetensors"));
  REQUIRE(file.find("flows.0.mean") != nullptr);
  const std::span<const double> mean = file.find("flows.0.mean")->as<double>();
  for (int c = 0; c < 3; ++c) CHECK(mean[c] == Approx(10 * c).margin(3.0));  // 96 rows of deviations up to 3

  CHECK_THAT(place.output_of("eval", weights + Arguments{"--data", "t.csv", "--json", "e.json"}), Contains("Nats"));
  const auto row = nlohmann::json::parse(place.bytes("e.json")).at(0);
  CHECK(row.at("rows") == 12);
  CHECK(std::isfinite(row.at("nats").get<double>()));
  CHECK_THAT(place.refusal_of("sample", weights), Contains("--npy or --csv"));
  place.output_of("sample", weights + Arguments{"-n", "200", "--csv", "s.csv", "--npy", "s.npy"});
  const Table samples = read_csv(place.path("s.csv"));
  CHECK(samples.rows == 200);
  CHECK(largest_difference(samples.values, read_npy(place.path("s.npy")).as<double>()) == 0);

  const std::int64_t shape[] = {120, 3};
  write_npy<double>(place.path("t.npy"), shape, values);
  place.output_of("encode", weights + Arguments{"--images", "t.npy", "--out", "z.safetensors"});
  place.output_of("decode", weights + Arguments{"--latents", "z.safetensors", "--out", "x.npy"});
  CHECK(largest_difference(values, read_npy(place.path("x.npy")).as<double>()) < 1e-9);  // of numbers up to 30

  place.output_of("train", {"--resume", "--out", "run", "--max-steps", "999"});
  CHECK_THAT(place.refusal_of("train", {"--resume", "--out", "run", "--data", "other.csv"}), Contains("other.csv"));
}

TEST_CASE("tables are refused by file and line", "[cli]") {
  const Workplace place;
  place.dir().write("small.json", kSmall);
  const std::pair<std::string, std::string> bad[] = {
      {"1,2,3\n4,five,6\n", "2"}, {"1,2,3\n4,5\n", "2"}, {"1,2,3\nnan,5,6\n", "2"}, {"", "t.csv"}};
  for (const auto& [text, part] : bad) {
    place.dir().write("t.csv", text);
    INFO(text);
    CHECK_THAT(place.refusal_of("train", {"--config", "small.json", "--data", "t.csv", "--out", "new"}),
               Contains("t.csv") && Contains(part));
  }
  std::vector<double> constant = table(60, 3);
  for (int i = 0; i < 60; ++i) constant[3 * i + 1] = 4;
  write_csv(place.path("t.csv"), constant, 3);
  CHECK_THAT(place.refusal_of("train", {"--config", "small.json", "--data", "t.csv", "--standardize", "--out", "new"}),
             Contains("column 2") && Contains("constant"));
  CHECK_THAT(place.refusal_of("train", {"--model", "simple", "--data", "moons", "--out", "new"}), Contains("numbers"));
  CHECK_THAT(place.refusal_of("train", {"--model", "simple", "--standardize", "--out", "new"}),
             Contains("--standardize"));
}

TEST_CASE("transform runs any stack of layers there and back", "[cli]") {
  const Workplace place;
  const std::string model = GENERATE("moons", "glow", "realnvp", "nice", "multiscale");
  INFO(model);
  // 8 x 8 pixels are enough for every squeeze.
  const bool vectors = model == "moons";
  std::vector<std::int64_t> shape{5, 8, 8, 1};
  if (vectors) shape = {5, 2};
  std::size_t size = 1;
  for (const std::int64_t side : shape) size *= std::size_t(side);
  std::vector<double> x = table(int(size), 1);
  for (double& value : x) value *= 0.5;
  write_npy<double>(place.path("x.npy"), shape, x);
  // Deep flows with parameters far from those that training finds multiply what rounds.
  const bool deep = model == "nice" || model == "glow";
  const Arguments flow{"--model", model, "--jitter", deep ? "0.01" : "0.1", "--seed", "3"};
  place.output_of("transform", flow + Arguments{"--input", "x.npy", "--out", "z.npy", "--logdet", "l.npy", "--save",
                                                "w.safetensors"});
  const Arguments weights{"--weights", "w.safetensors"};
  place.output_of("transform",
                  weights + Arguments{"--inverse", "--input", "z.npy", "--out", "back.npy", "--logdet", "m.npy"});
  const NamedTensor back = read_npy(place.path("back.npy")), logdet = read_npy(place.path("l.npy"));
  CHECK(back.shape == shape);
  // In double; couplings and batch norms scale what rounds.
  CHECK(largest_difference(x, back.as<double>()) < 1e-8);
  const std::span<const double> there = logdet.as<double>();
  const NamedTensor inverse = read_npy(place.path("m.npy"));
  for (std::size_t i = 0; i < there.size(); ++i) {
    CHECK(inverse.as<double>()[i] == Approx(-there[i]).margin(1e-8).epsilon(1e-10));
  }
  CHECK(std::any_of(there.begin(), there.end(), [](double value) { return std::abs(value) > 1e-3; }));
  // The same weights from the file.
  place.output_of("transform", weights + Arguments{"--input", "x.npy", "--out", "again.npy"});
  CHECK(place.bytes("again.npy") == place.bytes("z.npy"));
}

TEST_CASE("transform takes images as rows of their pixels", "[cli]") {
  const Workplace place;
  const std::int64_t shape[] = {2, 28 * 28};
  write_npy<double>(place.path("x.npy"), shape, std::vector<double>(2 * 28 * 28, 0.5));
  for (const Arguments& model :
       {Arguments{"--model", "nice", "--set", "layers.0.conditioner.hidden=[8]"}, Arguments{"--model", "realnvp"}}) {
    place.output_of("transform", model + Arguments{"--input", "x.npy", "--out", "z.npy"});
    CHECK(read_npy(place.path("z.npy")).shape == std::vector<std::int64_t>{2, 28 * 28});
  }
}

TEST_CASE("transform refuses what does not fit", "[cli]") {
  const Workplace place;
  const std::int64_t shape[] = {2, 2};
  write_npy<double>(place.path("x.npy"), shape, std::vector<double>{1, 2, 3, NAN});
  const Arguments moons{"--model", "moons", "--out", "z.npy"};
  CHECK_THAT(place.refusal_of("transform", moons), Contains("--input"));
  CHECK_THAT(place.refusal_of("transform", moons + Arguments{"--input", "x.npy"}), Contains("row 1"));
  write_npy<double>(place.path("x.npy"), shape, std::vector<double>{1, 2, 3, 4});
  CHECK_THAT(place.refusal_of("transform", {"--input", "x.npy", "--out", "z.npy"}), Contains("--weights"));
  CHECK_THAT(place.refusal_of("transform", {"--model", "moons", "--input", "x.npy"}), Contains("--out"));
  CHECK_THAT(place.refusal_of("transform", moons + Arguments{"--input", "x.npy", "--jitter", "-1"}),
             Contains("--jitter"));
  place.write_weights();
  CHECK_THAT(place.refusal_of("transform", {"--weights", "w.safetensors", "--input", "x.npy", "--out", "z.npy"}),
             Contains("x.npy") && Contains("32"));
}

TEST_CASE("glow learns colour images from a folder, and gives them back", "[cli]") {
  const Workplace place;
  write_pngs(place, "colours", 40, 8);
  const std::string text = place.output_of("train", {"--model",      "glow",
                                                     "--set",        "layers.0.layers.1.repeat=2",
                                                     "--set",        "layers.2.repeat=1",
                                                     "--set",        "layers.0.layers.1.layers.2.conditioner.hidden=8",
                                                     "--set",        "layers.2.layers.2.conditioner.hidden=8",
                                                     "--data",       "colours",
                                                     "--epochs",     "2",
                                                     "--batch-size", "8",
                                                     "--threads",    "1",
                                                     "--out",        "run"});
  CHECK_THAT(text, Contains("training glow on colours") && Contains("condition number"));
  const Arguments weights{"--weights", "run/best.safetensors"};
  CHECK_THAT(place.output_of("info", weights), Contains("colour images 8 x 8"));
  place.output_of("encode", weights + Arguments{"--data", "colours", "--split", "train", "--out", "z.safetensors"});
  place.output_of("decode", weights + Arguments{"--latents", "z.safetensors", "--out", "x.npy"});
  const NamedTensor decoded = read_npy(place.path("x.npy"));
  CHECK(decoded.shape == std::vector<std::int64_t>{32, 8, 8, 3});
  place.output_of("encode", weights + Arguments{"--images", "x.npy", "--out", "y.safetensors"});
  place.output_of("decode", weights + Arguments{"--latents", "y.safetensors", "--out", "y.npy"});
  CHECK(place.bytes("y.npy") == place.bytes("x.npy"));
  place.output_of("sample", weights + Arguments{"-n", "4", "--npy", "s.npy", "--out", "s.png"});
  CHECK(read_npy(place.path("s.npy")).shape == std::vector<std::int64_t>{4, 8, 8, 3});
  CHECK(read_png(place.path("s.png")).channels == 3);
  write_pngs(place, "mixed", 12, 8);
  Image other{4, 4, std::vector<std::uint8_t>(48), 3};
  const std::vector<std::byte> bytes = encode_png(other);
  place.dir().write("mixed/999.png", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  CHECK_THAT(place.refusal_of("train", {"--model", "glow", "--data", "mixed", "--out", "new"}),
             Contains("999.png") && Contains("4x4") && Contains("8x8"));
}

TEST_CASE("realnvp shows both scores of its batch norms, and images may be padded", "[cli]") {
  const Workplace place;
  write_pngs(place, "greys", 40, 7);
  place.output_of("train", {"--model", "realnvp", "--set", "layers.0.layers.0.conditioner.hidden=4", "--data", "greys",
                            "--channels", "1", "--pad", "8", "--epochs", "1", "--batch-size", "8", "--threads", "1",
                            "--out", "run"});
  const Arguments weights{"--weights", "run/best.safetensors"};
  CHECK_THAT(place.output_of("info", weights), Contains("images 8 x 8"));
  CHECK_THAT(place.output_of("eval", weights + Arguments{"--data", "greys", "--split", "train", "--batch-size", "8",
                                                         "--batch-statistics", "--json", "e.json"}),
             Contains("Batch statistics"));
  const auto row = nlohmann::json::parse(place.bytes("e.json")).at(0);
  CHECK(std::isfinite(row.at("batch_statistics").get<double>()));
  CHECK(row.at("batch_statistics") != row.at("single_sample_bits_per_dim"));
  CHECK_THAT(place.refusal_of("train", {"--model", "realnvp", "--data", "greys", "--channels", "1", "--pad", "8",
                                        "--batch-size", "1", "--out", "new"}),
             Contains("batch norm") && Contains("batch size of 2"));
}

TEST_CASE("the plane has pictures, and its data are made by the seed", "[cli]") {
  const Workplace place;
  const Arguments train{"--model",   "moons", "--set",       "layers.0.conditioner.hidden=[16]",
                        "--threads", "1",     "--max-steps", "5"};
  for (const std::string out : {"a", "b"}) place.output_of("train", train + Arguments{"--out", out});
  CHECK(place.bytes("a/last.safetensors") == place.bytes("b/last.safetensors"));
  CHECK(place.has("a/samples/best.png"));
  place.output_of("sample", {"--weights", "a/best.safetensors", "-n", "300", "--out", "s.png", "--csv", "s.csv"});
  CHECK(read_png(place.path("s.png")).rows == 600);
  CHECK(read_csv(place.path("s.csv")).rows == 300);
  CHECK_THAT(place.output_of("eval", {"--weights", "a/best.safetensors", "--limit", "100"}), Contains("test nats"));
}

}  // namespace flowsmith::core
