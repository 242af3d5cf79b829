// What the executables refuse: exit code 2, one line that names the culprit, and every file as it was.
#include <array>

#include "data/npy.h"
#include "kernels/cpu/bf16/tiles.h"
#include "models/files/weights.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const Arguments kWeights{"--weights", "w.safetensors"};

/// The arguments with which a tool works, so that one wrong one more is all there is to find.
Arguments good_arguments(const std::string& tool) {
  if (tool == "train") {
    return {"--model", "simple", "--data", "tiny", "--batch-size", "10", "--max-steps", "1", "--out", "new"};
  }
  if (tool == "eval") return kWeights + Arguments{"--data", "tiny", "--limit", "1", "--importance-samples", "1"};
  if (tool == "sample") return kWeights + Arguments{"-n", "2", "--out", "new.png"};
  if (tool == "encode") return kWeights + Arguments{"--data", "tiny", "--out", "new.safetensors"};
  if (tool == "decode") return kWeights + Arguments{"--latents", "z.safetensors", "--out", "new.npy"};
  if (tool == "info") return kWeights;
  if (tool == "import") return {"m.ckpt", "new.safetensors"};
  if (tool == "parity") return {"in.safetensors", "new.safetensors"};
  if (tool == "gradcheck") return {"--filter", "no check has this name"};
  return {"--filter", "no benchmark has this name", "--json", "new.json"};  // bench
}

/// A folder with a dataset and weights.
struct Stage : Workplace {
  Stage() {
    write_tiny_dataset(dir());
    write_weights();
  }

  std::string refusal(const std::string& tool, const Arguments& more) const {
    return refusal_of(tool, good_arguments(tool) + more);
  }
};

TEST_CASE("options that a tool does not know are refused", "[cli][long]") {
  const Stage stage;
  for (const std::string tool :
       {"train", "eval", "sample", "encode", "decode", "info", "import", "parity", "gradcheck", "bench"}) {
    CHECK_THAT(stage.refusal(tool, {"--nonsense"}), Contains("nonsense"));
    CHECK_THAT(stage.refusal(tool, {"--nonsense=1"}), Contains("nonsense"));
    CHECK_THAT(stage.refusal(tool, {"-x"}), Contains("x"));
    CHECK_THAT(stage.refusal(tool, {"word"}), Contains("'word'"));
  }
}

TEST_CASE("values that an option does not take are refused with the option", "[cli][long]") {
  const Stage stage;
  const auto check = [&](const std::string& tool, const std::string& option, const Arguments& values) {
    for (const std::string& value : values) {
      CHECK_THAT(stage.refusal(tool, {option, value}), Contains(option));
      if (option.starts_with("--")) CHECK_THAT(stage.refusal(tool, {option + "=" + value}), Contains(option));
    }
  };
  check("train", "--epochs", {"many", "1.5", "1e3", "0", "-1", "99999999999", ""});
  check("train", "--batch-size", {"x", "0", "-10", "65537"});
  check("train", "--lr", {"fast", "1e-3x", "1,5", "nan", "inf", "0", "-1", "1e999", ""});
  check("train", "--lr-decay", {"x", "0"});
  check("train", "--clip-norm", {"x", "-1"});
  check("train", "--max-minutes", {"x", "-1"});
  check("train", "--max-steps", {"x", "-1", "1.5"});
  check("train", "--snapshot-seconds", {"x", "-1"});
  check("train", "--seed", {"x", "-1", "18446744073709551616"});
  check("eval", "--importance-samples", {"x", "0", "-8"});
  check("eval", "--batch-size", {"x", "0"});
  check("eval", "--limit", {"x", "0"});
  check("eval", "--offset", {"x", "12", "-1"});
  check("encode", "--offset", {"x", "12", "-1"});
  check("sample", "-n", {"x", "0", "-1", "1000001"});
  check("sample", "--temperature", {"hot", "1.0.0"});
  check("info", "--height", {"x", "28"});  // not beside --weights
  check("bench", "--batch", {"x", "0"});
  check("bench", "--repeats", {"x", "0"});
}

TEST_CASE("what an option expects is said", "[cli]") {
  const Stage stage;
  CHECK_THAT(stage.refusal("train", {"--lr", "fast"}), Contains("'--lr fast': expected a number\n"));
  CHECK_THAT(stage.refusal("train", {"--seed=-1"}), Contains("'--seed=-1': expected a whole number of 0 to 1844"));
  CHECK_THAT(stage.refusal("train", {"--max-steps", "1e9"}), Contains("'--max-steps 1e9': expected a whole number\n"));
  CHECK_THAT(stage.refusal("train", {"--epochs", "99999999999"}), Contains("whole number of at most 2147483647\n"));
  CHECK_THAT(stage.refusal("train", {"--resume=maybe"}), Contains("'--resume=maybe': expected true or false\n"));
  for (const Arguments& words : {Arguments{"-n", "x"}, Arguments{"-nx"}, Arguments{"--n", "x"}, Arguments{"--n=x"}}) {
    CHECK_THAT(stage.refusal("sample", words), Contains("expected a whole number of at most 2147483647\n"));
  }
}

TEST_CASE("what may not be read is not called missing", "[cli]") {
  namespace fs = std::filesystem;
  const Stage stage;
  stage.output_of("train",
                  {"--data", "tiny", "--model", "simple", "--max-steps", "1", "--batch-size", "10", "--out", "r"});
  fs::copy_file(std::string(FLOWSMITH_TOOL_DIR) + "/flowsmith", stage.path("flowsmith"));
  fs::permissions(stage.path(""), fs::perms(0777));
  fs::permissions(stage.path("w.safetensors"), fs::perms::none);
  fs::permissions(stage.path("r"), fs::perms::none);
  const auto refusal = [&](const std::string& tool, const Arguments& arguments) {
    const bool root = ::geteuid() == 0;  // to whom everything is readable
    const Arguments other = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"};
    const Arguments words = (root ? other : Arguments{}) + Arguments{"./flowsmith", tool} + arguments;
    const Outcome outcome = Program(words, stage.dir().path()).wait();
    CHECK(outcome.code == 2);
    return outcome.err;
  };
  CHECK_THAT(refusal("eval", {"--weights", "w.safetensors", "--data", "tiny"}),
             Contains("'w.safetensors': Permission denied"));
  CHECK_THAT(refusal("eval", {"--weights", "r", "--data", "tiny"}), Contains("'r': Permission denied"));
  CHECK_THAT(refusal("eval", {"--weights", "r/best.safetensors"}), Contains("best.safetensors': Permission denied"));
  CHECK_THAT(refusal("train", {"--resume", "--out", "r"}), Contains("'r': Permission denied"));
  CHECK_THAT(refusal("train", {"--data", "r"}), Contains("Permission denied"));
  CHECK_THAT(refusal("train", {"--data", "r/samples"}), Contains("/r/samples': Permission denied"));
  CHECK_THAT(refusal("train", {"--data", "r/x.npy"}), Contains("/r/x.npy': Permission denied"));
  CHECK_THAT(refusal("train", {"--config", "r/config.json"}), Contains("config.json': Permission denied"));
  fs::permissions(stage.path("r"), fs::perms(0755));
}

TEST_CASE("values that make no sense are refused with what to choose", "[cli][long]") {
  const Stage stage;
  for (const std::string tool : {"train", "eval", "sample", "encode", "decode", "parity", "bench"}) {
    CHECK_THAT(stage.refusal(tool, {"--threads", "many"}), Contains("--threads many"));
    CHECK_THAT(stage.refusal(tool, {"--threads", "-1"}), Contains("-1 threads"));
    CHECK_THAT(stage.refusal(tool, {"--threads", "1000000"}), Contains("1000000 threads"));
    if (tool == "parity") continue;  // it reads its input first
    CHECK_THAT(stage.refusal(tool, {"--device", "gpu"}), Contains("'gpu'") && Contains("auto, cpu, cuda, cuda:N"));
    CHECK_THAT(stage.refusal(tool, {"--device", "cuda:x"}), Contains("'cuda:x'"));
    CHECK_THAT(stage.refusal(tool, {"--device", "cuda:999"}), Contains("GPU") && Contains("--device cpu"));
    CHECK_THAT(stage.refusal(tool, {"--nets", "fp16"}), Contains("'fp16'") && Contains("fp32, tf32 or bf16"));
    CHECK_THAT(stage.refusal(tool, {"--device", "cpu", "--nets", "tf32"}), Contains("--nets tf32 needs a GPU"));
    CHECK_THAT(stage.refusal(tool, {"--device", "reference", "--nets", "bf16"}),
               Contains("--nets bf16") && Contains("--nets fp32"));
    if (cpu::bf16::hardware_tiles() == nullptr) {
      CHECK_THAT(stage.refusal(tool, {"--device", "cpu", "--nets", "bf16"}),
                 Contains("--nets bf16 needs a CPU with AMX or AVX512-BF16") && Contains("--nets fp32"));
    }
    CHECK_THAT(stage.refusal(tool, {"--conv", "cublas"}), Contains("'cublas'") && Contains("fused or cudnn"));
    CHECK_THAT(stage.refusal(tool, {"--device", "cpu", "--conv", "cudnn"}), Contains("--conv cudnn needs a GPU"));
    // No cuDNN of this machine can work on the emulator, so there is none.
    CHECK_THAT(stage.refusal(tool, {"--device", "emulated", "--conv", "cudnn"}),
               Contains("libcudnn.so.9") && Contains("not found") && Contains("--conv fused"));
    CHECK_THAT(stage.refusal(tool, {"--device", "emulated", "--nets", "bf16", "--conv", "cudnn"}),
               Contains("--nets fp32 or tf32"));
  }
  CHECK_THAT(stage.refusal("train", {"--model", "glowing"}), Contains("'glowing'") && Contains("vardeq_2022"));
  CHECK_THAT(stage.refusal("train", {"--edition", "2023"}), Contains("'2023'") && Contains("2024, 2022 or jax"));
  CHECK_THAT(stage.refusal("train", {"--batch-size", "51"}), Contains("a batch of 50"));
  CHECK_THAT(stage.refusal("eval", {"--split", "all"}), Contains("'all'") && Contains("test, val or train"));
  CHECK_THAT(stage.refusal("encode", {"--split", "all"}), Contains("'all'"));
  CHECK_THAT(stage.refusal("encode", {"--split", "test", "--images", "x.npy"}), Contains("--images or --split"));
  for (const std::string temperature : {"-1", "-0.001"}) {
    CHECK_THAT(stage.refusal("sample", {"--temperature", temperature}), Contains("temperature"));
  }
  CHECK_THAT(stage.refusal("sample", {"--zoom", "0", "--npy", "new.npy"}), Contains("zoom"));
  CHECK_THAT(stage.refusal("sample", {"--columns", "-1", "--npy", "new.npy"}), Contains("column"));
  CHECK_THAT(stage.refusal("sample", {"-n", "1000000", "--npy", "new.npy"}), Contains("1000000"));  // before sampling
  CHECK_THAT(stage.refusal_of("info", {"--model", "multiscale", "--height", "6"}),
             Contains("3 x 14 pixels cannot be halved"));
  CHECK_THAT(stage.refusal("train", {"--couplings", "0"}), Contains("at least one coupling"));
  CHECK_THAT(stage.refusal_of("info", {"--couplings", "10"}), Contains("a multiple of 4, not 10"));
  CHECK_THAT(stage.refusal_of("info", {"--model", "simple", "--width", "0"}),
             Contains("data.width") && Contains("1 to 1024"));
  CHECK_THAT(stage.refusal("gradcheck", {}), Contains("no check has this name"));
  CHECK_THAT(stage.refusal("bench", {}), Contains("no benchmark has this name"));
  CHECK_THAT(stage.refusal("bench", {"--filter", "("}), Contains("'('"));
}

TEST_CASE("options that a tool cannot do without are asked for", "[cli]") {
  const Stage stage;
  const TempDir programs;  // not on the stage, whose every byte is compared
  const auto refusal_of_copy = [&](const std::string& tool, const Arguments& arguments) {  // no data/ lies around it
    const std::string program = programs.file("flowsmith");
    std::filesystem::copy_file(Stage::command(tool, {})[0], program, std::filesystem::copy_options::skip_existing);
    return stage.refusal_of_command(Arguments{program, tool} + arguments, "flowsmith " + tool + ": ");
  };
  const auto no_weights = Contains("--weights is missing, and there is no data/weights/multiscale.safetensors");
  CHECK_THAT(refusal_of_copy("eval", {}), no_weights);
  CHECK_THAT(refusal_of_copy("sample", {}), no_weights);
  CHECK_THAT(refusal_of_copy("encode", {"--out", "new"}), no_weights);
  CHECK_THAT(refusal_of_copy("decode", {"--latents", "z", "--out", "new"}), no_weights);
  CHECK_THAT(stage.refusal_of("encode", kWeights), Contains("--out is missing"));
  CHECK_THAT(stage.refusal_of("decode", kWeights), Contains("--latents is missing"));
  CHECK_THAT(stage.refusal_of("decode", kWeights + Arguments{"--latents", "z"}), Contains("--out is missing"));
  CHECK_THAT(stage.refusal_of("import", {"m.ckpt"}), Contains("OUT.safetensors"));
  CHECK_THAT(stage.refusal_of("parity", {}), Contains("IN.safetensors"));
  CHECK_THAT(stage.refusal_of("train", {"--lr"}), Contains("lr"));
}

TEST_CASE("weight files that are none are refused by name", "[cli]") {
  const Stage stage;
  const std::string good = stage.bytes("w.safetensors");
  const auto with_header = [&](const std::string& header) {
    std::string size(8, '\0');
    for (int i = 0; i < 8; ++i) size[i] = static_cast<char>(header.size() >> 8 * i & 0xff);
    return size + header;
  };
  stage.dir().write("empty", "");
  stage.dir().write("text", "These are no weights.");
  stage.dir().write("half", good.substr(0, good.size() / 2));
  stage.dir().write("longer", good + "x");
  stage.dir().write("huge-header", std::string(8, '\xff') + good.substr(8));
  stage.dir().write("lie", with_header("{\"w\":{\"dtype\":\"F32\",\"shape\":[1000000000000],\"data_offsets\":[0,4]}}") +
                               std::string(4, '\0'));
  stage.dir().write("stranger", with_header("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}") +
                                    std::string(4, '\0'));
  // Names out of a file go to the terminal as they are printed: no line breaks, no escape sequences.
  stage.dir().write("evil", with_header("{\"__metadata__\":{\"model\":\"a\\nb\\u001b[31m\",\"edition\":\"2024\"}}"));
  const Arguments files{"missing", ".", "empty", "text", "half", "longer", "huge-header", "lie", "stranger", "evil"};
  for (const std::string& file : files) {
    CHECK_THAT(stage.refusal_of("info", {"--weights", file}), Contains(file));
    if (file == "evil") CHECK_THAT(stage.refusal_of("info", {"--weights", file}), !Contains("\x1b"));
  }
  for (const std::string tool : {"eval", "sample", "encode", "decode"}) {
    for (const std::string file : {"missing", "half", "stranger"}) {
      Arguments arguments = good_arguments(tool);
      arguments[1] = file;
      CHECK_THAT(stage.refusal_of(tool, arguments), Contains(file));
    }
  }
  CHECK_THAT(stage.refusal_of("eval", {"--weights", "w.safetensors,missing", "--data", "tiny"}), Contains("missing"));
  CHECK_THAT(stage.refusal("parity", {}), Contains("in.safetensors"));
  CHECK_THAT(stage.refusal_of("parity", {"w.safetensors", "new"}), Contains("w.safetensors") && Contains("'lr'"));
}

TEST_CASE("checkpoints that are none are refused by name", "[cli]") {
  const Stage stage;
  CHECK_THAT(stage.refusal("import", {}), Contains("m.ckpt"));
  stage.dir().write("m.ckpt", "PK\x03\x04 but no more");
  CHECK_THAT(stage.refusal("import", {}), Contains("m.ckpt"));
  stage.dir().write("m.ckpt", stage.bytes("w.safetensors"));
  CHECK_THAT(stage.refusal("import", {}), Contains("m.ckpt"));
  // A genuine one, of something else.
  stage.dir().write("m.ckpt", bytes_of(std::string(FLOWSMITH_SOURCE_DIR) + "/tests/data/torch_small.ckpt"));
  CHECK_THAT(stage.refusal("import", {}), Contains("m.ckpt"));
}

TEST_CASE("datasets that are none are refused by name", "[cli]") {
  const Stage stage;
  std::filesystem::create_directory(stage.path("empty"));
  const auto images = [](std::uint32_t n, std::uint32_t magic = 0x803) {
    return idx_bytes(magic, {n, 8, 4}, tiny_images(n, 8, 4, 1));
  };
  const auto broken = [&](const std::string& name, const std::string& file, const std::string& bytes) {
    write_tiny_dataset(stage.dir(), name);
    std::filesystem::remove(stage.path(name + "/train-images-idx3-ubyte"));
    stage.dir().write(name + "/" + file, bytes);
  };
  const std::string packed = gzip(images(60));
  std::string damaged = packed;
  damaged[damaged.size() / 2] ^= 0x55;
  broken("cut", "train-images-idx3-ubyte.gz", packed.substr(0, packed.size() / 2));
  broken("damaged", "train-images-idx3-ubyte.gz", damaged);
  broken("magic", "train-images-idx3-ubyte", images(60, 0x801));
  broken("short", "train-images-idx3-ubyte", images(60).substr(0, 100));
  broken("labels", "train-images-idx3-ubyte", images(59));
  broken("gone", "something-else", "");
  for (const std::string data : {"empty", "cut", "damaged", "magic", "short", "labels", "gone", "nowhere",
                                 "w.safetensors", "tiny/t10k-labels-idx1-ubyte"}) {
    CHECK_THAT(stage.refusal("train", {"--data", data}), Contains(data));
  }
  for (const std::string tool : {"eval", "encode"}) {
    CHECK_THAT(stage.refusal(tool, {"--data", "empty"}), Contains("empty"));
    CHECK_THAT(stage.refusal(tool, {"--data", "cut"}), Contains("cut/train-images-idx3-ubyte.gz"));
  }
  write_tiny_dataset(stage.dir(), "wide", {60, 12, 4, 8});
  for (const std::string tool : {"eval", "encode"}) {
    CHECK_THAT(stage.refusal(tool, {"--data", "wide"}), Contains("wide") && Contains("4x8") && Contains("8x4"));
  }
  write_tiny_dataset(stage.dir(), "odd", {60, 12, 6, 6});
  CHECK_THAT(stage.refusal("train", {"--data", "odd", "--model", "multiscale"}),
             Contains("3 x 3 pixels cannot be halved"));
  write_tiny_dataset(stage.dir(), "few", {7, 1, 8, 4});
  CHECK_THAT(stage.refusal("train", {"--data", "few"}), Contains("few") && Contains("a batch of 6"));
  write_tiny_dataset(stage.dir(), "fewer", {1, 1, 8, 4});
  CHECK_THAT(stage.refusal("train", {"--data", "fewer"}), Contains("fewer") && Contains("at least 6"));
  CHECK_THAT(stage.refusal("eval", {"--data", "fewer", "--split", "val"}), Contains("no images"));
}

TEST_CASE("images and latents that do not fit are refused by name", "[cli]") {
  const Stage stage;
  const auto write_array = [&](const std::string& name, std::vector<std::int64_t> shape) {
    std::size_t count = 1;
    for (const std::int64_t dim : shape) count *= dim;
    const std::vector<std::uint8_t> values(count);
    write_npy<std::uint8_t>(stage.path(name), shape, values);
  };
  write_array("wide.npy", {2, 4, 8});
  write_array("none.npy", {0, 8, 4});
  write_array("flat.npy", {2, 32});
  const float one = 1;
  write_npy<float>(stage.path("float.npy"), std::array<std::int64_t, 3>{1, 1, 1}, {&one, 1});
  stage.dir().write("text.npy", "no array");
  for (const std::string file : {"wide.npy", "none.npy", "flat.npy", "float.npy", "text.npy", "missing.npy"}) {
    CHECK_THAT(stage.refusal_of("encode", kWeights + Arguments{"--images", file, "--out", "new.safetensors"}),
               Contains(file));
  }

  CHECK_THAT(stage.refusal("decode", {}), Contains("z.safetensors"));
  stage.output_of("encode", kWeights + Arguments{"--data", "tiny", "--out", "z.safetensors"});
  CHECK_THAT(stage.refusal("decode", {"--latents", "w.safetensors"}), Contains("w.safetensors") && Contains("z.final"));
  stage.write_weights("m.safetensors", "multiscale");
  Flow other(tutorial("simple", "2024", 8, 4));
  other.initialize(1);
  other.save(stage.path("other.safetensors"));
  for (const std::string weights : {"m.safetensors", "other.safetensors"}) {
    CHECK_THAT(stage.refusal_of("decode", {"--weights", weights, "--latents", "z.safetensors", "--out", "new.npy"}),
               Contains("z.safetensors") && Contains("other weights"));
  }
}

TEST_CASE("output that cannot be written is refused before the work, and leaves nothing", "[cli]") {
  const Stage stage;
  stage.dir().write("m.ckpt", "");
  stage.output_of("encode", kWeights + Arguments{"--data", "tiny", "--out", "z.safetensors"});
  const Arguments out{"--out"}, npy{"--npy"}, json{"--json"};
  const std::pair<std::string, std::string> options[] = {{"sample", "--out"}, {"sample", "--npy"}, {"encode", "--out"},
                                                         {"decode", "--out"}, {"eval", "--json"},  {"bench", "--json"}};
  for (const auto& [tool, option] : options) {
    Arguments arguments = good_arguments(tool);
    if (tool == "bench") arguments = {"--filter", "^squeeze", "--batch", "1"};
    for (const std::string path : {"w.safetensors/below", "nowhere/file", ".", "/dev/full", "/dev/null"}) {
      CHECK_THAT(stage.refusal_of(tool, arguments + Arguments{option, path}), Contains("'" + path + "'"));
    }
  }
  CHECK_THAT(stage.refusal("train", {"--out", "w.safetensors/run"}), Contains("w.safetensors/run"));
  CHECK_THAT(stage.refusal("train", {"--out", "w.safetensors"}), Contains("w.safetensors"));
  CHECK_THAT(stage.refusal("train", {"--out", std::string(300, 'a')}), Contains("aaa"));
  CHECK_THAT(stage.refusal("train", {"--out", std::string(5000, 'a')}), Contains("aaa"));
}

/// The command in a shell that lets no file grow beyond 512 bytes: how a full disk looks to a program.
Arguments on_full_disk(const Arguments& command) {
  return Arguments{"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"} + command;
}

TEST_CASE("a disk that is full in the middle of a file leaves no half of it", "[cli]") {
  const Stage stage;
  stage.output_of("encode", kWeights + Arguments{"--data", "tiny", "--split", "train", "--out", "z.safetensors"});
  for (const std::string tool : {"encode", "sample", "decode"}) {
    Arguments arguments = good_arguments(tool);
    if (tool == "sample") arguments = kWeights + Arguments{"-n", "40", "--npy", "new.npy"};
    if (tool == "decode") arguments = kWeights + Arguments{"--latents", "z.safetensors", "--out", "new.npy"};
    stage.dir().write("new.npy", "what was there before");
    CHECK_THAT(stage.refusal_of_command(on_full_disk(Workplace::command(tool, arguments)), "flowsmith " + tool + ": "),
               Contains("'new.") && Contains("File too large"));
  }
  // A run whose first checkpoint cannot be written can be started again once there is room.
  // It prints what it trains before it begins, and its folder goes again.
  const auto before = contents_of(stage.dir().path());
  const Outcome outcome =
      Program(on_full_disk(Workplace::quick_training(good_arguments("train"))), stage.dir().path()).wait();
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, Contains("new/last.safetensors") && Contains("File too large"));
  CHECK(contents_of(stage.dir().path()) == before);
  stage.output_of("train", good_arguments("train"));
}

TEST_CASE("a full disk behind stdout is an error", "[cli]") {
  const Stage stage;
  for (const std::string tool : {"info", "sample"}) {
    for (const Arguments& arguments : {good_arguments(tool), Arguments{"--help"}}) {
      const Outcome outcome = Program(Workplace::command(tool, arguments), stage.dir().path(), "/dev/full").wait();
      CHECK(outcome.code == 2);
      CHECK(outcome.err == "flowsmith " + tool + ": cannot write all of the output: is the disk full?\n");
    }
  }
}

TEST_CASE("train goes on only with the run that is there", "[cli][long]") {
  const Stage stage;
  CHECK_THAT(stage.refusal("train", {"--resume"}), Contains("new") && Contains("no run to resume"));
  CHECK_THAT(stage.refusal_of("train", {"--resume"}), Contains("no run to resume in runs/"));
  CHECK_THAT(stage.refusal_of("train", {"--resume", "--model", "multiscale"}), Contains("runs/multiscale"));
  stage.output_of("train", good_arguments("train"));
  CHECK_THAT(stage.refusal("train", {}), Contains("new already holds a run") && Contains("--resume"));
  const Arguments others[] = {{"--lr", "0.002"},     {"--lr-decay", "1"}, {"--clip-norm", "2"}, {"--model", "vardeq"},
                              {"--edition", "2022"}, {"--epochs", "3"},   {"--seed", "1"},      {"--batch-size", "11"},
                              {"--couplings", "9"},  {"--recompute"}};
  for (const Arguments& other : others) {
    CHECK_THAT(stage.refusal("train", Arguments{"--resume"} + other), Contains(other[0] + " differs"));
  }
  const std::string config = stage.bytes("new/config.json"), last = stage.bytes("new/last.safetensors");
  stage.dir().write("new/config.json", config.substr(0, 50));
  CHECK_THAT(stage.refusal("train", {"--resume"}), Contains("new/config.json"));
  stage.dir().write("new/config.json", config);
  stage.dir().write("new/last.safetensors", last.substr(0, last.size() - 1));
  CHECK_THAT(stage.refusal("train", {"--resume"}), Contains("new/last.safetensors"));
  std::filesystem::remove(stage.path("new/last.safetensors"));
  CHECK_THAT(stage.refusal("train", {"--resume"}), Contains("new/last.safetensors"));
  stage.dir().write("new/last.safetensors", last);
  std::filesystem::remove(stage.path("new/config.json"));
  CHECK_THAT(stage.refusal("train", {"--resume"}), Contains("new/config.json"));
  CHECK_THAT(stage.refusal("train", {}), Contains("already holds a run"));
}

}  // namespace
}  // namespace flowsmith::core
