// A layer that the library does not have, written outside of its tree: z = x where x >= 0 and slope x below. It becomes
// part of any configuration under the name "leaky", with a key of its own, and is trained, inverted and saved like the
// others.
//
//   log |det dz/dx| = log(slope) * (number of elements below 0)
//
// The layer below the public API, flowsmith::core, may change with every version.
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "autograd/tape.h"
#include "engine/dispatch.h"
#include "flowsmith/trainer.h"
#include "models/bijectors/bijector.h"
#include "models/registry.h"

namespace {

using namespace flowsmith::core;

/// What backward needs: d loss / dx = slope * d loss / dz below 0. log |det| changes only where x crosses 0.
struct LeakyNode {
  Var z, x;
  double slope;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(x);
    dispatch_path(tape.device(), in.dtype(), [&](auto, auto zero) {
      using T = decltype(zero);
      const T* const dz = tape.finished_grad(z).data<T>();
      const T* const at = in.data<T>();
      const Grad<T> dx = tape.grad<T>(x);
      for (std::size_t i = 0; i < in.size(); ++i) {
        const T value = at[i] < 0 ? T(slope) * dz[i] : dz[i];
        dx.data[i] = dx.mode == GradMode::kOverwrite ? value : dx.data[i] + value;
      }
    });
  }
};

/// The op of the tape, in both directions; host devices only.
Var leaky(Tape& tape, Var x, double slope, bool inverse, Var logdet) {
  require(is_host(tape.device()), "the layer leaky has no kernel for GPUs: take device cpu");
  const Tensor in = tape.value(x);
  const Var z = tape.recording() ? tape.output(in.dtype(), in.shape(), tape.needs_grad(x)) : x;
  dispatch_path(tape.device(), in.dtype(), [&](auto, auto zero) {
    using T = decltype(zero);
    const T* const from = in.data<T>();
    T* const to = tape.value(z).template data<T>();
    double* const sums = tape.data_or_null<double>(logdet);
    const std::size_t size = in.map().image_size();
    for (std::size_t n = 0; n < std::size_t(in.map().n); ++n) {
      int below = 0;
      for (std::size_t i = n * size; i < (n + 1) * size; ++i) {
        below += from[i] < 0;
        to[i] = from[i] < 0 ? T(inverse ? from[i] / slope : from[i] * slope) : from[i];
      }
      // The inverse subtracts what the forward direction adds.
      if (sums != nullptr) sums[n] += (inverse ? -1 : 1) * below * std::log(slope);
    }
  });
  if (tape.recording() && tape.needs_grad(x)) tape.record(LeakyNode{z, x, slope});
  return z;
}

class Leaky : public Bijector {
 public:
  explicit Leaky(double slope) : slope_(slope) {}

  Var forward(FlowPass& pass, Var x) const override { return leaky(pass.tape, x, slope_, false, pass.logdet); }
  Var inverse(FlowPass& pass, Var z) const override { return leaky(pass.tape, z, slope_, true, pass.logdet); }
  std::string description() const override { return "leaky, slope " + std::to_string(slope_); }

 private:
  double slope_;
};

LayerType leaky_type() {
  return {{"leaky",
           "negative elements times a slope",
           {number_key("slope", 0.5, kMoreThanZero, kNoLimit, "of the negative half")}},
          [](const Settings& settings, Builder&) -> std::unique_ptr<Bijector> {
            return std::make_unique<Leaky>(settings.number("slope"));
          }};
}

constexpr const char* kConfig = R"({
  "name": "bent",
  "data": {"type": "vector", "dims": 2},
  "layers": [
    {"type": "coupling", "mask": [1, 0], "repeat": 2, "conditioner": {"type": "mlp", "hidden": [32]}},
    {"type": "leaky", "slope": 0.7},
    {"type": "coupling", "mask": [1, 0], "repeat": 2, "conditioner": {"type": "mlp", "hidden": [32]}}
  ]
})";

}  // namespace

int main() try {
  register_type(leaky_type());
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> rows(4000);
  for (double& value : rows) value = normal(random);
  for (std::size_t i = 0; i < rows.size(); i += 2) rows[i + 1] += rows[i] * rows[i];  // a banana

  flowsmith::Trainer trainer(kConfig, rows, {.epochs = 20, .batch_size = 100, .lr = 5e-3});
  const double first = trainer.step().loss;
  double loss = first;
  while (!trainer.done()) loss = trainer.step().loss;

  const flowsmith::Flow& flow = trainer.flow();
  const flowsmith::Transformed z = flow.transform(rows), x = flow.inverse_transform(z.values);
  double error = 0, logdet = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) error = std::max(error, std::abs(x.values[i] - rows[i]));
  for (std::size_t i = 0; i < z.logdet.size(); ++i) logdet = std::max(logdet, std::abs(z.logdet[i] + x.logdet[i]));
  std::printf("%sloss %.3f at first, %.3f at the end\n", flow.summary().c_str(), first, loss);
  std::printf("round trip within %.0e, log-determinants cancel within %.0e\n", error, logdet);
  return error < 1e-9 && logdet < 1e-9 && loss < first ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_bijector: %s\n", error.what());
  return 2;
}
