// Whole runs in a folder: what they leave there, how they stop and how they go on.
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "models/files/weights.h"
#include "models/runs/evaluation.h"
#include "models/runs/training_run.h"
#include "tests/support/error_of.h"
#include "tests/support/run_program.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const std::string kHeader = "step,epoch,train_bpd,val_bpd,test_bpd,gradient_norm,learning_rate,images_per_second";

class Observer : public TrainingObserver {
 public:
  void message(const std::string& line) override { messages += line + "\n"; }
  void progress(const TrainingProgress& p) override {
    if (p.phase != "samples") phases += p.phase[0];
    if (on_progress) on_progress(p);
  }

  std::string messages, phases;  // phases: a letter for each step, or batch that was scored
  std::function<void(const TrainingProgress&)> on_progress;
};

/// A folder with a dataset of 50 training images, five steps an epoch, and runs in it.
struct Runs {
  TempDir dir;
  RunConfig config;
  Device device = Device::kCpu;
  std::atomic<bool> stop{false};
  Observer observer;

  // Small images: most of the time goes into the 64 samples of each grid.
  explicit Runs(const TinySize& size = {60, 12, 4, 4}) {
    config.data = write_tiny_dataset(dir, "tiny", size);
    config.training.flow = tutorial("simple");
    config.training.batch_size = 10;
  }

  RunFolder folder(const std::string& name) const { return RunFolder(dir.file(name)); }
  RunSummary run(const std::string& name, std::int64_t max_steps, bool resume = false) {
    return run_training(config, RunClaim(folder(name)), resume, {0, max_steps}, device, stop, observer);
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

/// "1 2 3 4 5 v5 6 t6": the steps of the rows, with a v for validations and a t for tests.
std::string steps_of(const std::vector<std::string>& rows) {
  std::string steps;
  for (const std::string& row : rows) {
    const std::string step = row.substr(0, row.find(','));
    const std::string rest = row.substr(row.find(',', row.find(',') + 1) + 1);  // from the training loss on
    const std::string kind = rest.starts_with(",,") ? "t" : rest.starts_with(",") ? "v" : "";
    steps += (steps.empty() ? "" : " ") + kind + step;
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
  CHECK(summary.validation->examples == 10);
  REQUIRE(summary.test);
  CHECK(summary.test->examples == 12);
  CHECK(summary.test->standard_error > 0);
  CHECK(std::filesystem::exists(summary.samples));
  CHECK(runs.observer.phases == "tttttvtt");  // five steps, a validation of 10 images, a test of 10 and 2
  CHECK_THAT(runs.observer.messages, Contains("50 training and 10 validation images") && Contains("epoch 1: training"));

  std::string names;
  for (const auto& [name, bytes] : contents_of(a.path())) {
    names += (name.starts_with("events.out.tfevents.") ? "events" : name) + " ";
    CHECK_FALSE(bytes.empty());
  }
  CHECK(names ==
        "best.safetensors config.json events last.safetensors metrics.csv results.json samples samples/best.png "
        "samples/step_0000000.png samples/step_0000005.png training_examples.png ");
  CHECK(steps_of(rows_of(a)) == "1 2 3 4 5 v5 t5");
  const Dataset dataset = load_dataset(runs.config.data);
  const StepResult first = trainer_for(runs.config.training, dataset, Device::kCpu).step();
  char row[80];
  std::snprintf(row, sizeof row, "1,1,%.7g,,,%.7g,0.001", first.loss, first.gradient_norm);
  CHECK(rows_of(a)[0] == row);
  const RunConfig config = a.read_config();
  CHECK(config.data == runs.config.data);
  CHECK(config.training.flow == tutorial("simple", "2024", 8, 4));
  CHECK(config.training.epochs == 1);
  CHECK(config.training.batch_size == 10);
  CHECK(config.training.lr == 1e-3);
  CHECK(config.training.lr_decay == 0.99);
  CHECK(config.training.clip_norm == 1);
  CHECK(config.training.seed == 42);
  CHECK_FALSE(config.training.recompute);

  // The best weights are those that were validated, and best.safetensors says how good they are.
  const SafetensorsFile best = read_safetensors(a.best());
  CHECK(std::stod(best.metadata.at("val_bpd")) == summary.validation->mean);
  CHECK(std::stod(best.metadata.at("test_bpd")) == summary.test->mean);
  const nlohmann::json results = nlohmann::json::parse(bytes_of(a.results()));
  CHECK(results.at("step") == 5);
  CHECK(results.at("val_bpd").at("mean") == summary.validation->mean);
  CHECK(results.at("test_bpd").at("mean") == summary.test->mean);
  CHECK(results.at("test_bpd").at("examples") == 12);
  CHECK(results.at("test_bpd").at("of") == 12);
  const SafetensorsFile last = read_safetensors(a.last());
  for (const NamedTensor& tensor : best.tensors) CHECK(tensor.data == last.find(tensor.name)->data);

  // There is nothing left to do: going on scores again and changes nothing.
  const std::string before = runs.last("a");
  const RunSummary again = runs.run("a", 0, true);
  CHECK(again.steps_done == 5);
  CHECK(again.test->mean == summary.test->mean);
  CHECK(again.validation->mean == summary.validation->mean);
  CHECK(runs.last("a") == before);
  CHECK(steps_of(rows_of(a)) == "1 2 3 4 5 v5 t5");
}

TEST_CASE("a run that goes on ends with the bytes of one that never stopped", "[training_run][long]") {
  Runs runs;
  runs.config.training.flow = tutorial("vardeq");
  runs.run("unbroken", 8);  // into the second epoch, with a validation on the way
  CHECK(steps_of(rows_of(runs.folder("unbroken"))) == "1 2 3 4 5 v5 6 7 8 v8 t8");
  runs.run("broken", 3);
  const std::string at_three = runs.last("broken");
  CHECK(runs.run("broken", 5, true).steps_done == 5);  // the limit is the end of the epoch: nothing is validated yet
  CHECK(steps_of(rows_of(runs.folder("broken"))) == "1 2 3 4 5 v5 t5");
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
  runs.config.training.flow = tutorial("simple").with_couplings(10);
  runs.run("unbroken", 6);
  CHECK_THAT(runs.observer.messages, Contains("rebuilt inputs of couplings were off by ") && !Contains("by 0.0e+00"));
  runs.run("broken", 3);
  const RunConfig config = runs.folder("broken").read_config();
  CHECK(config.training.recompute);
  CHECK(config.training.flow.couplings() == 10);
  runs.config = config;
  CHECK(runs.run("broken", 6, true).steps_done == 6);
  CHECK(runs.last("broken") == runs.last("unbroken"));
  CHECK(rows_of(runs.folder("broken")) == rows_of(runs.folder("unbroken")));
}

TEST_CASE("a run does not depend on the number of threads", "[training_run][long]") {
  Runs runs;
  for (const int threads : {1, 2}) {
    runs.device.threads = threads;
    runs.run(std::to_string(threads), 6);
  }
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
    // At the end of the epoch the picture is there already; nobody waits for one that is not.
    CHECK(std::filesystem::exists(broken.sample_grid(summary.steps_done)) == !training);
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
      run_training(runs.config, RunClaim(runs.folder("a")), false, {0.01, 0}, Device::kCpu, runs.stop, runs.observer);
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
  SafetensorsFile fresh = trainer_for(runs.config.training, dataset, Device::kCpu).checkpoint();
  set_origin(fresh, {runs.config.data, runs.config.training.seed});
  write_safetensors(runs.dir.file("new.safetensors"), fresh);
  const std::string message = error_of([&] { runs.run("a", 9); });
  CHECK_THAT(message, Contains("of step 2 is not finite") && Contains("layer flows.") && Contains("image "));
  CHECK(runs.last("a") == bytes_of(runs.dir.file("new.safetensors")));
  CHECK_NOTHROW(Flow::load(runs.folder("a").last()));
  CHECK(steps_of(rows_of(runs.folder("a"))) == "1");

  // A snapshot between the step that diverged and the one that would notice must not replace it either.
  const std::string early = error_of([&] {
    run_training(runs.config, RunClaim(runs.folder("b")), false, {0, 9, 0}, Device::kCpu, runs.stop, runs.observer);
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
      run_training(config, RunClaim(runs.folder("a")), false, {0, 1}, Device::kCpu, runs.stop, runs.observer);
    });
    CHECK(contents_of(runs.dir.path()) == before);
    return message;
  };
  CHECK_THAT(complaint([](auto& c) { c.training.batch_size = 51; }), Contains("a batch of 50 or less"));
  CHECK_THAT(complaint([](auto& c) { c.training.lr = -1; }), Contains("learning rate"));
  CHECK_THAT(complaint([](auto& c) { c.data += "-not"; }), Contains("tiny-not"));
  runs.run("a", 1);
  CHECK_THAT(complaint([](auto&) {}), Contains("already holds a run") && Contains("resume it"));
}

/// `text` with `to` instead of the last `from`.
std::string with_last(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.rfind(from);
  REQUIRE(at != std::string::npos);
  return text.substr(0, at) + to + text.substr(at + from.size());
}

TEST_CASE("runs that earlier versions began go on", "[training_run]") {
  Runs runs;
  runs.run("a", 1);
  const RunFolder a = runs.folder("a");
  const std::string old =
      R"({"model": "multiscale", "edition": "2022", "height": 8, "width": 4, "couplings": 12, "data": "somewhere",
          "epochs": 7, "batch_size": 10, "lr": 0.01, "lr_decay": 0.5, "clip_norm": 0.0, "seed": 3, "recompute": true})";
  const auto read = [&](const std::string& text) {
    runs.dir.write("a/config.json", text);
    return a.read_config();
  };
  const RunConfig config = read(old);
  CHECK(config.training.flow == tutorial("multiscale", "2022", 8, 4, 12));
  CHECK(config.data == "somewhere");
  CHECK(config.training.epochs == 7);
  CHECK(config.training.batch_size == 10);
  CHECK(config.training.lr == 0.01);
  CHECK(config.training.lr_decay == 0.5);
  CHECK(config.training.clip_norm == 0);
  CHECK(config.training.seed == 3);
  CHECK(config.training.recompute);
  // As written before there were these two options.
  CHECK_FALSE(read(with_last(old, R"(, "recompute": true)", "")).training.recompute);
  CHECK(read(with_last(old, R"("couplings": 12, )", "")).training.flow == tutorial("multiscale", "2022", 8, 4));

  const auto complaint = [&](const std::string& from, const std::string& to) {
    const std::string message = error_of([&] { read(with_last(old, from, to)); });
    CHECK_THAT(message, Contains(a.config()));
    return message;
  };
  CHECK_THAT(complaint("multiscale", "simpler"), Contains("'simpler'") && Contains("simple, vardeq or multiscale"));
  CHECK_THAT(complaint("2022", "2020"), Contains("'2020'"));
  CHECK_THAT(complaint("\"edition\"", "\"editor\""), Contains("edition"));
  CHECK_THAT(complaint("12", "-12"), Contains("couplings"));
  CHECK_THAT(complaint("12", "10"), Contains("multiple of 4"));
  CHECK_THAT(complaint("\"height\": 8", "\"height\": 0"), Contains("height"));
  CHECK_THAT(complaint("\"width\": 4", "\"width\": 4.5"), Contains("width"));

  // Metrics without a column for tests.
  runs.dir.write("old.csv",
                 "step,epoch,train_bits_per_dim,validation_bits_per_dim,gradient_norm,learning_rate,images_per_second\n"
                 "1,1,9.5,,3,0.001,50\n1,1,,8.5,,,\n2,1,9,,3,0.001,50\n");
  MetricsLog(runs.dir.file("old.csv"), "bits/dim", 1, 0).write({2, 1, 7.5, {}, {}, 2, 1e-3, 60});
  CHECK(bytes_of(runs.dir.file("old.csv")) == kHeader + "\n1,1,9.5,,,3,0.001,50\n1,1,,8.5,,,,\n2,1,7.5,,,2,0.001,60\n");

  // A whole run with its old checkpoint.
  const TrainingOptions& t = runs.config.training;
  read(R"({"model": "simple", "edition": "2024", "height": 4, "width": 4, "data": ")" + runs.config.data +
       R"(", "epochs": 200, "batch_size": 10, "lr": 0.001, "lr_decay": 0.99, "clip_norm": 1.0, "seed": )" +
       std::to_string(t.seed) + "}");
  SafetensorsFile checkpoint = read_safetensors(a.last());
  checkpoint.metadata.erase("config");
  checkpoint.metadata.insert({{"model", "simple"}, {"edition", "2024"}, {"height", "4"}, {"width", "4"}});
  write_safetensors(a.last(), checkpoint);
  runs.config = a.read_config();
  CHECK(runs.run("a", 3, true).steps_done == 3);
  Runs others;
  others.config.data = runs.config.data;
  others.run("b", 3);
  CHECK(runs.last("a") == others.last("b"));
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
  /// With the last `from`: the flow, which has keys of the same names, stands in front.
  const auto with = [&](const std::string& from, const std::string& to) { return with_last(good, from, to); };
  for (const std::string& text : {std::string(), std::string("null"), std::string("[1, 2]"), good.substr(0, 60),
                                  good + "x", std::string(1000, '['), std::string("\xff\xfe", 2)}) {
    complaint(text);
  }
  CHECK_THAT(complaint(with("\"lr\"", "\"lr_\"")), Contains("lr"));
  const auto with_batch = [&](const std::string& text) {
    return complaint(with("\"batch_size\": 10", "\"batch_size\": " + text));
  };
  with_batch("\"ten\"");
  CHECK_THAT(with_batch("-10"), Contains("batch_size"));
  CHECK_THAT(with_batch("10.5"), Contains("batch_size"));
  CHECK_THAT(with_batch("1e300"), Contains("batch_size"));
  CHECK_THAT(with_batch("0"), Contains("batch_size") || Contains("batch size"));
  CHECK_THAT(complaint(with("\"flow\"", "\"flaw\"")),
             Contains("not the configuration of a run") && !Contains("exception"));
  CHECK_THAT(complaint(with("checkerboard", "chequerboard")), Contains("layers.0.mask") && Contains("'chequerboard'"));
  CHECK_THAT(complaint(with("2024", "2020")), Contains("layers.0.conditioner.edition") && Contains("'2020'"));
  CHECK_THAT(complaint(with("\"repeat\": 8", "\"repeat\": -8")), Contains("layers.0.repeat") && Contains("'-8'"));
  CHECK_THAT(complaint(std::string(2 << 20, ' ')), Contains("bytes"));
  complaint(with("\"recompute\": false", "\"recompute\": 1"));
  // As written before there was this option.
  runs.dir.write("a/config.json", with(",\n  \"recompute\": false", ""));
  CHECK_FALSE(a.read_config().training.recompute);
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
}  // namespace flowsmith::core
