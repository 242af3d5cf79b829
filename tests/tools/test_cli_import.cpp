// flowsmith import: checkpoints of PyTorch and Flax, and the same as the weights of any tool.
#include "models/files/weights.h"
#include "tests/data/torch_files.h"
#include "tests/support/flax_files.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

std::string drawn_from_pipe(const Workplace& place, const std::string& weights) {
  const Arguments sample =
      Workplace::command("sample", {"--weights", "-", "-n", "2", "--out", "piped.png", "--npy", "piped.npy"});
  const Outcome outcome =
      Program(Arguments{"/bin/bash", "-c", "cat '" + weights + "' | \"$@\"", "bash"} + sample, place.dir().path())
          .wait();
  INFO(outcome.err);
  CHECK(outcome.code == 0);
  return place.bytes("piped.npy");
}

TEST_CASE("import turns a PyTorch checkpoint into the weight file that PyTorch's tensors are", "[cli]") {
  const Workplace place;
  Flow flow(FlowConfig::named("simple_2022"));
  randomize(flow, 4);
  flow.save(place.path("expected.safetensors"));
  std::vector<std::pair<std::string, std::string>> state, doubles, entries{{"archive/data.pkl", ""}};
  for (const NamedTensor& tensor : export_parameters(flow.parameters(), flow.parameters().values())) {
    const std::string key = std::to_string(state.size());
    const std::int64_t count = std::int64_t(tensor.data.size() / 4);
    std::vector<std::int64_t> strides(tensor.shape.size(), 1);
    for (std::size_t d = strides.size(); d-- > 1;) strides[d - 1] = strides[d] * tensor.shape[d];
    const std::string storage = pickled::storage("FloatStorage", key, count);
    state.emplace_back(tensor.name, pickled::tensor(storage, 0, tensor.shape, strides));
    entries.emplace_back("archive/data/" + key,
                         std::string(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()));
    // The same in double precision, as a compiled model on several devices names it.
    const std::vector<double> values = numbers_of(tensor.dtype, tensor.data);
    const std::string other = std::to_string(100000 + doubles.size());
    doubles.emplace_back("module._orig_mod." + tensor.name,
                         pickled::tensor(pickled::storage("DoubleStorage", other, count), 0, tensor.shape, strides));
    entries.emplace_back("archive/data/" + other,
                         std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)));
  }
  entries[0].second = pickled::file(pickled::dict({{"state_dict", pickled::dict(state)}}));
  write_zip(place.path("m.ckpt"), entries);
  const std::string text = place.output_of("import", {"m.ckpt", "out.safetensors"});
  CHECK(text == "simple_2022, 335128 parameters: out.safetensors\n");
  CHECK(place.bytes("out.safetensors") == place.bytes("expected.safetensors"));
  // The other tools take it as it is.
  const auto drawn = [&](const std::string& weights) {
    place.output_of("sample", {"--weights", weights, "--n", "2", "--out", "drawn.png", "--npy", "drawn.npy"});
    return place.bytes("drawn.npy");
  };
  CHECK(drawn("m.ckpt") == drawn("expected.safetensors"));
  // Out of a pipe too, where it can be read only once.
  CHECK_THAT(place.refusal_of("score", {"--weights", "-", "--images", "-"}), Contains("stdin holds one file"));
  CHECK(drawn_from_pipe(place, "m.ckpt") == drawn("expected.safetensors"));
  CHECK(drawn_from_pipe(place, "expected.safetensors") == drawn("expected.safetensors"));

  entries[0].second = pickled::file(pickled::dict(
      {{"model_state_dict", pickled::dict(state)}, {"ema", pickled::dict({{"shadow", pickled::dict(doubles)}})}}));
  write_zip(place.path("two.ckpt"), entries);
  const std::string likely = place.output_of("import", {"two.ckpt", "likely.safetensors"});
  CHECK_THAT(likely, Contains("took the weights under 'model_state_dict'; --key takes those under 'ema.shadow'\n"));
  CHECK(place.bytes("likely.safetensors") == place.bytes("expected.safetensors"));
  const std::string averaged = place.output_of("import", {"two.ckpt", "ema.safetensors", "--key", "ema.shadow"});
  CHECK_THAT(averaged, Contains("converted F64 to F32\n"));
  CHECK(place.bytes("ema.safetensors") == place.bytes("expected.safetensors"));
  CHECK_THAT(place.refusal_of("import", {"two.ckpt", "no.safetensors", "--key", "shadow"}),
             Contains("'shadow'") && Contains("'ema.shadow'"));
}

TEST_CASE("import turns a Flax checkpoint of the JAX edition into a weight file", "[cli]") {
  const Workplace place;
  for (const std::string model : {"simple_jax", "multiscale_jax"}) {
    INFO(model);
    Flow flow(FlowConfig::named(model));
    randomize(flow, 4);
    flow.save(place.path("expected.safetensors"));
    const SafetensorsFile weights{{}, export_parameters(flow.parameters(), flow.parameters().values())};
    place.dir().write("jax.ckpt", flax::checkpoint(weights));
    const std::string text = place.output_of("import", {"jax.ckpt", "out.safetensors"});
    CHECK_THAT(text, Contains(model + ", " + std::to_string(flow.parameters().element_count()) + " parameters"));
    CHECK(place.bytes("out.safetensors") == place.bytes("expected.safetensors"));
  }
  const Outcome info = place.run("info", {"--weights", "jax.ckpt"});
  CHECK(info.err == "weights: jax.ckpt (a Flax checkpoint, imported in memory)\n");
  CHECK_THAT(info.out, Contains("model multiscale_jax") && Contains("squeeze, pixel first"));
  CHECK(drawn_from_pipe(place, "jax.ckpt") == drawn_from_pipe(place, "expected.safetensors"));

  // A whole training state, with an average beside the parameters.
  const std::string tree = flax::checkpoint({{}, read_safetensors(place.path("expected.safetensors")).tensors});
  place.dir().write("state.ckpt", flax::dict({{"step", flax::integer(3)}, {"params", tree}, {"ema_params", tree}}));
  CHECK_THAT(place.output_of("import", {"state.ckpt", "out.safetensors"}),
             Contains("took the weights under 'params'; --key takes those under 'ema_params'\n"));
  CHECK(place.bytes("out.safetensors") == place.bytes("expected.safetensors"));
  CHECK_THAT(place.refusal_of("import", {"state.ckpt", "no.safetensors", "--key", "mean"}), Contains("'ema_params'"));
}

}  // namespace
}  // namespace flowsmith::core
