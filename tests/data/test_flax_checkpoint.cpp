// Flax checkpoints: one that Flax wrote, and hostile ones made by hand.
#include <catch2/catch.hpp>

#include "data/flax_checkpoint.h"
#include "engine/file.h"
#include "engine/file_kind.h"
#include "tests/support/error_of.h"
#include "tests/support/flax_files.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

/// tests/peers/make_flax_fixtures.py wrote it: a training state with parameters, an optimizer's state and an average.
const std::string kSmall = std::string(FLOWSMITH_SOURCE_DIR) + "/tests/data/flax_small.msgpack";

Checkpoint read(const std::string& content, const std::string& key = "") {
  const TempDir dir;
  dir.write("some.ckpt", content);
  return read_checkpoint(dir.file("some.ckpt"), key);
}

std::string refusal(const std::string& content) {
  const std::string message = error_of([&] { read(content); });
  CHECK_THAT(message, Contains("some.ckpt"));
  return message;
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// A file with one array of a flow.
std::string one_array(const std::string& packed) {
  return flax::dict({{"flows_1", flax::dict({{"scaling_factor", packed}})}});
}

TEST_CASE("a checkpoint by Flax has the names and layouts of the PyTorch edition") {
  CHECK(checkpoint_kind(kSmall) == "Flax");
  const Checkpoint checkpoint = read_checkpoint(kSmall);
  CHECK(checkpoint.edition == "jax");
  CHECK(checkpoint.key == "params");
  CHECK(checkpoint.others == std::vector<std::string>{"ema_params"});
  CHECK(checkpoint.tensors.size() == 14);
  const SafetensorsFile file{{}, checkpoint.tensors};
  const auto check = [&](const std::string& name, const std::string& dtype, const std::vector<std::int64_t>& shape,
                         const std::vector<double>& first) {
    INFO(name);
    const NamedTensor* const tensor = file.find(name);
    REQUIRE(tensor != nullptr);
    CHECK(tensor->dtype == dtype);
    CHECK(tensor->shape == shape);
    std::vector<double> numbers = numbers_of(tensor->dtype, tensor->data);
    numbers.resize(first.size());
    CHECK(numbers == first);
  };
  // The numbers count up in the order of Flax's arrays: a kernel (3, 3, 1, 2) is every second one for each output.
  check("flows.0.flows.1.scaling_factor", "F32", {2}, {0, 1});
  check("flows.0.flows.1.network.nn.0.weight", "F32", {2, 1, 3, 3}, {2, 4, 6, 8, 10, 12, 14, 16, 18, 3, 5});
  check("flows.0.flows.1.network.nn.0.bias", "F32", {2}, {20, 21});
  check("flows.0.flows.1.network.nn.1.net.1.weight", "F32", {3, 2, 1, 1}, {22, 25, 23, 26, 24, 27});
  check("flows.0.flows.1.network.nn.1.net.1.bias", "F16", {3}, {28, 29, 30});
  check("flows.0.flows.1.network.nn.2.gamma", "F32", {1, 2, 1, 1}, {31, 32});
  check("flows.0.flows.1.network.nn.2.beta", "BF16", {1, 2, 1, 1}, {33, 34});
  check("flows.12.scaling_factor", "F32", {2}, {500, 501});

  const SafetensorsFile average{{}, read_checkpoint(kSmall, "ema_params").tensors};
  REQUIRE(average.find("flows.12.scaling_factor") != nullptr);
  CHECK(numbers_of("F32", average.find("flows.12.scaling_factor")->data) == std::vector<double>{-500, -501});
  CHECK(read_checkpoint(kSmall, "opt_state.0.mu").tensors.size() == 14);
  CHECK_THAT(error_of([] { read_checkpoint(kSmall, "emma"); }),
             Contains("'emma'") && Contains("'ema_params'") && Contains("'params'"));
}

TEST_CASE("a Flax file without flows is called that") {
  const std::string other =
      flax::dict({{"Dense_0", flax::dict({{"kernel", flax::array({1}, "float32", floats({1}))}})}});
  CHECK_THAT(refusal(other), Contains("'Dense_0.kernel'") && Contains("flows_0"));
}

TEST_CASE("what a Flax file claims is checked against what it holds") {
  CHECK(read(one_array(flax::array({2}, "float32", floats({1, 2})))).tensors.size() == 1);
  CHECK_THAT(refusal(one_array(flax::array({3}, "float32", floats({1, 2})))), Contains("(3)") && Contains("8 bytes"));
  CHECK_THAT(refusal(one_array(flax::array({1 << 20, 1 << 20, 1 << 20, 1 << 20}, "float32", ""))),
             Contains("impossible shape"));
  CHECK_THAT(refusal(one_array(flax::array({std::int64_t(1) << 40}, "float32", ""))), Contains("dimension"));
  CHECK_THAT(refusal(one_array(flax::array(std::vector<std::int64_t>(17, 1), "float32", floats({1})))),
             Contains("not described"));
  CHECK_THAT(refusal(one_array(flax::array({2}, "int32", floats({1, 2})))), Contains("'int32'"));
  CHECK_THAT(refusal(one_array(flax::extension(1, flax::text("no list")))), Contains("not described"));
  CHECK_THAT(refusal(one_array(flax::extension(1, ""))), Contains("not described"));
  const std::string good =
      flax::list({flax::list({flax::integer(1)}), flax::text("float32"), flax::bytes(floats({1}))});
  CHECK_THAT(refusal(one_array(flax::extension(1, good + "x"))), Contains("not described"));
  CHECK_THAT(refusal(one_array(flax::array({2}, "float32", floats({1, 2}))) + "x"), Contains("behind its end"));
  CHECK_THAT(refusal(flax::dict({{"flows_1", flax::dict({{"__msgpack_chunked_array__", flax::integer(1)}})}})),
             Contains("in pieces"));
  CHECK_THAT(refusal(flax::dict({{"a", "\x81" + flax::integer(1) + flax::integer(2)}})), Contains("no name"));
  CHECK_THAT(refusal(flax::dict({{"a", "\x81" + flax::dict({}) + flax::integer(2)}})), Contains("no name"));
  CHECK_THAT(refusal(flax::dict(
                 {{"a", flax::dict({{std::string(255, 'x'), flax::dict({{std::string(255, 'y'), "\xc0"}})}})}})),
             Contains("500 characters"));
  std::string deep = "\xc0";
  for (int i = 0; i < 40; ++i) deep = i % 2 == 0 ? flax::dict({{"d", deep}}) : flax::list({deep});
  CHECK_THAT(refusal(flax::dict({{"a", deep}})), Contains("deep"));
  // A list of four billion and a byte string of as many, of which nothing is there.
  CHECK_THAT(refusal(flax::dict({{"a", "\xdd\xff\xff\xff\xff"}})), Contains("cut off"));
  CHECK_THAT(refusal(flax::dict({{"a", "\xc6\xff\xff\xff\xff"}})), Contains("cut off"));
  const std::string twice = flax::array({1}, "float32", floats({1}));
  CHECK_THAT(refusal(flax::dict({{"flows_1", flax::dict({{"x", twice}, {"x", twice}})}})), Contains("twice"));
}

TEST_CASE("a damaged Flax file is refused or read, whichever byte is wrong") {
  const std::string good = read_text_file(kSmall, 1 << 20);
  const TempDir dir;
  const std::string path = dir.file("some.ckpt");
  for (std::size_t size = 0; size < good.size(); ++size) {
    dir.write("some.ckpt", good.substr(0, size));
    error_of([&] { read_checkpoint(path); });
  }
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ flip);
      dir.write("some.ckpt", bad);
      try {
        read_checkpoint(path);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  CHECK(refused > 1000);  // of 6861: what is not a number in an array
}

TEST_CASE("only a map with a name in front looks like Flax") {
  CHECK(
      looks_like_flax("\x81\xa7"
                      "flows_0"));
  CHECK(looks_like_flax(flax::dict({{"step", "\xc0"}})));
  CHECK_FALSE(looks_like_flax(""));
  CHECK_FALSE(looks_like_flax("\x81"));
  CHECK_FALSE(
      looks_like_flax("\x81\xa7"
                      "flow"));
  CHECK_FALSE(looks_like_flax("\x80\x02}q"));  // a pickle
  CHECK_FALSE(
      looks_like_flax(std::string("\x88\xa5\0\0\0\0\0\0{\"", 10)));  // a safetensors file with a header of 42376
}

TEST_CASE("a Flax file where another kind belongs is called that") {
  CHECK_THAT(error_of([] { read_safetensors(kSmall); }), Contains("a checkpoint of Flax") && Contains("flow import"));
}

TEST_CASE("a folder of Orbax is called that") {
  const TempDir dir;
  dir.write("_CHECKPOINT_METADATA", "{}");
  CHECK_THAT(error_of([&] { read_checkpoint(dir.path().string()); }), Contains("Orbax") && Contains("to_bytes"));
}

}  // namespace
}  // namespace flowsmith::core
