// Whole runs in a folder: what they leave there, how they stop and how they go on.
#include <functional>
#include <limits>

#include "models/training_run.h"
#include "models/weights.h"
#include "tests/support/error_of.h"
#include "tests/support/run_program.h"
#include "tests/support/tiny_dataset.h"

namespace flowsmith {
namespace {

using Catch::Contains;

const std::string kHeader =
    "step,epoch,train_bits_per_dim,validation_bits_per_dim,gradient_norm,learning_rate,images_per_second";

class Observer : public TrainingObserver {
 public:
  void message(const std::string& line) override { messages += line + "\n"; }
  void progress(const TrainingProgress& p) override {
    phases += p.phase[0];
    if (on_progress) on_progress(p);
  }

  std::string messages, phases;  // phases: a letter for each step or batch
  std::function<void(const TrainingProgress&)> on_progress;
};

/// A folder with a dataset of 50 training images, five steps an epoch, and runs in it.
struct Runs {
  TempDir dir;
  RunConfig config;
  std::atomic<bool> stop{false};
  Observer observer;

  // Small images: most of the time goes into the 64 samples of each grid.
  explicit Runs(const TinySize& size = {60, 12, 4, 4}) {
    config.data = write_tiny_dataset(dir, "tiny", size);
    config.training.spec.architecture = Architecture::kSimple;
    config.training.batch_size = 10;
  }

  RunFolder folder(const std::string& name) const { return RunFolder(dir.file(name)); }
  RunSummary run(const std::string& name, std::int64_t max_steps, bool resume = false) {
    return run_training(config, folder(name), resume, {0, max_steps}, Device::kCpu, stop, observer);
  }
  std::string last(const std::string& name) const { return bytes_of(folder(name).last()); }
};

/// The rows of metrics.csv, up to images_per_second: the one column that no two runs share.
std::vector<std::string> rows_of(const RunFolder& folder) {
  const std::string text = bytes_of(folder.metrics());
  std::vector<std::string> rows;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string row = text.substr(begin, end - begin);
    rows.push_back(rows.empty() ? row : row.substr(0, row.rfind(',')));
  }
  CHECK(text.ends_with("\n"));
  CHECK(rows.at(0) == kHeader);
  rows.erase(rows.begin());
  return rows;
}

/// "1 2 3 4 5 v5 6": the steps of the rows, with a v for validations.
std::string steps_of(const std::vector<std::string>& rows) {
  std::string steps;
  for (const std::string& row : rows) {
    const std::string step = row.substr(0, row.find(','));
    const bool validation = row.substr(row.find(',', row.find(',') + 1)).starts_with(",,");
    steps += (steps.empty() ? "" : " ") + std::string(validation ? "v" : "") + step;
  }
  return steps;
}

TEST_CASE("a run has its folder to itself", "[training_run][long]") {
  Runs runs;
  runs.run("a", 1);
  const std::string before = runs.last("a");
  {
    const FolderLock other(runs.folder("a").path());
    CHECK_THAT(error_of([&] { runs.run("a", 2, true); }), Contains("another process") && Contains("wait"));
    CHECK(runs.last("a") == before);
  }
  CHECK(runs.run("a", 2, true).steps_done == 2);
}

TEST_CASE("a run leaves everything that its folder promises", "[training_run]") {
  Runs runs(TinySize{});
  runs.config.training.epochs = 1;
  const RunSummary summary = runs.run("a", 0);
  const RunFolder a = runs.folder("a");
  CHECK_FALSE(summary.interrupted);
  CHECK(summary.steps_done == 5);
  REQUIRE(summary.validation);
  CHECK(summary.validation->images == 10);
  REQUIRE(summary.test);
  CHECK(summary.test->images == 12);
  CHECK(summary.test->standard_error > 0);
  CHECK(std::filesystem::exists(summary.samples));
  CHECK(runs.observer.phases == "tttttvt");  // five steps, a validation, a test
  CHECK_THAT(runs.observer.messages, Contains("50 training and 10 validation images") && Contains("epoch 1: training"));

  std::string names;
  for (const auto& [name, bytes] : contents_of(a.path())) {
    names += (name.starts_with("events.out.tfevents.") ? "events" : name) + " ";
    CHECK_FALSE(bytes.empty());
  }
  CHECK(names ==
        "best.safetensors config.json events last.safetensors metrics.csv samples samples/best.png "
        "samples/step_0000000.png samples/step_0000005.png ");
  CHECK(steps_of(rows_of(a)) == "1 2 3 4 5 v5");
  const Dataset dataset = load_dataset(runs.config.data);
  const StepResult first = Trainer(runs.config.training, dataset, Device::kCpu).step();
  char row[80];
  std::snprintf(row, sizeof row, "1,1,%.7g,,%.7g,0.001", first.bits_per_dim, first.gradient_norm);
  CHECK(rows_of(a)[0] == row);
  const RunConfig config = a.read_config();
  CHECK(config.data == runs.config.data);
  CHECK(config.training.spec == ModelSpec{Architecture::kSimple, Edition::k2024, 8, 4});
  CHECK(config.training.epochs == 1);
  CHECK(config.training.batch_size == 10);
  CHECK(config.training.lr == 1e-3);
  CHECK(config.training.lr_decay == 0.99);
  CHECK(config.training.clip_norm == 1);
  CHECK(config.training.seed == 42);
  CHECK_FALSE(config.training.recompute);

  // The best weights are those that were validated, and best.safetensors says how good they are.
  const SafetensorsFile best = read_safetensors(a.best());
  CHECK(std::stod(best.metadata.at("validation_bits_per_dim")) == summary.validation->bits_per_dim);
  const SafetensorsFile last = read_safetensors(a.last());
  for (const NamedTensor& tensor : best.tensors) CHECK(tensor.data == last.find(tensor.name)->data);

  // There is nothing left to do: going on scores again and changes nothing.
  const std::string before = runs.last("a");
  const RunSummary again = runs.run("a", 0, true);
  CHECK(again.steps_done == 5);
  CHECK(again.test->bits_per_dim == summary.test->bits_per_dim);
  CHECK(again.validation->bits_per_dim == summary.validation->bits_per_dim);
  CHECK(runs.last("a") == before);
  CHECK(steps_of(rows_of(a)) == "1 2 3 4 5 v5");
}

TEST_CASE("a run that goes on ends with the bytes of one that never stopped", "[training_run][long]") {
  Runs runs;
  runs.config.training.spec.architecture = Architecture::kVardeq;
  runs.run("unbroken", 8);  // into the second epoch, with a validation on the way
  CHECK(steps_of(rows_of(runs.folder("unbroken"))) == "1 2 3 4 5 v5 6 7 8");
  runs.run("broken", 3);
  const std::string at_three = runs.last("broken");
  CHECK(runs.run("broken", 5, true).steps_done == 5);  // the limit is the end of the epoch: nothing is validated yet
  CHECK(steps_of(rows_of(runs.folder("broken"))) == "1 2 3 4 5 v5");
  CHECK(runs.run("broken", 8, true).steps_done == 8);
  CHECK_THAT(runs.observer.messages, Contains("resuming at step 5"));
  CHECK(runs.last("broken") == runs.last("unbroken"));
  CHECK(rows_of(runs.folder("broken")) == rows_of(runs.folder("unbroken")));

  // Killed after step 8 with nothing saved since step 3, in the middle of writing a row.
  runs.dir.write("broken/last.safetensors", at_three);
  runs.dir.write("broken/metrics.csv", bytes_of(runs.folder("broken").metrics()) + "9,2,3.1");
  CHECK(runs.run("broken", 8, true).steps_done == 8);
  CHECK(runs.last("broken") == runs.last("unbroken"));
  CHECK(rows_of(runs.folder("broken")) == rows_of(runs.folder("unbroken")));
}

TEST_CASE("a deep run that recomputes goes on to the bytes of one that never stopped, and reports its drift",
          "[training_run][long]") {
  Runs runs;
  runs.config.training.recompute = true;
  runs.config.training.spec.couplings = 10;
  runs.run("unbroken", 6);
  CHECK_THAT(runs.observer.messages, Contains("rebuilt inputs of couplings were off by ") && !Contains("by 0.0e+00"));
  runs.run("broken", 3);
  const RunConfig config = runs.folder("broken").read_config();
  CHECK(config.training.recompute);
  CHECK(config.training.spec.couplings == 10);
  runs.config = config;
  CHECK(runs.run("broken", 6, true).steps_done == 6);
  CHECK(runs.last("broken") == runs.last("unbroken"));
  CHECK(rows_of(runs.folder("broken")) == rows_of(runs.folder("unbroken")));
}

TEST_CASE("a run does not depend on the number of threads", "[training_run][long]") {
  Runs runs;
  for (const int threads : {1, 2}) {
    set_thread_count(threads);
    runs.run(std::to_string(threads), 6);
  }
  set_thread_count(0);
  CHECK(runs.last("1") == runs.last("2"));
  CHECK(bytes_of(runs.folder("1").best()) == bytes_of(runs.folder("2").best()));
  CHECK(rows_of(runs.folder("1")) == rows_of(runs.folder("2")));
  for (const std::string grid : {"0", "5", "6"}) {
    const std::string name = "/samples/step_000000" + grid + ".png";
    CHECK(bytes_of(runs.folder("1").path() + name) == bytes_of(runs.folder("2").path() + name));
  }
}

TEST_CASE("a run that is asked to stop writes a checkpoint and can go on", "[training_run][long]") {
  Runs runs;
  runs.run("unbroken", 7);
  for (const std::string phase : {"training", "validation"}) {
    INFO(phase);
    const bool training = phase == "training";
    const RunFolder broken = runs.folder(phase);
    runs.observer.on_progress = [&](const TrainingProgress& p) {
      if (p.phase == phase && (!training || p.done == 2)) runs.stop = true;
    };
    const RunSummary summary = runs.run(phase, 7);
    CHECK(summary.interrupted);
    CHECK(summary.steps_done == (training ? 2 : 5));
    CHECK_FALSE(summary.validation);
    CHECK_FALSE(summary.test);
    CHECK(read_safetensors(broken.last()).metadata.at("step") == std::to_string(summary.steps_done));
    CHECK(std::filesystem::exists(broken.sample_grid(summary.steps_done)));
    CHECK(steps_of(rows_of(broken)) == (training ? "1 2" : "1 2 3 4 5"));

    runs.stop = false;
    runs.observer.on_progress = nullptr;
    CHECK(runs.run(phase, 7, true).steps_done == 7);
    CHECK(runs.last(phase) == runs.last("unbroken"));
    CHECK(rows_of(broken) == rows_of(runs.folder("unbroken")));
  }
}

TEST_CASE("a time limit ends a run with scores", "[training_run]") {
  Runs runs;
  const RunSummary summary =
      run_training(runs.config, runs.folder("a"), false, {0.01, 0}, Device::kCpu, runs.stop, runs.observer);
  CHECK_FALSE(summary.interrupted);
  CHECK(summary.steps_done < 1000);  // of 200 epochs
  CHECK(summary.validation);
  CHECK(summary.test);
  CHECK(std::filesystem::exists(runs.folder("a").best()));
}

TEST_CASE("divergence is named and leaves the last checkpoint as it was", "[training_run]") {
  Runs runs;
  runs.config.training.lr = 1e30;
  runs.config.training.clip_norm = 0;
  const Dataset dataset = load_dataset(runs.config.data);
  write_safetensors(runs.dir.file("new.safetensors"),
                    Trainer(runs.config.training, dataset, Device::kCpu).checkpoint());
  const std::string message = error_of([&] { runs.run("a", 9); });
  CHECK_THAT(message, Contains("of step 2 is not finite") && Contains("layer flows.") && Contains("image "));
  CHECK(runs.last("a") == bytes_of(runs.dir.file("new.safetensors")));
  CHECK_NOTHROW(Flow::load(runs.folder("a").last()));
  CHECK(steps_of(rows_of(runs.folder("a"))) == "1");

  // A snapshot between the step that diverged and the one that would notice must not replace it either.
  const std::string early = error_of([&] {
    run_training(runs.config, runs.folder("b"), false, {0, 9, 0}, Device::kCpu, runs.stop, runs.observer);
  });
  CHECK_THAT(early, Contains("after step 1 the flow is not finite") && Contains("layer flows.") && Contains("image "));
  CHECK(runs.last("b") == bytes_of(runs.dir.file("new.safetensors")));
}

TEST_CASE("damaged weights are named when a run goes on", "[training_run]") {
  Runs runs;
  runs.run("a", 2);
  SafetensorsFile file = read_safetensors(runs.folder("a").last());
  for (NamedTensor& tensor : file.tensors) {
    if (tensor.name != "flows.7.network.nn.0.bias") continue;
    std::vector<float> values(32, std::numeric_limits<float>::quiet_NaN());
    tensor = NamedTensor::of<float>(tensor.name, tensor.shape, values);
  }
  write_safetensors(runs.folder("a").last(), file);
  const std::string before = runs.last("a");
  const std::string message = error_of([&] { runs.run("a", 4, true); });
  CHECK_THAT(message,
             Contains(runs.folder("a").last()) && Contains("flows.7.network.nn.0.bias") && Contains("not finite"));
  CHECK(runs.last("a") == before);
}

TEST_CASE("a run that cannot start leaves no folder", "[training_run]") {
  Runs runs;
  const auto complaint = [&](auto&& change) {
    RunConfig config = runs.config;
    change(config);
    const auto before = contents_of(runs.dir.path());
    const std::string message = error_of([&] {
      run_training(config, runs.folder("a"), false, {0, 1}, Device::kCpu, runs.stop, runs.observer);
    });
    CHECK(contents_of(runs.dir.path()) == before);
    return message;
  };
  CHECK_THAT(complaint([](auto& c) { c.training.batch_size = 51; }), Contains("--batch-size 50"));
  CHECK_THAT(complaint([](auto& c) { c.training.lr = -1; }), Contains("--lr"));
  CHECK_THAT(complaint([](auto& c) { c.data += "-not"; }), Contains("tiny-not"));
  runs.run("a", 1);
  CHECK_THAT(complaint([](auto&) {}), Contains("already holds a run") && Contains("--resume"));
}

TEST_CASE("a damaged folder does not go on", "[training_run]") {
  Runs runs;
  runs.run("a", 1);
  const RunFolder a = runs.folder("a");
  const std::string good = bytes_of(a.config());
  const auto complaint = [&](const std::string& text) {
    runs.dir.write("a/config.json", text);
    const std::string message = error_of([&] { a.read_config(); });
    CHECK_THAT(message, Contains(a.config()));
    return message;
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    const std::size_t at = good.find(from);
    REQUIRE(at != std::string::npos);
    return good.substr(0, at) + to + good.substr(at + from.size());
  };
  for (const std::string& text : {std::string(), std::string("null"), std::string("[1, 2]"), good.substr(0, 60),
                                  good + "x", std::string(1000, '['), std::string("\xff\xfe", 2)}) {
    complaint(text);
  }
  CHECK_THAT(complaint(with("\"lr\"", "\"lr_\"")), Contains("lr"));
  complaint(with("10", "\"ten\""));
  CHECK_THAT(complaint(with("10", "-10")), Contains("batch_size"));
  CHECK_THAT(complaint(with("10", "10.5")), Contains("batch_size"));
  CHECK_THAT(complaint(with("10", "1e300")), Contains("batch_size"));
  CHECK_THAT(complaint(with("10", "0")), Contains("--batch-size"));
  CHECK_THAT(complaint(with("simple", "simpler")), Contains("'simpler'"));
  CHECK_THAT(complaint(with("2024", "2020")), Contains("'2020'"));
  CHECK_THAT(complaint(std::string(2 << 20, ' ')), Contains("bytes"));
  complaint(with("\"recompute\": false", "\"recompute\": 1"));
  CHECK_THAT(complaint(with("\"couplings\": 8", "\"couplings\": -8")), Contains("couplings"));
  // As written before there were these two options.
  runs.dir.write("a/config.json", with(",\n  \"recompute\": false", ""));
  CHECK_FALSE(a.read_config().training.recompute);
  runs.dir.write("a/config.json", with("  \"couplings\": 8,\n", ""));
  CHECK(a.read_config().training.spec.couplings == 8);
  runs.dir.write("a/config.json", good);
  CHECK_NOTHROW(a.read_config());

  const std::string bytes = runs.last("a");
  runs.dir.write("a/last.safetensors", bytes.substr(0, bytes.size() / 2));
  CHECK_THAT(error_of([&] { runs.run("a", 2, true); }), Contains(a.last()));
  std::filesystem::copy_file(a.best(), a.last(), std::filesystem::copy_options::overwrite_existing);
  CHECK_THAT(error_of([&] { runs.run("a", 2, true); }), Contains(a.last()) && Contains("not a checkpoint"));
  CHECK_THAT(error_of([&] { runs.folder("nowhere").read_config(); }), Contains("nowhere: there is no run to resume"));
}

}  // namespace
}  // namespace flowsmith
