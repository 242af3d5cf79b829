// Flows in several threads: one that all of them score with, and several that know nothing of each other. This file is
// also a program of its own under ThreadSanitizer (tests/run_thread_sanitizer.sh): there every flow has one thread of
// OpenMP, whose library that tool does not understand.
#include <thread>

#include "tests/api/api_testing.h"

namespace flowsmith {
namespace {

using namespace api_testing;

/// Runs fn(k) in threads k = 0 ... count - 1 at once.
template <class Fn>
void in_threads(int count, Fn&& fn) {
  std::vector<std::thread> threads;
  for (int k = 0; k < count; ++k) threads.emplace_back([&fn, k] { fn(k); });
  for (std::thread& thread : threads) thread.join();
}

/// Everything that a const flow does.
std::vector<double> all_of(const Flow& flow, std::uint64_t seed) {
  std::vector<double> all;
  const auto add = [&](const auto& values) { all.insert(all.end(), values.begin(), values.end()); };
  if (flow.takes_images()) {
    const std::vector<std::uint8_t> images = some_images(5, unsigned(seed));
    add(flow.log_prob(images, {.samples = 2, .seed = seed}));
    const std::vector<Latent> latents = flow.encode(images, {.seed = seed});
    for (const Latent& latent : latents) add(latent.values);
    add(flow.decode_images(latents));
    add(flow.sample_images({.count = 3, .seed = seed}));
  } else {
    add(flow.log_prob(some_rows(5, int(flow.dims()), unsigned(seed))));
    add(flow.sample_rows({.count = 3, .seed = seed}));
  }
  const Transformed forward = flow.transform(some_rows(4, int(flow.dims()), unsigned(seed)));
  add(forward.values);
  add(flow.inverse_transform(forward.values).values);
  for (const StateArray& array : flow.state()) add(array.values);
  add(flow.summary());
  return all;
}

TEST_CASE("one flow in many threads gives the bits that it gives alone", "[threads]") {
  const bool images = GENERATE(true, false);
  const Context context{.threads = 1};
  const Flow flow = images ? image_flow(context) : row_flow(3, context);
  std::vector<std::vector<double>> alone, together(4);
  for (std::uint64_t k = 0; k < 4; ++k) alone.push_back(all_of(flow, k));
  in_threads(4, [&](int k) {
    for (int repeat = 0; repeat < 3; ++repeat) together[std::size_t(k)] = all_of(flow, std::uint64_t(k));
  });
  CHECK(together == alone);
}

TEST_CASE("flows with settings of their own train in threads of their own", "[threads]") {
  const std::vector<std::uint8_t> images = some_images(16);
  const std::vector<double> rows = some_rows(16);
  const auto work = [&](int k) {
    std::vector<double> all;
    const Context context{.device = k == 2 ? "reference" : "cpu", .threads = 1};
    const TrainingOptions options{.epochs = 2, .batch_size = 4 + k, .seed = std::uint64_t(k)};
    Trainer trainer =
        k == 1 ? Trainer(row_config(), rows, options, context) : Trainer(image_config(), images, options, context);
    for (int step = 0; step < 3; ++step) {
      all.push_back(trainer.step().loss);
      const std::vector<double> now = all_of(trainer.flow(), 1);
      all.insert(all.end(), now.begin(), now.end());
    }
    return all;
  };
  std::vector<std::vector<double>> alone, together(3);
  for (int k = 0; k < 3; ++k) alone.push_back(work(k));
  in_threads(3, [&](int k) { together[std::size_t(k)] = work(k); });
  CHECK(together == alone);
}

TEST_CASE("configurations are made in many threads", "[threads]") {
  const std::vector<std::uint8_t> images = some_images(1);
  in_threads(4, [&](int) {
    for (const char* const name : {"moons", "simple"}) Flow::from_config(name, 1, {.threads = 1});
    (void)config_names();
    try {
      Flow::load("/nowhere");
    } catch (const Error&) {
    }
  });
}

}  // namespace
}  // namespace flowsmith
