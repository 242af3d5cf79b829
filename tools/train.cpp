// flow-train: learns a flow from a folder of images.
#include <atomic>
#include <csignal>
#include <filesystem>

#include "models/training_run.h"
#include "tools/device_options.h"
#include "tools/progress.h"

namespace flowsmith {
namespace {

std::atomic<bool> stop_requested{false};  // the one thing that a signal handler may touch

void request_stop(int) { stop_requested = true; }

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = request_stop;
  // The second signal has its usual effect: nobody is held up by a step that takes long.
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // In `flow train | tee log`, Ctrl-C ends tee first: the checkpoint must not depend on somebody reading on.
  std::signal(SIGPIPE, SIG_IGN);
}

class Console : public TrainingObserver {
 public:
  void message(const std::string& line) override { line_.say(line); }

  void progress(const TrainingProgress& p) override {
    char text[256];
    if (p.phase == "training") {
      std::snprintf(text, sizeof text,
                    "step %lld/%lld  epoch %d/%d  %.4f bits/dim  gradient norm %.3g  %.0f images/s  ETA %s",
                    static_cast<long long>(p.done), static_cast<long long>(p.total), p.epoch, p.epochs, p.bits_per_dim,
                    p.gradient_norm, p.images_per_second, clock_text(p.eta_seconds).c_str());
    } else {
      std::snprintf(text, sizeof text, "%s %lld/%lld images  %.0f images/s  ETA %s", p.phase.c_str(),
                    static_cast<long long>(p.done), static_cast<long long>(p.total), p.images_per_second,
                    clock_text(p.eta_seconds).c_str());
    }
    line_.show(text, p.phase != phase_);
    phase_ = p.phase;
  }

  void clear() { line_.clear(); }

 private:
  ProgressLine line_{stdout};
  std::string phase_;
};

/// Without --out: runs/MODEL, or runs/MODEL-2, -3, ... if it is taken; to resume, the newest of these.
std::string default_folder(const std::string& model, bool resume) {
  const auto name = [&](int i) { return "runs/" + model + (i > 1 ? "-" + std::to_string(i) : ""); };
  int i = 1;
  while (RunFolder(name(i)).holds_run()) ++i;
  return resume && i > 1 ? name(i - 1) : name(i);
}

/// The run's own value, unless the option was given and says something else.
template <class T>
void require_same(const cxxopts::ParseResult& options, const std::string& name, const T& of_run) {
  if (options.count(name) == 0 || options[name].as<T>() == of_run) return;
  throw Error("--" + name +
              " differs from that of the run to resume: leave it out, or start a new run in another --out");
}

RunConfig config_of_options(const cxxopts::ParseResult& options) {
  RunConfig config;
  TrainingOptions& t = config.training;
  t.spec.architecture = parse_architecture(options["model"].as<std::string>());
  t.spec.edition = parse_edition(options["edition"].as<std::string>());
  t.epochs = options["epochs"].as<int>();
  t.batch_size = options["batch-size"].as<int>();
  t.lr = options["lr"].as<Real>().value;
  t.lr_decay = options["lr-decay"].as<Real>().value;
  t.clip_norm = options["clip-norm"].as<Real>().value;
  t.seed = options["seed"].as<std::uint64_t>();
  t.spec.couplings = options["couplings"].as<int>();
  t.recompute = options["recompute"].as<bool>();
  config.data = options["data"].as<std::string>();
  require_valid(t);
  return config;
}

RunConfig config_to_resume(const cxxopts::ParseResult& options, const RunFolder& folder) {
  RunConfig config = folder.read_config();
  const TrainingOptions& t = config.training;
  require_same(options, "model", architecture_name(t.spec.architecture));
  require_same(options, "edition", edition_name(t.spec.edition));
  require_same(options, "data", config.data);
  require_same(options, "epochs", t.epochs);
  require_same(options, "batch-size", t.batch_size);
  require_same(options, "lr", Real{t.lr});
  require_same(options, "lr-decay", Real{t.lr_decay});
  require_same(options, "clip-norm", Real{t.clip_norm});
  require_same(options, "seed", t.seed);
  require_same(options, "couplings", t.spec.couplings);
  require_same(options, "recompute", t.recompute);
  return config;
}

void print_score(const char* name, const Score& score) {
  std::printf("%-11s %.4f +- %.4f bits/dim (%zu images, one noise sample each)\n", name, score.bits_per_dim,
              score.standard_error, score.images);
}

int train(const cxxopts::ParseResult& options) {
  const Device device = device_from(options);
  const bool resume = options["resume"].as<bool>();
  RunConfig config = config_of_options(options);
  const std::string out = options["out"].as<std::string>();
  const RunFolder folder(out.empty() ? default_folder(architecture_name(config.training.spec.architecture), resume)
                                     : out);
  if (resume) config = config_to_resume(options, folder);
  const RunLimits limits{options["max-minutes"].as<Real>().value, options["max-steps"].as<std::int64_t>(),
                         options["snapshot-seconds"].as<Real>().value};
  if (!(limits.max_minutes >= 0) || limits.max_steps < 0 || !(limits.snapshot_seconds >= 0)) {
    throw Error("--max-minutes, --max-steps and --snapshot-seconds must be 0 or more");
  }

  const TrainingOptions& t = config.training;
  const std::string couplings =
      t.spec.couplings == ModelSpec{}.couplings ? "" : ", " + std::to_string(t.spec.couplings) + " couplings";
  std::printf("training %s (edition %s%s) on %s, device %s, batch %d, seed %llu%s\n",
              architecture_name(t.spec.architecture).c_str(), edition_name(t.spec.edition).c_str(), couplings.c_str(),
              config.data.c_str(), describe_device(device).c_str(), t.batch_size,
              static_cast<unsigned long long>(t.seed), t.recompute ? ", recompute" : "");
  std::fflush(stdout);
  install_signal_handlers();
  Console console;
  const RunSummary summary = run_training(config, folder, resume, limits, device, stop_requested, console);
  console.clear();

  if (summary.interrupted) {
    std::printf("stopped at step %lld, checkpoint written\n", static_cast<long long>(summary.steps_done));
  } else {
    std::printf("done at step %lld\n", static_cast<long long>(summary.steps_done));
    if (summary.validation) print_score("validation", *summary.validation);
    if (summary.test) print_score("test", *summary.test);
    std::printf("weights     %s\n", folder.best().c_str());
    std::printf("score them  ./flow eval --weights %s\n", folder.best().c_str());
  }
  std::printf("samples     %s\n", summary.samples.c_str());
  std::printf("resume with ./flow train --resume --out %s\n", folder.path().c_str());
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  using flowsmith::Real;
  cxxopts::Options options("flow train", "Trains a normalizing flow on images by maximum likelihood.\n");
  // clang-format off
  options.add_options()
      ("model", "simple, vardeq or multiscale", cxxopts::value<std::string>()->default_value("multiscale"))
      ("edition", "of the tutorial: 2024 or 2022", cxxopts::value<std::string>()->default_value("2024"))
      ("data", "Folder of IDX files (plain or .gz), or a name below data/",
       cxxopts::value<std::string>()->default_value("mnist"))
      ("epochs", "Passes over the training set", cxxopts::value<int>()->default_value("200"))
      ("max-minutes", "Stop after this time, closing scores included; 0: no limit",
       cxxopts::value<Real>()->default_value("0"))
      ("max-steps", "Stop when the run has done this many steps, those before a resume included; 0: no limit",
       cxxopts::value<std::int64_t>()->default_value("0"))
      ("snapshot-seconds", "Write a checkpoint and a picture of samples at least this often",
       cxxopts::value<Real>()->default_value("120"))
      ("batch-size", "Images per step", cxxopts::value<int>()->default_value("128"))
      ("lr", "Adam's learning rate in the first epoch", cxxopts::value<Real>()->default_value("1e-3"))
      ("lr-decay", "Factor on the learning rate per epoch", cxxopts::value<Real>()->default_value("0.99"))
      ("clip-norm", "Largest norm of the gradient; 0: no clipping", cxxopts::value<Real>()->default_value("1.0"))
      ("seed", "Of weights, data order, noise and the validation split",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("couplings", "Behind the dequantization; of multiscale a multiple of 4",
       cxxopts::value<int>()->default_value("8"))
      ("recompute", "Keep nothing for backward but rebuild the input of each coupling from its output: memory does not "
       "grow with the number of couplings, a step takes a third more work (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("out", "Folder of the run (default: runs/MODEL, numbered if it is taken)",
       cxxopts::value<std::string>()->default_value(""))
      ("resume", "Go on with the run in --out (default: the newest of runs/MODEL)",
       cxxopts::value<bool>()->default_value("false"));
  // clang-format on
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow train", options, argc, argv, flowsmith::train);
}
