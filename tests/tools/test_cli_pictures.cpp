// The tools that draw: scale-curve, curves, dequant, health, plane and report.
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/png.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

nlohmann::json json_in(const Workplace& place, const std::string& name) {
  return nlohmann::json::parse(place.bytes(name));
}

TEST_CASE("scale-curve draws f tanh(s / f)", "[cli]") {
  const Workplace place;
  CHECK(place.output_of("scale-curve", {"--factors", "0.5,3", "--json", "s.json"}) ==
        "2 curves as a picture: scale_curve.png\n");
  const nlohmann::json curves = json_in(place, "s.json");
  REQUIRE(curves.size() == 2);
  for (const nlohmann::json& curve : curves) {
    const double f = curve["f"];
    for (std::size_t i = 0; i < curve["s"].size(); ++i) {
      CHECK(curve["log_scale"][i].get<double>() ==
            Approx(f * std::tanh(curve["s"][i].get<double>() / f)).margin(1e-15));
    }
  }
  for (const std::string text : {"", "0", "-1", "x", "1,", "nan", "1,2,3,4,5,6,7,8,9,10,11,12,13"}) {
    CHECK_THAT(place.refusal_of("scale-curve", {"--factors=" + text}), Contains("--factors"));
  }
}

TEST_CASE("curves draws what metrics.csv holds", "[cli]") {
  const Workplace place;
  const std::string header = "step,epoch,train_bpd,val_bpd,test_bpd,gradient_norm,learning_rate,images_per_second\n";
  std::filesystem::create_directories(place.path("run"));
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file_atomically(place.path(name), header + text);
  };
  write("run/metrics.csv", "1,1,3.5,,,1,0.001,100\n2,1,2.5,,,1,0.001,100\n2,1,,2.25,,,,\n2,1,,,2.125,,,\n3,1,2.4");
  write("other.csv", "1,1,2,,,1,0.001,100\n");
  CHECK_THAT(place.output_of("curves", {"run", "other.csv", "--out", "c.svg", "--json", "c.json"}),
             Contains("2 runs as a picture: c.svg"));
  const nlohmann::json runs = json_in(place, "c.json");
  CHECK(runs[0]["training"]["values"] == nlohmann::json{3.5, 2.5});
  CHECK(runs[0]["validation"]["values"] == nlohmann::json{2.25});
  CHECK(runs[0]["test"]["values"] == nlohmann::json{2.125});
  const std::string chart = place.bytes("c.svg");
  CHECK_THAT(chart, Contains("step 2: 2.2500") && Contains("other.csv, training"));
  place.output_of("curves", {"run", "--log"});
  CHECK(read_png(place.path("curves.png")).channels == 3);

  CHECK_THAT(place.refusal_of("curves", {}), Contains("name one or more runs"));
  CHECK_THAT(place.refusal_of("curves", {"nowhere"}), Contains("nowhere: there is no such run"));
  std::filesystem::create_directories(place.path("empty"));
  CHECK_THAT(place.refusal_of("curves", {"empty"}), Contains("it has no metrics.csv"));
  write("bad.csv", "1,1,x,,,1,0.001,100\n");
  CHECK_THAT(place.refusal_of("curves", {"bad.csv"}), Contains("bad.csv, line 2: 'x' is no number"));
  write("short.csv", "1,1\n");
  CHECK_THAT(place.refusal_of("curves", {"short.csv"}), Contains("short.csv, line 2: 2 cells"));
  write("none.csv", "");
  CHECK_THAT(place.refusal_of("curves", {"none.csv"}), Contains("no step was taken"));
  write("negative.csv", "1,1,-2,,,1,0.001,100\n");
  CHECK_THAT(place.refusal_of("curves", {"negative.csv", "--log"}), Contains("0 or less"));
  write_file_atomically(place.path("text.csv"), "hello\n");
  CHECK_THAT(place.refusal_of("curves", {"text.csv"}), Contains("not the metrics.csv of a run"));
  CHECK_THAT(place.refusal_of("curves", {"run", "--out", "run/metrics.csv"}), Contains("metrics.csv"));
}

TEST_CASE("dequant parts the line among values and shows the flow's noise", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  place.write_weights("w.safetensors", "vardeq");
  place.write_weights("plain.safetensors", "simple");
  const Arguments data{"--data", "tiny", "--json", "d.json"};
  CHECK_THAT(place.output_of("dequant", data + Arguments{"--weights", "w.safetensors", "--quants", "4", "--prior",
                                                         "1,2,4,1", "--out", "d.svg"}),
             Contains("dequantization of 4 values, and of the pixels of 12 images"));
  nlohmann::json numbers = json_in(place, "d.json");
  // Of each value its probability lies within the picture, but for what the ends cut off: sigmoid(-6), 0.25 %.
  double mass = 0;
  for (const nlohmann::json& value : numbers["values"]) {
    double area = 0;
    for (std::size_t i = 1; i < value["z"].size(); ++i) {
      area += (value["z"][i].get<double>() - value["z"][i - 1].get<double>()) *
              (value["density"][i].get<double>() + value["density"][i - 1].get<double>()) / 2;
    }
    CHECK(area == Approx(value["probability"].get<double>()).margin(0.005));
    mass += value["probability"].get<double>();
  }
  CHECK(mass == Approx(1));
  for (const char* const noise : {"uniform", "learned"}) {
    double share = 0, of_noise = 0;
    for (const double density : numbers["pixels"][noise]) share += density * 0.25;
    for (const double density : numbers["noise"][noise]) of_noise += density / 32;
    CHECK(share == Approx(1));
    CHECK(of_noise == Approx(1));
  }
  CHECK_THAT(place.bytes("d.svg"), Contains("Uniform prior") && Contains("Prior as given") && Contains("2: 0.5"));
  place.output_of("dequant", data + Arguments{"--weights", "plain.safetensors"});
  numbers = json_in(place, "d.json");
  CHECK_FALSE(numbers["pixels"].contains("learned"));

  const auto refusal = [&](const Arguments& more) {
    return place.refusal_of("dequant", Arguments{"--data", "tiny", "--weights", "plain.safetensors"} + more);
  };
  for (const std::string text : {"", "x", "1,", "1,-1,1,1", "nan,1,1,1"}) {
    CHECK_THAT(refusal({"--quants", "4", "--prior=" + text}), Contains("--prior"));
  }
  CHECK_THAT(refusal({"--prior", "1,2"}), Contains("--prior has 2 numbers for 8 values"));
  CHECK_THAT(refusal({"--quants", "2", "--prior", "0,0"}), Contains("above 0"));
  for (const char* const quants : {"1", "257", "0"}) CHECK_THAT(refusal({"--quants", quants}), Contains("2 to 256"));
}

TEST_CASE("health finds what a layer does", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  place.write_weights("w.safetensors", "multiscale");
  CHECK_THAT(place.output_of("health", {"--weights", "w.safetensors", "--data", "tiny", "--json", "h.json"}),
             Contains("layers at work on 12 images") && Contains("Round trip") && Contains("health.png"));
  const nlohmann::json layers = json_in(place, "h.json");
  Flow flow = Flow::load(place.path("w.safetensors"));
  CHECK(layers.size() == flow.layers().size() - 2);  // neither dequantization nor base
  for (const nlohmann::json& layer : layers) {
    INFO(layer.dump());
    CHECK(layer["round_trip"] < 1e-10);    // doubles, some hundred operations
    CHECK(layer["precision_gap"] < 1e-2);  // floats: 1e-7 of sums of some hundred log-scales
    const bool coupling = layer["what"].get<std::string>().starts_with("coupling");
    CHECK(layer.contains("log_scale") == coupling);
    if (coupling) CHECK(layer["log_scale"][0] <= layer["log_scale"][1]);
    if (coupling) CHECK(std::abs(layer["share_of_bound"].get<double>()) <= 1);
  }
  CHECK_THAT(place.refusal_of("health", {"--weights", "w.safetensors", "--data", "tiny", "--limit", "2000"}),
             Contains("--limit must be 1 to 1024"));
  // A layer that computes nonsense is named, with the image.
  SafetensorsFile file = read_safetensors(place.path("w.safetensors"));
  NamedTensor* last_bias = nullptr;
  const auto fill = [](NamedTensor& tensor, float value) {
    tensor = NamedTensor::of<float>(tensor.name, tensor.shape, std::vector<float>(tensor.as<float>().size(), value));
  };
  for (NamedTensor& tensor : file.tensors) {
    if (tensor.name == "flows.4.scaling_factor") fill(tensor, 20);  // no bound any more
    if (tensor.name.starts_with("flows.4.network") && tensor.name.ends_with(".bias")) last_bias = &tensor;
  }
  REQUIRE(last_bias != nullptr);
  fill(*last_bias, 1e4f);
  write_safetensors(place.path("broken.safetensors"), file);
  const Outcome outcome = place.run("health", {"--weights", "broken.safetensors", "--data", "tiny"});
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, Contains("not finite, first at layer flows.4 (coupling") && Contains("image 0"));
}

/// The folder of a short run.
void train(const Workplace& place, const Arguments& more) {
  const Arguments whole = Workplace::command("train", Arguments{"--out", "run", "--max-steps", "3"} + more);
  const Outcome outcome = Program(whole, place.dir().path()).wait();
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.out, Contains("\nreport      run/report.html\n"));
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// What a page must be: whole, of itself, and readable without a network.
void check_page(const std::string& page) {
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(page.size() < 5'000'000);
  for (const char* const tag : {"section", "table", "figure", "svg", "p", "div"}) {
    INFO(tag);
    CHECK(count_of(page, std::string("<") + tag + ">") + count_of(page, std::string("<") + tag + " ") ==
          count_of(page, std::string("</") + tag + ">"));
  }
  for (const char* const outside : {"src=\"http", "href=\"http", "url(", "@import", "fetch("}) {
    CHECK_THAT(page, !Contains(outside));
  }
  CHECK(count_of(page, "<img ") == count_of(page, " alt=\""));
  CHECK_THAT(page, !Contains("alt=\"\"") && !Contains("aria-label=\"\""));
}

TEST_CASE("a run of images ends with a page about it", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  train(place, {"--model", "multiscale", "--data", "tiny", "--batch-size", "10"});
  REQUIRE(place.has("run/report.html"));
  check_page(place.bytes("run/report.html"));
  CHECK(place.output_of("report", {"run", "--out", "page.html", "--examples", "12"}) == "report: page.html\n");
  const std::string page = place.bytes("page.html");
  check_page(page);
  for (const char* const id : {"run", "results", "curves", "samples", "interpolation", "latents", "nearest",
                               "likeliest", "dequantization", "masks", "bounds", "ledger", "health"}) {
    CHECK_THAT(page, Contains("<section id=\"" + std::string(id) + "\">"));
    CHECK_THAT(page, Contains("<a href=\"#" + std::string(id) + "\">"));
  }
  const nlohmann::json results = json_in(place, "run/results.json");
  char score[40];
  std::snprintf(score, sizeof score, "%.4f +- %.4f", results["test_bpd"]["mean"].get<double>(),
                results["test_bpd"]["standard_error"].get<double>());
  CHECK_THAT(page, Contains(score));
  // Another run leaves it out.
  place.output_of("train",
                  {"--model", "simple", "--data", "tiny", "--batch-size", "10", "--out", "bare", "--max-steps", "1"});
  CHECK_FALSE(place.has("bare/report.html"));
}

TEST_CASE("a run of the plane ends with a page about it, and plane draws it", "[cli][long]") {
  const Workplace place;
  train(place, {"--model", "moons", "--batch-size", "100"});
  const std::string page = place.bytes("run/report.html");
  check_page(page);
  CHECK_THAT(page, Contains("<section id=\"plane\">") && !Contains("<section id=\"nearest\">"));
  CHECK_THAT(place.output_of("plane", {"--weights", "run", "--cells", "64", "--json", "p.json", "--out", "p.svg"}),
             Contains("layer by layer: plane_layers.png") && Contains("integral of the density"));
  const nlohmann::json density = json_in(place, "p.json");
  double mass = 0;
  for (const double p : density["density"]) mass += p;
  const double cell = density["side"].get<double>() / 64;
  CHECK(mass * cell * cell == Approx(density["mass"].get<double>()));
  CHECK(density["mass"] < 1.01);  // a density, by squares of a sixtieth of the picture
  CHECK_THAT(place.bytes("p.svg"), Contains("A grid of the latent plane"));
  place.write_weights();
  CHECK_THAT(place.refusal_of("plane", {"--weights", "w.safetensors"}), Contains("not a flow of the plane"));
  CHECK_THAT(place.refusal_of("plane", {}), Contains("--weights is missing"));
  CHECK_THAT(place.refusal_of("plane", {"--weights", "run/best.safetensors", "--cells", "7"}),
             Contains("--cells must be 8 to 1024"));
}

TEST_CASE("report says what it cannot do", "[cli]") {
  const Workplace place;
  std::filesystem::create_directories(place.path("empty"));
  CHECK_THAT(place.refusal_of("report", {}), Contains("name the folder of a run"));
  CHECK_THAT(place.refusal_of("report", {"empty"}), Contains("empty: no folder of a run"));
  CHECK_THAT(place.refusal_of("report", {"nowhere"}), Contains("nowhere: no folder of a run"));
  CHECK_THAT(place.refusal_of("report", {"empty", "--examples", "1"}), Contains("--examples must be"));
  CHECK_THAT(place.refusal_of("report", {"empty", "--out", "x.png"}), Contains(".html"));
}

TEST_CASE("frames of a run become a film, and change nothing else of it", "[cli][long]") {
  const Workplace place;
  const Arguments moons{"--model", "moons", "--batch-size", "100", "--max-steps", "4"};
  place.output_of("train", moons + Arguments{"--out", "plain"});
  place.output_of("train", moons + Arguments{"--out", "film", "--frames", "2"});
  CHECK(place.bytes("plain/best.safetensors") == place.bytes("film/best.safetensors"));
  CHECK_FALSE(place.has("plain/frames"));
  for (const char* const step : {"0", "2", "4"})
    CHECK(place.has(std::string("film/frames/step_000000") + step + ".png"));
  CHECK_FALSE(place.has("film/frames/step_0000001.png"));
  CHECK(place.output_of("movie", {"film"}) == "3 pictures as a film: movie.png\n");
  CHECK(read_png(place.path("movie.png")).pixels == read_png(place.path("film/frames/step_0000000.png")).pixels);
  CHECK_THAT(place.output_of("movie", {"plain", "--out", "samples.png"}), Contains("as a film: samples.png"));
  CHECK_THAT(place.refusal_of("movie", {}), Contains("name the folder of a run"));
  CHECK_THAT(place.refusal_of("movie", {"nowhere"}), Contains("nowhere: no run with pictures"));
  CHECK_THAT(place.refusal_of("movie", {"film", "--milliseconds", "0"}), Contains("--milliseconds must be"));
  CHECK_THAT(place.refusal_of("movie", {"film", "--out", "x.gif"}), Contains(".png"));
  write_file_atomically(place.path("film/frames/step_0000005.png"), "no picture");
  CHECK_THAT(place.refusal_of("movie", {"film"}), Contains("step_0000005.png"));
}

}  // namespace
}  // namespace flowsmith::core
