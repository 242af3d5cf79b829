// Scores of examples that people bring, one by one and together.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "data/npy.h"
#include "data/png.h"
#include "models/analysis/outliers.h"
#include "models/runs/evaluation.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const Arguments kWeights{"--weights", "w.safetensors"};

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The last fields of a table's rows.
std::vector<double> last_column(const std::string& csv) {
  std::vector<double> values;
  for (const std::string& line : lines_of(csv)) {
    if (line.starts_with("index")) continue;
    values.push_back(std::stod(line.substr(line.rfind(',') + 1)));
  }
  return values;
}

/// The test images of a tiny dataset in every form that people have.
struct ScorePlace : Workplace {
  ScorePlace() {
    dataset = load_dataset(write_tiny_dataset(dir(), "tiny", {60, 70, 8, 4}));
    write_weights();
    const std::vector<std::int64_t> shape{70, 8, 4};
    write_npy<std::uint8_t>(path("x.npy"), shape, dataset.test.images);
    std::filesystem::create_directories(path("png, of 70"));
    for (int i = 0; i < 70; ++i) {
      char name[48];
      std::snprintf(name, sizeof name, "png, of 70/%02d.png", i);
      write_png_grid(path(name), dataset.test.images.data() + i * 32, 1, 8, 4, {.padding = 0});
    }
  }
  Dataset dataset;
};

TEST_CASE("score writes the likelihood of each example, however the examples come", "[cli]") {
  const ScorePlace place;
  const Arguments samples = kWeights + Arguments{"--importance-samples", "3"};
  const std::string of_set = place.output_of("score", samples + Arguments{"--data", "tiny"});
  const std::vector<std::string> rows = lines_of(of_set);
  REQUIRE(rows.size() == 71);
  CHECK(rows[0] == "index,label,log_prob,bits_per_dim");
  CHECK(rows[1].starts_with("0," + std::to_string(place.dataset.test.labels[0]) + ",-"));

  // As the library says, to the last digit.
  Flow flow = Flow::load(place.path("w.safetensors"));
  const ExampleSet set = select_examples(place.dataset, Subset::kTest, 42);
  const Batch all{place.dataset.test.images.data(), set.index.data(), 70};
  const std::vector<double> expected = flow.log_prob(all, NoiseStream{42, NoisePurpose::kScoring, 0}, 3);
  const std::vector<double> bits = last_column(of_set);
  for (int i = 0; i < 70; ++i) CHECK(bits[i] == -expected[i] / flow.nats_per_unit());

  place.output_of("score", samples + Arguments{"--images", "x.npy", "--csv", "s.csv"});
  CHECK(lines_of(place.bytes("s.csv"))[0] == "index,log_prob,bits_per_dim");
  CHECK(last_column(place.bytes("s.csv")) == bits);
  const std::string of_pngs = place.output_of("score", samples + Arguments{"--images", "png, of 70"});
  CHECK(lines_of(of_pngs)[0] == "index,file,log_prob,bits_per_dim");
  CHECK(lines_of(of_pngs)[8].starts_with("7,\"png, of 70/07.png\",-"));
  CHECK(last_column(of_pngs) == bits);
  CHECK(last_column(place.output_of("score", samples + Arguments{"--images", "png, of 70/00.png"})) ==
        std::vector<double>{bits[0]});
  for (const auto& entry : std::filesystem::directory_iterator(place.path("tiny"))) {
    const std::string name = entry.path().filename().string();
    if (name.find("t10k-images") == std::string::npos) continue;
    CHECK(last_column(place.output_of("score", samples + Arguments{"--images", "tiny/" + name})) == bits);
  }
  // Part of a set keeps its numbers, and the seed is that of the noise.
  const std::string some =
      place.output_of("score", samples + Arguments{"--data", "tiny", "--offset", "66", "--limit", "9"});
  CHECK(last_column(some) == std::vector<double>(bits.begin() + 66, bits.end()));
  CHECK(lines_of(some)[1].starts_with("66,"));
  CHECK(last_column(place.output_of("score", samples + Arguments{"--images", "x.npy", "--seed", "1"})) != bits);
}

TEST_CASE("score and eval take numbers too", "[cli]") {
  const Workplace place;
  place.output_of("train", {"--model", "moons", "--data", "gaussians", "--max-steps", "1", "--out", "run"});
  const std::vector<std::int64_t> shape{3, 2};
  const std::vector<double> points{0, 0, 1, 2, -1, 0.5};
  write_npy<double>(place.path("x.npy"), shape, points);
  const Outcome scored = place.run("score", {"--weights", "run", "--images", "x.npy"});
  REQUIRE(scored.code == 0);
  CHECK(lines_of(scored.out)[0] == "index,log_prob");
  Flow flow = Flow::load(place.path("run/best.safetensors"));
  const std::uint32_t index[] = {0, 1, 2};
  const std::vector<double> expected = flow.log_prob(Batch{nullptr, index, 3, points.data()}, DequantizationNoise{});
  CHECK(last_column(scored.out) == expected);
  place.output_of("eval", {"--weights", "run", "--images", "x.npy", "--no-timing", "--json", "e.json"});
  const auto rows = nlohmann::json::parse(place.bytes("e.json"));
  CHECK(rows[0]["nats"].get<double>() == Approx(-(expected[0] + expected[1] + expected[2]) / 3));
  CHECK(rows[0]["scoring_ms_64"].is_null());
}

TEST_CASE("eval scores files, one of them without an error", "[cli]") {
  const ScorePlace place;
  const Arguments eval = kWeights + Arguments{"--importance-samples", "2", "--json", "e.json"};
  const auto score_of = [&](const Arguments& more) {
    place.output_of("eval", eval + more);
    return nlohmann::json::parse(place.bytes("e.json"))[0];
  };
  const auto of_set = score_of({"--data", "tiny", "--no-timing"});
  const auto of_files = score_of({"--images", "png, of 70", "--no-timing"});
  CHECK(of_files["bits_per_dim"] == of_set["bits_per_dim"]);
  CHECK(of_files["split"] == "png, of 70");
  const std::string one = place.output_of("eval", eval + Arguments{"--images", "png, of 70/03.png", "--no-timing"});
  CHECK_THAT(one, Contains(" +- - ") && !Contains("nan"));
  CHECK(nlohmann::json::parse(place.bytes("e.json"))[0]["standard_error"].is_null());
}

TEST_CASE("eval scores on slow devices as on the CPU", "[cli]") {
  const ScorePlace place;
  const auto score_on = [&](const std::string& device) {
    place.output_of("eval", kWeights + Arguments{"--importance-samples", "2", "--no-timing", "--images",
                                                 "png, of 70/03.png", "--json", "e.json", "--device", device});
    return nlohmann::json::parse(place.bytes("e.json"))[0]["bits_per_dim"].get<double>();
  };
  const double on_cpu = score_on("cpu");
  for (const std::string device : {"reference", "emulated"}) {
    // The networks are in fp32 on all of them, and their sums in another order.
    CHECK(score_on(device) == Approx(on_cpu).epsilon(1e-5));
  }
}

TEST_CASE("images may be any numbers, if one says which is white", "[cli]") {
  const ScorePlace place;
  const std::vector<std::uint8_t>& pixels = place.dataset.test.images;
  const std::vector<std::int64_t> shape{70, 8, 4};
  std::vector<float> unit(pixels.size());
  std::vector<double> bytes(pixels.begin(), pixels.end());
  for (std::size_t i = 0; i < pixels.size(); ++i) unit[i] = float(pixels[i]) / 255;
  write_npy<float>(place.path("unit.npy"), shape, unit);
  write_npy<double>(place.path("bytes.npy"), shape, bytes);
  const Arguments one = kWeights + Arguments{"--importance-samples", "1"};
  const auto scores = [&](const Arguments& more) { return last_column(place.output_of("score", one + more)); };
  const std::vector<double> expected = scores({"--images", "x.npy"});
  CHECK(scores({"--images", "unit.npy", "--scale", "1"}) == expected);
  CHECK(scores({"--images", "bytes.npy", "--scale", "255"}) == expected);
  CHECK(scores({"--images", "unit.npy", "--scale", "255"}) != expected);  // nearly black, as one said
  const auto complaint = [&](const Arguments& more) { return place.refusal_of("score", one + more); };
  CHECK_THAT(complaint({"--images", "unit.npy", "--csv", "s.csv"}), Contains("which number is white, 1 or 255"));
  CHECK_THAT(complaint({"--images", "bytes.npy", "--scale", "1", "--csv", "s.csv"}),
             Contains("bytes.npy: image ") && Contains("not a value from 0 to 1"));
  CHECK_THAT(complaint({"--images", "unit.npy", "--scale", "2", "--csv", "s.csv"}),
             Contains("--scale must be 1 or 255"));
  CHECK_THAT(complaint({"--data", "tiny", "--scale", "1", "--csv", "s.csv"}), Contains("--images"));
}

TEST_CASE("score refuses what the flow does not take", "[cli]") {
  const ScorePlace place;
  const auto complaint = [&](const std::string& images) {
    return place.refusal_of("score", kWeights + Arguments{"--images", images, "--csv", "s.csv"});
  };
  std::filesystem::create_directories(place.path("empty"));
  CHECK_THAT(complaint("empty"), Contains("no .png file"));
  write_png_grid(place.path("wide.png"), place.dataset.test.images.data(), 1, 4, 8, {.padding = 0});
  CHECK_THAT(complaint("wide.png"), Contains("wide.png: has images of 4 x 8 and the model takes 8 x 4"));
  const std::vector<std::int64_t> shape{2, 4, 8};
  write_npy<std::uint8_t>(place.path("wide.npy"), shape, std::vector<std::uint8_t>(64));
  CHECK_THAT(complaint("wide.npy"), Contains("wide.npy: holds U8 (2, 4, 8), expected images N x 8 x 4"));
  CHECK_THAT(complaint("missing.png"), Contains("missing.png"));
  CHECK_THAT(complaint("w.safetensors"), Contains("w.safetensors"));
  CHECK_THAT(place.refusal_of("score", kWeights + Arguments{"--images", "x.npy", "--split", "val"}),
             Contains("--images or --split"));
  CHECK_THAT(place.refusal_of("score", kWeights + Arguments{"--images", "x.npy", "--csv", "x.npy"}),
             Contains("same file"));
}

TEST_CASE("score --details adds columns that other tools agree with", "[cli]") {
  const ScorePlace place;
  place.write_weights("w.safetensors", "multiscale");
  const Arguments one = kWeights + Arguments{"--importance-samples", "1", "--data", "tiny"};
  const std::vector<std::string> rows = lines_of(place.output_of("score", one + Arguments{"--details"}));
  REQUIRE(rows.size() == 71);
  CHECK(rows[0] == "index,label,log_prob,bits_per_dim,log_p_z.0,log_p_z.final,typicality,complexity,less_complexity");
  Flow flow = Flow::load(place.path("w.safetensors"));
  std::vector<std::uint32_t> index(70);
  std::iota(index.begin(), index.end(), 0u);
  const auto ledger =
      flow.ledger({place.dataset.test.images.data(), index.data(), 64}, {NoiseStream{42, NoisePurpose::kScoring, 0}});
  std::vector<double> typicality;
  for (std::size_t i = 0; i < 64; ++i) {
    std::istringstream fields(rows[i + 1]);
    std::vector<double> numbers;
    for (std::string field; std::getline(fields, field, ',');) numbers.push_back(std::stod(field));
    REQUIRE(numbers.size() == 9);
    CHECK(numbers[5] == Approx(ledger.back().nats[i]).epsilon(1e-12));  // the base
    CHECK(numbers[7] == Approx(complexity(std::span(place.dataset.test.images).subspan(i * 32, 32))));
    CHECK(numbers[8] == Approx(numbers[3] - numbers[7]));
    CHECK(numbers[6] >= 0);
  }
}

TEST_CASE("score --against parts two kinds of data", "[cli]") {
  const ScorePlace place;
  const std::vector<std::uint8_t> black(20 * 32, 0);
  const std::vector<std::int64_t> shape{20, 8, 4};
  write_npy<std::uint8_t>(place.path("black.npy"), shape, black);
  const Arguments two = kWeights + Arguments{"--importance-samples", "1", "--data", "tiny", "--csv", "s.csv"};
  const std::string text = place.output_of("score", two + Arguments{"--against", "black.npy", "--out", "o.svg"});
  CHECK_THAT(text, Contains("tiny are data, black.npy are others") && Contains("90 images scored: s.csv") &&
                       Contains("complexity       0.0000"));  // nothing is simpler than black
  const std::vector<std::string> rows = lines_of(place.bytes("s.csv"));
  REQUIRE(rows.size() == 91);
  CHECK(rows[0].starts_with("set,index,label,log_prob,bits_per_dim,"));
  CHECK(rows[1].starts_with("tiny,0,"));
  CHECK(rows[90].starts_with("black.npy,19,,"));
  CHECK_THAT(place.bytes("o.svg"), Contains("complexity, AUROC 0.000"));
  CHECK_THAT(place.refusal_of("score", two + Arguments{"--against", "nowhere"}), Contains("nowhere"));
  CHECK_THAT(place.refusal_of("score", two + Arguments{"--against", "moons"}), Contains("numbers"));
  CHECK_THAT(place.refusal_of("score", two + Arguments{"--out", "x.png"}), Contains("--against"));
}

}  // namespace
}  // namespace flowsmith::core
