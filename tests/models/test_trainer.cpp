// Training in memory: it learns, it goes on where it stopped, it refuses what makes no sense.
#include <limits>

#include "models/trainer.h"
#include "models/weights.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"

namespace flowsmith {
namespace {

using Catch::Contains;
using testing::same_bits;

/// Batches of 10 of the 50 training images: five steps an epoch.
TrainingOptions tiny_options(Architecture architecture = Architecture::kSimple) {
  TrainingOptions options;
  options.spec.architecture = architecture;
  options.batch_size = 10;
  options.lr_decay = 0.5;
  return options;
}

struct TinyData {
  TempDir dir;
  Dataset dataset = load_dataset(write_tiny_dataset(dir));
};

void run_steps(Trainer& trainer, int steps) {
  for (int i = 0; i < steps; ++i) {
    if (trainer.epoch_done()) trainer.start_next_epoch();
    trainer.step();
  }
}

bool same_file(const SafetensorsFile& a, const SafetensorsFile& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    const NamedTensor &x = a.tensors[i], &y = b.tensors[i];
    if (x.name != y.name || x.dtype != y.dtype || x.shape != y.shape || x.data != y.data) return false;
  }
  return true;
}

TEST_CASE("training lowers the loss", "[trainer][long]") {
  const TinyData data;
  TrainingOptions options = tiny_options(GENERATE(Architecture::kSimple, Architecture::kMultiscale));
  options.lr_decay = 1;
  Trainer trainer(options, data.dataset, Device::kCpu);
  run_steps(trainer, 5);
  const double first = trainer.epoch_bits_per_dim();
  trainer.start_next_epoch();
  run_steps(trainer, 20);
  // Uniform noise has 8 bits/dim, the untrained flow about 26. These images are nearly black, so it falls fast.
  CHECK(first < 26);
  CHECK(trainer.epoch_bits_per_dim() < 0.6 * first);
}

TEST_CASE("epochs, positions and learning rates follow the steps", "[trainer]") {
  const TinyData data;
  TrainingOptions options = tiny_options();
  options.epochs = 3;
  options.batch_size = 24;  // two steps an epoch; the last two images wait for another order
  Trainer trainer(options, data.dataset, Device::kCpu);
  CHECK(trainer.steps_per_epoch() == 2);
  CHECK(trainer.total_steps() == 6);
  CHECK(trainer.validation_set().index.size() == 10);
  CHECK(trainer.learning_rate() == 1e-3);
  CHECK(trainer.epoch_bits_per_dim() == 0);
  const double one = trainer.step().bits_per_dim;
  CHECK(trainer.epoch_bits_per_dim() == one);
  CHECK_FALSE(trainer.epoch_done());
  const double two = trainer.step().bits_per_dim;
  CHECK(trainer.epoch_bits_per_dim() == (one + two) / 2);
  CHECK(trainer.epoch_done());
  CHECK_THAT(error_of([&] { trainer.step(); }), Contains("epoch is over"));
  trainer.start_next_epoch();
  CHECK(trainer.epoch() == 1);
  CHECK(trainer.position() == 0);
  CHECK(trainer.learning_rate() == 0.5e-3);
  CHECK(trainer.steps_done() == 2);
}

TEST_CASE("a restored trainer goes on to the same bits", "[trainer][long]") {
  const TinyData data;
  const auto [architecture, stop] =
      GENERATE(table<Architecture, int>({{Architecture::kSimple, 3},
                                         {Architecture::kVardeq, 3},
                                         {Architecture::kMultiscale, 3},
                                         {Architecture::kMultiscale, 5}}));  // epoch's end
  const TrainingOptions options = tiny_options(architecture);
  Trainer unbroken(options, data.dataset, Device::kCpu);
  run_steps(unbroken, 6);
  Trainer first(options, data.dataset, Device::kCpu);
  run_steps(first, stop);
  write_safetensors(data.dir.file("last.safetensors"), first.checkpoint());

  Trainer second(options, data.dataset, Device::kCpu);
  run_steps(second, 1);  // whatever it did before is forgotten
  second.restore(read_safetensors(data.dir.file("last.safetensors")), "last.safetensors");
  CHECK(same_file(second.checkpoint(), first.checkpoint()));
  run_steps(second, 6 - stop);
  CHECK(same_file(second.checkpoint(), unbroken.checkpoint()));
  CHECK(second.epoch_bits_per_dim() == unbroken.epoch_bits_per_dim());
  CHECK_FALSE(same_file(second.checkpoint(), first.checkpoint()));  // the comparison sees differences
}

TEST_CASE("training does not depend on the number of threads", "[trainer][long]") {
  const TinyData data;
  const Architecture architecture = GENERATE(Architecture::kVardeq, Architecture::kMultiscale);
  const auto trained = [&](int threads) {
    set_thread_count(threads);
    Trainer trainer(tiny_options(architecture), data.dataset, Device::kCpu);
    run_steps(trainer, 4);
    return trainer.checkpoint();
  };
  const SafetensorsFile one = trained(1);
  CHECK(same_file(trained(2), one));
  CHECK(same_file(trained(3), one));
  set_thread_count(0);
}

TEST_CASE("another seed is another run", "[trainer]") {
  const TinyData data;
  TrainingOptions options = tiny_options();
  Trainer a(options, data.dataset, Device::kCpu);
  options.seed = 43;
  Trainer b(options, data.dataset, Device::kCpu);
  CHECK(a.validation_set().index != b.validation_set().index);
  CHECK(a.step().bits_per_dim != b.step().bits_per_dim);
}

TEST_CASE("a checkpoint is a weight file too", "[trainer]") {
  const TinyData data;
  Trainer trainer(tiny_options(), data.dataset, Device::kCpu);
  run_steps(trainer, 2);
  write_safetensors(data.dir.file("last.safetensors"), trainer.checkpoint());
  const Flow flow = Flow::load(data.dir.file("last.safetensors"));
  CHECK(flow.spec() == ModelSpec{Architecture::kSimple, Edition::k2024, 8, 4});
  const Tensor a = flow.parameters().values(), b = trainer.flow().parameters().values();
  CHECK(std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

TEST_CASE("a checkpoint that does not fit is refused", "[trainer]") {
  const TinyData data;
  Trainer trainer(tiny_options(), data.dataset, Device::kCpu);
  run_steps(trainer, 3);
  const SafetensorsFile good = trainer.checkpoint();
  const auto complaint = [&](const SafetensorsFile& file) {
    Trainer other(tiny_options(), data.dataset, Device::kCpu);
    const std::string message = error_of([&] { other.restore(file, "last.safetensors"); });
    CHECK_THAT(message, Contains("last.safetensors"));
    return message;
  };
  const auto with = [&](const std::string& key, const std::string& text) {
    SafetensorsFile file = good;
    file.metadata[key] = text;
    return file;
  };
  for (const std::string key : {"step", "epoch", "position", "epoch_sum"}) {
    INFO(key);
    SafetensorsFile without = good;
    without.metadata.erase(key);
    CHECK_THAT(complaint(without), Contains("'" + key + "' is missing"));
    CHECK_THAT(complaint(with(key, "many")), Contains("'" + key + "' is not a number"));
    CHECK_THAT(complaint(with(key, "3 ")), Contains("'" + key + "' is not a number"));
    CHECK_THAT(complaint(with(key, "")), Contains("'" + key + "' is not a number"));
  }
  for (const auto& file : {with("step", "4"), with("epoch", "1"), with("epoch", "-1"), with("position", "6"),
                           with("epoch", "99999999"), with("step", "9223372036854775807")}) {
    CHECK_THAT(complaint(file), Contains("do not fit together"));
  }
  SafetensorsFile file = good;
  std::erase_if(file.tensors, [](const NamedTensor& t) { return t.name == "adam.v.flows.2.scaling_factor"; });
  CHECK_THAT(complaint(file), Contains("tensor adam.v.flows.2.scaling_factor is missing"));
  file = good;
  for (NamedTensor& tensor : file.tensors) {
    if (tensor.name == "adam.m.flows.2.scaling_factor") tensor.shape = {1, 1};
  }
  CHECK_THAT(complaint(file), Contains("tensor adam.m.flows.2.scaling_factor is F32 (1, 1)"));

  const Trainer vardeq(tiny_options(Architecture::kVardeq), data.dataset, Device::kCpu);
  CHECK_THAT(complaint(vardeq.checkpoint()), Contains("another model or image size"));
  CHECK_THAT(complaint(with("width", "8")), Contains("another model or image size"));
}

TEST_CASE("options and data that make no sense are refused by name", "[trainer]") {
  const TinyData data;
  const auto complaint = [&](auto&& change) {
    TrainingOptions options = tiny_options();
    change(options);
    return error_of([&] { Trainer(options, data.dataset, Device::kCpu); });
  };
  CHECK_THAT(complaint([](auto& o) { o.epochs = 0; }), Contains("--epochs"));
  for (const int size : {0, -1, 65537}) {
    CHECK_THAT(complaint([&](auto& o) { o.batch_size = size; }), Contains("--batch-size"));
  }
  for (const double bad : {0.0, -1.0, double(NAN), double(INFINITY)}) {
    CHECK_THAT(complaint([&](auto& o) { o.lr = bad; }), Contains("--lr "));
    CHECK_THAT(complaint([&](auto& o) { o.lr_decay = bad; }), Contains("--lr-decay "));
    if (bad != 0) CHECK_THAT(complaint([&](auto& o) { o.clip_norm = bad; }), Contains("--clip-norm "));
  }
  CHECK_THAT(complaint([](auto& o) { o.batch_size = 51; }), Contains("tiny has 50") && Contains("--batch-size 50"));
  TrainingOptions whole = tiny_options();
  whole.batch_size = 50;
  CHECK(Trainer(whole, data.dataset, Device::kCpu).steps_per_epoch() == 1);

  const TempDir dir;
  const Dataset odd = load_dataset(write_tiny_dataset(dir, "odd", {12, 3, 6, 6}));
  CHECK_THAT(error_of([&] { Trainer(tiny_options(Architecture::kMultiscale), odd, Device::kCpu); }), Contains("6x6"));
}

/// Sets the first element of a parameter.
void set_parameter(Flow& flow, const std::string& name, float value) {
  int p = 0;
  while (flow.parameters()[p].name != name) ++p;
  flow.parameters().value(p).data<float>()[0] = value;
}

/// The Error of the next step, which must leave the trainer as it was.
std::string failure_of_step(Trainer& trainer) {
  const SafetensorsFile before = trainer.checkpoint();
  const std::string message = error_of([&] { trainer.step(); });
  CHECK(same_file(trainer.checkpoint(), before));
  return message;
}

TEST_CASE("a loss that is not finite stops before the weights change", "[trainer]") {
  const TinyData data;
  Trainer trainer(tiny_options(Architecture::kMultiscale), data.dataset, Device::kCpu);
  trainer.step();
  set_parameter(trainer.flow(), "flows.4.network.nn.0.bias", std::numeric_limits<float>::quiet_NaN());
  CHECK_THAT(failure_of_step(trainer), Contains("loss of step 2 is not finite") &&
                                           Contains("layer flows.4 (coupling") && Contains("image ") &&
                                           Contains("learning rate"));
}

TEST_CASE("a gradient that is not finite stops before the weights change", "[trainer]") {
  const TinyData data;
  Trainer trainer(tiny_options(), data.dataset, Device::kCpu);
  // A log-scale of 60 (bounded by e^7) makes latents of e^60: their squares fit the loss, which is a double, but the
  // gradient of the log-scale, a float, overflows.
  set_parameter(trainer.flow(), "flows.8.scaling_factor", 7);
  set_parameter(trainer.flow(), "flows.8.network.nn.8.bias", 60);
  CHECK_THAT(failure_of_step(trainer), Contains("gradient of step 1 is not finite") && Contains("layer flows.") &&
                                           Contains("image ") && Contains("clip norm"));
}

}  // namespace
}  // namespace flowsmith
