// Files that tools read and write: pipes, and names that would destroy something.
#include "data/npy.h"
#include "data/png.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const Arguments kWeights{"--weights", "w.safetensors"};

/// A line of bash in which $flow is the folder of the tools.
Outcome in_shell(const Workplace& place, const std::string& line) {
  const Arguments command{"/bin/bash", "-c", "set -o pipefail; flow=$1; " + line, "bash", FLOWSMITH_TOOL_DIR};
  return Program(command, place.dir().path()).wait();
}

TEST_CASE("- and /dev/stdout are stdout, where nothing else then goes", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  place.write_weights();
  place.output_of("sample", kWeights + Arguments{"-n", "3", "--out", "s.png", "--npy", "s.npy"});
  for (const std::string name : {"-", "/dev/stdout"}) {
    const Outcome array = place.run("sample", kWeights + Arguments{"-n", "3", "--npy", name});
    CHECK(array.code == 0);
    CHECK(array.out == place.bytes("s.npy"));
    CHECK_THAT(array.err, Contains("3 samples as an array: stdout\n"));
    CHECK(place.run("sample", kWeights + Arguments{"-n", "3", "--out", name}).out == place.bytes("s.png"));
    const Outcome json = place.run("eval", kWeights + Arguments{"--data", "tiny", "--limit", "2", "--json", name});
    CHECK(json.out.starts_with("["));
    CHECK_THAT(json.err, Contains("simple"));
  }
  // Behind what the file holds already, and through pipes.
  const std::string sample = "$flow/flowsmith sample --weights w.safetensors -n 3 --npy ";
  CHECK(in_shell(place, "echo first > f; " + sample + "- >> f 2>/dev/null").code == 0);
  CHECK(place.bytes("f") == "first\n" + place.bytes("s.npy"));
  CHECK(in_shell(place, sample + "- 2>/dev/null | cat > g").code == 0);
  CHECK(place.bytes("g") == place.bytes("s.npy"));
  CHECK(in_shell(place, sample + ">(cat > h); while [ ! -s h ]; do sleep 0.01; done").code == 0);
  CHECK(place.bytes("h") == place.bytes("s.npy"));
}

TEST_CASE("- is stdin, and pipes are files to read", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  place.write_weights();
  place.output_of("sample", kWeights + Arguments{"-n", "5", "--npy", "x.npy"});
  place.output_of("encode", kWeights + Arguments{"--images", "x.npy", "--out", "z.safetensors"});
  const std::string encode = "$flow/flowsmith encode --weights w.safetensors --images ";
  const std::string decode = "$flow/flowsmith decode --weights w.safetensors --latents ";
  CHECK(in_shell(place, encode + "- --out a.safetensors < x.npy").code == 0);
  CHECK(in_shell(place, "cat x.npy | " + encode + "- --out b.safetensors").code == 0);
  CHECK(in_shell(place, encode + "<(cat x.npy) --out c.safetensors").code == 0);
  for (const std::string name : {"a", "b", "c"}) {
    CHECK(place.bytes(name + ".safetensors") == place.bytes("z.safetensors"));
  }
  CHECK(in_shell(place, encode + "- --out - < x.npy 2>/dev/null | " + decode + "- --out - 2>/dev/null > y.npy").code ==
        0);
  CHECK(read_npy(place.path("y.npy")).as<std::uint8_t>()[0] == read_npy(place.path("x.npy")).as<std::uint8_t>()[0]);
  CHECK(place.bytes("y.npy") == place.bytes("x.npy"));
  const Outcome weights = in_shell(place, "$flow/flowsmith info --weights <(cat w.safetensors)");
  CHECK(weights.code == 0);
  CHECK_THAT(weights.out, Contains("model simple"));
}

TEST_CASE("no output replaces an input or another output", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  place.write_weights();
  std::filesystem::create_symlink("w.safetensors", place.path("link.safetensors"));
  for (const std::string out : {"w.safetensors", "./w.safetensors", "link.safetensors"}) {
    CHECK_THAT(place.refusal_of("encode", kWeights + Arguments{"--data", "tiny", "--out", out}),
               Contains("--out and --weights name the same file") && Contains("choose another"));
    CHECK_THAT(place.refusal_of("eval", kWeights + Arguments{"--data", "tiny", "--json", out}), Contains("same file"));
    CHECK_THAT(place.refusal_of("import", {"w.safetensors", out}), Contains("OUT and IN name the same file"));
    CHECK_THAT(place.refusal_of("parity", {"w.safetensors", out}), Contains("OUT and IN name the same file"));
  }
  CHECK_THAT(place.refusal_of("sample", kWeights + Arguments{"--npy", "a", "--out", "./a"}), Contains("same file"));
  CHECK_THAT(place.refusal_of("sample", kWeights + Arguments{"--npy", "-", "--out", "-"}), Contains("same file"));
  const std::vector<std::int64_t> shape{2, 2};
  write_npy<float>(place.path("x.npy"), shape, std::vector<float>(4));
  const Arguments transform{"--model", "moons", "--input", "x.npy"};
  CHECK_THAT(place.refusal_of("transform", transform + Arguments{"--out", "x.npy"}), Contains("--out and --input"));
  CHECK_THAT(place.refusal_of("transform", transform + Arguments{"--out", "y.npy", "--logdet", "./y.npy"}),
             Contains("--logdet and --out"));
}

TEST_CASE("names that say something else, nothing, or options without effect are refused", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  place.write_weights();
  CHECK_THAT(place.refusal_of("sample", kWeights + Arguments{"--out", "x.jpg"}), Contains("x.jpg") && Contains(".png"));
  CHECK_THAT(place.refusal_of("sample", kWeights + Arguments{"--npy", "x.csv"}), Contains("ends in .npy"));
  CHECK_THAT(place.refusal_of("encode", kWeights + Arguments{"--data", "tiny", "--out", "z.npy"}),
             Contains("ends in .safetensors"));
  CHECK_THAT(place.refusal_of("sample", kWeights + Arguments{"--out", ""}), Contains("--out is empty"));
  CHECK_THAT(place.refusal_of("train", {"--out", ""}), Contains("--out is empty"));
  CHECK_THAT(place.refusal_of("eval", {"--weights", ""}), Contains("--weights is empty"));
  CHECK_THAT(place.refusal_of("sample", kWeights + Arguments{"--npy", "x.npy", "--zoom", "2"}),
             Contains("--zoom is for a"));
  CHECK_THAT(place.refusal_of("encode", kWeights + Arguments{"--images", "x.npy", "--limit", "2", "--out", "z"}),
             Contains("--images or --limit"));
}

}  // namespace
}  // namespace flowsmith::core
