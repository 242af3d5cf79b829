// Trains a flow on an array of one's own, and stops when it no longer gets better on points that it does not learn
// from.
#include <flowsmith/trainer.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

/// n points on a noisy circle.
std::vector<double> circle(int n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> noise(0, 0.1);
  std::uniform_real_distribution<double> angle(0, 6.283185307179586);
  std::vector<double> rows;
  for (int i = 0; i < n; ++i) {
    const double a = angle(random);
    rows.push_back(std::cos(a) + noise(random));
    rows.push_back(std::sin(a) + noise(random));
  }
  return rows;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / double(values.size());
}

}  // namespace

int main() try {
  const std::vector<double> rows = circle(4000, 1), held_out = circle(1000, 2);
  const std::string config = flowsmith::config_with("moons", "layers.0.conditioner.hidden", "[32, 32]");
  flowsmith::Trainer trainer(config, rows, {.epochs = 30, .batch_size = 128, .lr = 4e-3, .lr_decay = 0.95});
  double best = -INFINITY;
  int worse = 0;
  while (!trainer.done() && worse < 3) {
    for (int i = 0; i < trainer.steps_per_epoch(); ++i) trainer.step();
    const double score = mean(trainer.flow().log_prob(held_out));
    std::printf("step %lld: %.4f nats\n", static_cast<long long>(trainer.steps_done()), score);
    if (score > best) {
      best = score;
      worse = 0;
      trainer.flow().save("circle.safetensors");
    } else {
      ++worse;
    }
  }
  const flowsmith::Flow flow = flowsmith::Flow::load("circle.safetensors");
  std::printf("best: %.4f nats, %.4f again from the file\n", best, mean(flow.log_prob(held_out)));
} catch (const std::exception& error) {
  std::fprintf(stderr, "early_stopping: %s\n", error.what());
  return 2;
}
