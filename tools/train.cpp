// flowsmith train: learns a flow from images or numbers.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "data/dataset.h"
#include "models/runs/training_run.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/model_option.h"
#include "tools/pictures/report.h"
#include "tools/progress.h"
#include "tools/table.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

// What a signal handler touches, which may do no more than set a flag, write to a file descriptor and end the process.
std::atomic<bool> stop_requested{false};
volatile std::sig_atomic_t stop_signal = 0;
std::string stop_now_text;  // made before the handlers are there

std::string command;  // that people typed

void write_text(const char* text, std::size_t size) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);  // to nobody, if it fails
}

/// The first signal is answered at once, and the run stops after the step in hand. The second one ends the process:
/// files are written beside their names and renamed, so the last checkpoint is whole.
void request_stop(int signal) {
  if (stop_requested.exchange(true)) {
    write_text(stop_now_text.data(), stop_now_text.size());
    ::_exit(128 + signal);
  }
  stop_signal = signal;
  constexpr std::string_view kAnswer = "\nstopping after this step; again to stop now\n";
  write_text(kAnswer.data(), kAnswer.size());
}

void install_signal_handlers(const RunFolder& folder) {
  stop_now_text = "\nstopped at once; the last checkpoint is " + folder.last() + "\n";
  struct sigaction action {};
  action.sa_handler = request_stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // In `flowsmith train | tee log`, Ctrl-C ends tee first: the run then stops with a checkpoint, as for a signal.
  std::signal(SIGPIPE, SIG_IGN);
}

class Console : public TrainingObserver {
 public:
  /// `json`: a file for one JSON object per line, or empty.
  Console(bool images, const std::string& json)
      : unit_(images ? "bits/dim" : "nats"), examples_(images ? "images" : "rows") {
    if (!json.empty()) json_.emplace(json);
  }

  /// One object as a line.
  void write(const nlohmann::ordered_json& object) {
    using Json = nlohmann::ordered_json;
    if (json_) json_->append(object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }

  void message(const std::string& line) override {
    line_.say(line);
    write({{"message", line}});
    stop_without_reader();
  }

  void progress(const TrainingProgress& p) override {
    const bool training = p.phase == "training", samples = p.phase == "samples";
    // The loss of one batch jumps about: what is shown is a running mean of about the last twenty.
    if (training) loss_ = steps_++ == 0 ? p.loss : loss_ + (p.loss - loss_) * std::max(1.0 / steps_, 0.05);
    const std::string count = std::to_string(p.done) + "/" + std::to_string(p.total);
    const std::string rate = number_text("%.0f", p.images_per_second) + " " + examples_ + "/s";
    const std::string eta = "ETA " + clock_text(p.eta_seconds);
    if (training) {
      const std::string epoch = "epoch " + std::to_string(p.epoch) + "/" + std::to_string(p.epochs);
      line_.show(p.share,
                 {{"step " + count, 2},
                  {epoch, 4},
                  {number_text("%.4f ", loss_) + unit_, 0},
                  {"gradient norm " + number_text("%.3g", p.gradient_norm), 5},
                  {rate, 3},
                  {eta, 1}},
                 p.phase != phase_);
    } else if (!samples || p.eta_seconds > 1) {
      line_.show(p.share, {{p.phase + " " + count + " " + examples_, 0}, {rate, 3}, {eta, 1}},
                 p.phase != phase_ && !samples);
    }
    phase_ = p.phase;
    if (training) {
      write({{"phase", p.phase},
             {"step", p.done},
             {"steps", p.total},
             {"epoch", p.epoch},
             {"loss", p.loss},
             {"gradient_norm", p.gradient_norm},
             {examples_ + "_per_second", p.images_per_second},
             {"eta_seconds", p.eta_seconds}});
    } else {
      write({{"phase", p.phase}, {"done", p.done}, {"total", p.total}, {"eta_seconds", p.eta_seconds}});
    }
    stop_without_reader();
  }

  void clear() { line_.clear(); }

 private:
  static void stop_without_reader() {
    if (std::ferror(stdout) != 0 && reader_is_gone(stdout)) stop_requested = true;
  }

  ProgressLine line_{stdout};
  std::optional<AppendFile> json_;
  double loss_ = 0;
  std::int64_t steps_ = 0;
  std::string phase_;
  std::string unit_, examples_;
};

/// Without --out: runs/MODEL, or runs/MODEL-2, -3, ...
RunFolder default_folder(const std::string& model, int i) {
  return RunFolder("runs/" + model + (i > 1 ? "-" + std::to_string(i) : ""));
}

/// The folder in runs/ whose checkpoint is the newest.
RunFolder newest_run() {
  namespace fs = std::filesystem;
  std::optional<RunFolder> newest;
  fs::file_time_type time;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("runs", error)) {
    const RunFolder run("runs/" + entry.path().filename().string());
    const fs::file_time_type written = fs::last_write_time(run.last(), error);
    if (error || !run.holds_run() || (newest && written <= time)) continue;
    newest = run;
    time = written;
  }
  if (!newest) throw Error("there is no run to resume in runs/: leave --resume out, or name its --out");
  std::printf("resuming %s\n", newest->path().c_str());
  return *newest;
}

/// The folder of the run that the options name, for this process alone.
std::unique_ptr<RunClaim> claim_to_resume(const std::string& out, const std::string& model) {
  RunFolder folder(out);
  if (out.empty() && model.empty()) {
    folder = newest_run();
  } else if (out.empty()) {
    int i = 1;
    while (default_folder(model, i + 1).holds_run()) ++i;
    folder = default_folder(model, i);
  }
  require_open_folder(folder.path());
  if (!folder.holds_run()) {
    throw Error(folder.path() + ": there is no run to resume here: leave --resume out, or name its --out");
  }
  return std::make_unique<RunClaim>(folder);
}

/// That of a new run. Looks for a free one, in case of doubt, with the folder in hand: another run may begin just now.
std::unique_ptr<RunClaim> claim_to_begin(const std::string& out, const std::string& model) {
  if (!out.empty()) {
    auto claim = std::make_unique<RunClaim>(RunFolder(out));
    if (!claim->folder().holds_run()) return claim;
    throw Error(out + " already holds a run: continue it with --resume, or choose another --out");
  }
  for (int i = 1;; ++i) {
    if (default_folder(model, i).holds_run()) continue;
    try {
      auto claim = std::make_unique<RunClaim>(default_folder(model, i));
      if (!claim->folder().holds_run()) return claim;
    } catch (const FolderTaken&) {
      // by another new run
    }
  }
}

/// The run's own value, unless the option was given and says something else.
template <class T>
void require_same(const cxxopts::ParseResult& options, const std::string& name, const T& of_run) {
  if (options.count(name) == 0 || options[name].as<T>() == of_run) return;
  throw Error("--" + name +
              " differs from that of the run to resume: leave it out, or start a new run in another --out");
}

/// The configuration with one key changed by an option that not every flow has.
FlowConfig with_option(const FlowConfig& config, const std::string& option, const std::string& key,
                       const std::string& value) {
  try {
    return config.with(key, value);
  } catch (const Error& error) {
    throw Error("--" + option + ": " + error.what());
  }
}

/// Throws Error naming the option whose value makes no sense.
void require_options(const TrainingOptions& t) {
  const auto check = [](const std::string& option, auto member, auto value) {
    TrainingOptions alone;
    alone.*member = value;
    naming_options("--" + option, [&] { require_valid(alone); });
  };
  check("epochs", &TrainingOptions::epochs, t.epochs);
  check("batch-size", &TrainingOptions::batch_size, t.batch_size);
  check("lr", &TrainingOptions::lr, t.lr);
  check("lr-decay", &TrainingOptions::lr_decay, t.lr_decay);
  check("clip-norm", &TrainingOptions::clip_norm, t.clip_norm);
}

RunConfig config_of_options(const cxxopts::ParseResult& options) {
  RunConfig config;
  TrainingOptions& t = config.training;
  t.flow = config_from(options);
  const TrainingDefaults defaults = t.flow.training();
  const auto real = [&](const char* name, double of_model) {
    return options.count(name) > 0 ? options[name].as<Real>().value : of_model;
  };
  t.epochs = options.count("epochs") > 0 ? options["epochs"].as<int>() : defaults.epochs;
  t.batch_size = options.count("batch-size") > 0 ? options["batch-size"].as<int>() : defaults.batch_size;
  t.lr = real("lr", defaults.lr);
  t.lr_decay = real("lr-decay", defaults.lr_decay);
  t.clip_norm = real("clip-norm", defaults.clip_norm);
  t.seed = options["seed"].as<std::uint64_t>();
  t.recompute = options["recompute"].as<bool>();
  if (options.count("pad") > 0)
    t.flow = with_option(t.flow, "pad", "data.pad", std::to_string(options["pad"].as<int>()));
  if (options["transpose"].as<bool>()) t.flow = with_option(t.flow, "transpose", "data.transpose", "true");
  if (options["standardize"].as<bool>()) t.flow = with_option(t.flow, "standardize", "data.standardize", "true");
  if (options.count("channels") > 0) config.channels = options["channels"].as<int>();
  if (config.channels != 0 && config.channels != 1 && config.channels != 3) throw Error("--channels must be 1 or 3");
  if (options.count("noise") > 0) config.noise = options["noise"].as<Real>().value;
  config.data = lasting_source(options.count("data") > 0 ? options["data"].as<std::string>() : defaults.data);
  config.command = command;
  require_options(t);
  return config;
}

RunConfig config_to_resume(const cxxopts::ParseResult& options, const RunFolder& folder) {
  RunConfig config = folder.read_config();
  const TrainingOptions& t = config.training;
  // What says the least first: of --model simple --couplings 9 the couplings are to blame.
  for (auto option = std::rbegin(kModelOptions); option != std::rend(kModelOptions); ++option) {
    const char* const name = *option;
    if (options.count(name) == 0) continue;
    const MapShape shape = t.flow.data_shape();
    if (config_from(options, t.flow).with_shape(shape.h, shape.w, shape.c) == t.flow) break;
    throw Error("--" + std::string(name) +
                " differs from that of the run to resume: leave it out, or start a new run in another --out");
  }
  // A data set may have moved: the run checks that it is the same.
  if (options.count("data") > 0 && !config.checksum.empty()) {
    config.data = lasting_source(options["data"].as<std::string>());
  } else if (options.count("data") > 0 && lasting_source(options["data"].as<std::string>()) != config.data) {
    require_same(options, "data", config.data);
  }
  require_same(options, "channels", config.channels);
  if (options.count("noise") > 0) require_same(options, "noise", Real{config.noise.value_or(NAN)});
  require_same(options, "pad", t.flow.pad());
  require_same(options, "transpose", t.flow.transposes());
  require_same(options, "standardize", t.flow.standardizes());
  if (options.count("epochs") > 0 && options["epochs"].as<int>() > t.epochs) {
    config.training.epochs = options["epochs"].as<int>();  // a longer run
  }
  require_same(options, "epochs", t.epochs);
  require_same(options, "batch-size", t.batch_size);
  require_same(options, "lr", Real{t.lr});
  require_same(options, "lr-decay", Real{t.lr_decay});
  require_same(options, "clip-norm", Real{t.clip_norm});
  require_same(options, "seed", t.seed);
  require_same(options, "recompute", t.recompute);
  return config;
}

void print_score(const char* name, const Score& score, bool images) {
  std::string of = std::to_string(score.examples);
  if (score.examples < score.all) of = "first " + of + " of " + std::to_string(score.all);
  std::printf("%-11s %.4f +- %.4f %s (%s %s)\n", name, score.mean, score.standard_error, images ? "bits/dim" : "nats",
              of.c_str(), images ? "images, one sample" : "rows");
}

/// Writes the page about a run that has ended, and says where it is. The run is whole without it: what keeps it from
/// being written is said, and no more.
void write_report(const RunFolder& folder, Device device) {
  constexpr int kExamples = 64;  // of the test set: seconds on two cores
  if (device.kind == DeviceKind::kEmulated || device.kind == DeviceKind::kReference) device = Device::kCpu;  // quicker
  try {
    write_file_atomically(folder.report(), report_of(folder, device, {.examples = kExamples}));
    std::printf("report      %s\n", folder.report().c_str());
  } catch (const Error& error) {
    std::printf("no report   %s\n", one_line(error.what()).c_str());
  }
}

int train(const cxxopts::ParseResult& options) {
  const Device device = device_from(options);
  const bool resume = options["resume"].as<bool>();
  RunConfig config = config_of_options(options);
  const std::string out = options["out"].as<std::string>();
  const bool any_model = options.count("model") + options.count("config") == 0;
  const std::string model = config.training.flow.name();
  const std::unique_ptr<RunClaim> claim =
      resume ? claim_to_resume(out, any_model ? "" : model) : claim_to_begin(out, model);
  const RunFolder& folder = claim->folder();
  if (resume) config = config_to_resume(options, folder);
  const RunLimits limits{options["max-minutes"].as<Real>().value, options["max-steps"].as<std::int64_t>(),
                         options["snapshot-seconds"].as<Real>().value, options["frames"].as<std::int64_t>()};
  if (!(limits.max_minutes >= 0) || limits.max_steps < 0 || limits.frame_steps < 0 || !(limits.snapshot_seconds >= 0)) {
    throw Error("--max-minutes, --max-steps, --frames and --snapshot-seconds must be 0 or more");
  }

  const std::string json = options.count("json") > 0 ? output_named(options["json"].as<std::string>()) : "";
  const TrainingOptions& t = config.training;
  const std::string data = options.count("data") > 0 ? options["data"].as<std::string>() : config.data;
  std::printf("training %s on %s, device %s, batch %d, seed %llu%s\n", t.flow.name().c_str(), data.c_str(),
              describe_device(device).c_str(), t.batch_size, static_cast<unsigned long long>(t.seed),
              t.recompute ? ", recompute" : "");
  std::fflush(stdout);
  install_signal_handlers(folder);
  Console console(t.flow.takes_images(), json);
  const RunSummary summary = run_training(config, *claim, resume, limits, device, stop_requested, console);
  console.clear();
  nlohmann::ordered_json result{
      {"interrupted", summary.interrupted}, {"step", summary.steps_done}, {"folder", folder.path()}};
  const auto add = [&](const char* set, const std::optional<Score>& score) {
    if (score)
      result[set] = {{"mean", score->mean}, {"standard_error", score->standard_error}, {"examples", score->examples}};
  };
  add("validation", summary.validation);
  add("test", summary.test);
  console.write({{"result", result}});

  if (summary.interrupted) {
    std::printf("stopped at step %lld, checkpoint written\n", static_cast<long long>(summary.steps_done));
  } else {
    std::printf("done at step %lld\n", static_cast<long long>(summary.steps_done));
    if (summary.validation) print_score("validation", *summary.validation, t.flow.takes_images());
    if (summary.test) print_score("test", *summary.test, t.flow.takes_images());
    std::printf("weights     %s\n", folder.best().c_str());
    std::printf("score them  %s --weights %s\n", tool_command("eval").c_str(), quoted(folder.best()).c_str());
  }
  if (!summary.samples.empty()) std::printf("samples     %s\n", summary.samples.c_str());
  if (!summary.interrupted && !options["no-report"].as<bool>()) write_report(folder, device);
  std::printf("resume with %s --resume --out %s\n", tool_command("train").c_str(), quoted(folder.path()).c_str());
  return stop_signal == 0 ? 0 : 128 + stop_signal;
}

}  // namespace

int train_tool(int argc, char** argv) {
  command = "flowsmith train";
  for (int i = 1; i < argc; ++i) command += " " + quoted(argv[i]);
  cxxopts::Options options("flowsmith train",
                           "Trains a normalizing flow on images or numbers by maximum likelihood.\n");
  add_model_options(options);
  // clang-format off
  options.add_options()
      ("data", "Folder of IDX files, CIFAR-10's binary files or PNG images, or a name below data/; a toy density (moons, "
       "rings, pinwheel, checkerboard, spirals, gaussians); or a .npy, .npz or .csv file of N x D numbers: docs/datasets.md "
       "(default: the model's; mnist of the tutorial's)", cxxopts::value<std::string>())
      ("channels", "Convert images to 1 (grey) or 3 (colour) channels (default: as they are)", cxxopts::value<int>())
      ("pad", "Centre images on black squares of this side (default: as they are)", cxxopts::value<int>())
      ("transpose", "Exchange rows and columns of images that are stored column by column; EMNIST's are known by name (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("standardize", "Bring each column of numbers to mean 0 and standard deviation 1 first; undone in samples (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("noise", "Of a toy density (default: its own)", cxxopts::value<Real>())
      ("epochs", "Passes over the training set (default: the model's; 200 of the tutorial's)", cxxopts::value<int>())
      ("max-minutes", "Stop after this time, closing scores included; 0: no limit",
       cxxopts::value<Real>()->default_value("0"))
      ("max-steps", "Stop when the run has done this many steps, those before a resume included; 0: no limit",
       cxxopts::value<std::int64_t>()->default_value("0"))
      ("snapshot-seconds", "Write a checkpoint and a picture of samples at least this often",
       cxxopts::value<Real>()->default_value("120"))
      ("frames", "Keep a picture of samples every so many steps, for flowsmith movie; 0: none",
       cxxopts::value<std::int64_t>()->default_value("0"))
      ("batch-size", "Examples per step (default: the model's; 128 of the tutorial's)", cxxopts::value<int>())
      ("lr", "Adam's learning rate in the first epoch (default: the model's; 1e-3 of the tutorial's)",
       cxxopts::value<Real>())
      ("lr-decay", "Factor on the learning rate per epoch (default: the model's; 0.99 of the tutorial's)",
       cxxopts::value<Real>())
      ("clip-norm", "Largest norm of the gradient; 0: no clipping (default: the model's; 1 of the tutorial's)",
       cxxopts::value<Real>())
      ("seed", "Of weights, data order, noise and the validation split",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("recompute", "Keep nothing for backward but rebuild the input of each coupling from its output: memory does not "
       "grow with the number of couplings, a step takes a third more work (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("out", "Folder of the run (default: runs/MODEL, numbered if it is taken)",
       cxxopts::value<std::string>()->default_value(""))
      ("json", "Also write what happens to this file, one JSON object per line; - is stdout (default: none)",
       cxxopts::value<std::string>())
      ("no-report", "Leave out the page about the run, report.html, which takes some seconds at the end (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("resume", "Go on with the run in --out (default: the newest in runs, or of runs/MODEL with --model); more --epochs make "
       "it longer, --data says where its data are now",
       cxxopts::value<bool>()->default_value("false"));
  // clang-format on
  add_device_options(options);
  return run_tool("flowsmith train", options, argc, argv, train);
}

}  // namespace flowsmith::core
