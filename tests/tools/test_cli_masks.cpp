// flowsmith masks: what couplings let through.
#include <nlohmann/json.hpp>

#include "data/png.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

TEST_CASE("masks are drawn as they are, a row for each and a column for each channel", "[cli]") {
  const Workplace place;
  place.write_weights("w.safetensors", "multiscale");  // of 8 x 4 pixels
  const std::string text = place.output_of("masks", {"--weights", "w.safetensors", "--json", "m.json", "--zoom", "1"});
  CHECK_THAT(text, Contains("12 masks as a picture: masks.png\n") && Contains("8 x 2 x 1"));
  const nlohmann::json masks = nlohmann::json::parse(place.bytes("m.json"));
  REQUIRE(masks.size() == 12);
  const auto find = [&](const std::string& name) -> const nlohmann::json& {
    for (const nlohmann::json& mask : masks) {
      if (mask["name"] == name) return mask;
    }
    FAIL(name);
    return masks[0];
  };
  const nlohmann::json &checkerboard = find("flows.1.mask"), &inverted = find("flows.2.mask"),
                       &channel = find("flows.8.mask");
  CHECK(checkerboard["shape"] == nlohmann::json{1, 8, 4});
  for (int i = 0; i < 32; ++i) {
    const int one = (i / 4 + i % 4) % 2;
    CHECK(checkerboard["values"][i] == one);
    CHECK(inverted["values"][i] == 1 - one);
  }
  CHECK(channel["shape"] == nlohmann::json{8, 2, 1});
  for (int i = 0; i < 16; ++i) CHECK(channel["values"][i] == (i < 8 ? 1 : 0));

  // Tiles of 8 x 8, eight beside each other and twelve below, two pixels around each.
  const Image picture = read_png(place.path("masks.png"));
  REQUIRE(picture.cols == 8 * 8 + 9 * 2);
  REQUIRE(picture.rows == 12 * 8 + 13 * 2);
  const auto pixel = [&](int row, int column, int y, int x) {
    return int(picture.pixels[std::size_t(2 + row * 10 + y) * picture.cols + 2 + column * 10 + x]);
  };
  // Row 4 is flows.1's, whose pixels are two wide; row 8 flows.8's.
  CHECK(pixel(4, 0, 0, 0) == 70);
  CHECK(pixel(4, 0, 0, 2) == 255);
  CHECK(pixel(4, 0, 1, 0) == 255);
  CHECK(pixel(4, 1, 0, 0) == 0);  // it has one channel
  for (int column = 0; column < 8; ++column) CHECK(pixel(8, column, 5, 5) == (column < 4 ? 255 : 70));
}

TEST_CASE("masks of vectors are images where they are as long, and lines elsewhere", "[cli]") {
  const Workplace place;
  CHECK_THAT(place.output_of("masks", {"--model", "nice", "--zoom", "1"}), Contains("1 x 28 x 28"));
  CHECK(read_png(place.path("masks.png")).cols == 28 + 4);
  CHECK_THAT(place.output_of("masks", {"--model", "moons", "--out", "line.png"}), Contains("1 x 1 x 2"));
  CHECK_THAT(place.output_of("masks", {}), Contains("flows.0.flows.3.mask"));  // multiscale, as everywhere
}

TEST_CASE("masks says what it cannot do", "[cli]") {
  const Workplace place;
  place.write_weights();
  CHECK_THAT(place.refusal_of("masks", {"--weights", "w.safetensors", "--model", "glow"}), Contains("not both"));
  CHECK_THAT(place.refusal_of("masks", {"--weights", "none.safetensors"}), Contains("none.safetensors"));
  CHECK_THAT(place.refusal_of("masks", {"--zoom", "0"}), Contains("zoom"));
  CHECK_THAT(place.refusal_of("masks", {"--out", "x.svg"}), Contains(".png"));
  std::ofstream(place.path("none.json")) << R"({"data": {"type": "vector", "dims": 2}, "layers": ["actnorm"]})";
  CHECK_THAT(place.refusal_of("masks", {"--config", "none.json"}), Contains("has no masks"));
}

}  // namespace
}  // namespace flowsmith::core
