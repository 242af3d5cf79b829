// Our layers against those of other libraries, nflows, normflows and zuko, with the same random parameters:
// tests/fixtures/README.md.
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/batch_norm.h"
#include "models/files/weights.h"

namespace flowsmith::core {
namespace {

// The libraries computed in double. Parameters and networks of ours are float and round at 6e-8, a few times in each of
// up to nine layers; matrices with condition numbers of about ten make more of it on the way back. Each number is
// compared by itself, those below 1 as if they were 1: log-determinants cancel.
constexpr double kError = 1e-5;

constexpr std::string_view kResults[] = {"x",
                                         "z",
                                         "logdet",
                                         "log_prob",
                                         "inverse.z",
                                         "inverse.x",
                                         "inverse.logdet",
                                         "after.running_mean",
                                         "after.running_var"};

/// A fixture, and our flow with its parameters.
struct Peer {
  Peer(const std::string& name, Device device)
      : path(std::string(FLOWSMITH_SOURCE_DIR) + "/tests/fixtures/peer_" + name + ".safetensors"),
        file(read_safetensors(path)),
        flow(flow_for(file, path, device)) {
    load_weights(flow, file, path, kResults);
    x = values("x");
    n = int(x.size() / flow.dims());
    for (int i = 0; i < n; ++i) index.push_back(std::uint32_t(i));
  }

  std::vector<double> values(const std::string& name) const {
    INFO(path << " " << name);
    const NamedTensor* const tensor = file.find(name);
    REQUIRE(tensor != nullptr);
    const std::span<const double> found = tensor->as<double>();
    return {found.begin(), found.end()};
  }

  Batch batch() const { return {.index = index.data(), .n = n, .values = x.data()}; }

  std::string path;
  SafetensorsFile file;
  Flow flow;
  std::vector<double> x;
  std::vector<std::uint32_t> index;
  int n = 0;
};

void check(const std::string& what, const std::vector<double>& got, const std::vector<double>& want) {
  INFO(what);
  REQUIRE(got.size() == want.size());
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]) / std::max(1.0, std::abs(want[i]));
    largest = error <= largest ? largest : error;  // NaN stays
  }
  CHECK(largest < kError);
}

/// log p(x) and z of a pass on a tape, as in training.
void check_pass(const Peer& peer, DType path, bool batch_statistics) {
  INFO((path == DType::kF32 ? "float" : "double") << " path");
  Tape tape(peer.flow.device());
  tape.start(false);
  const Flow::Pass pass = peer.flow.forward(tape, peer.batch(), {}, path, false, batch_statistics);
  check("log_prob", tape.read<double>(tape.value(pass.log_prob)), peer.values("log_prob"));
  if (!batch_statistics) return;
  check("z", to_doubles(tape.value(pass.z), peer.flow.device()), peer.values("z"));
  if (peer.file.find("after.running_mean") == nullptr) return;
  REQUIRE(pass.running.size() == 1);
  const RunningUpdate& update = pass.running[0];
  const auto numbers = [&](const Tensor& moments) { return download<double>(peer.flow.device(), moments); };
  std::vector<double> mean = numbers(update.running.mean), var = numbers(update.running.var);
  const std::vector<double> batch_mean = numbers(update.batch.mean), batch_var = numbers(update.batch.var);
  const double finite = 0;
  update_running(mean.data(), var.data(), batch_mean.data(), batch_var.data(), int(mean.size()), update.count,
                 update.momentum, &finite, &finite, Reference{});
  check("running mean", mean, peer.values("after.running_mean"));
  check("running variance", var, peer.values("after.running_var"));
}

void check_peer(const std::string& name, Device device) {
  INFO(name);
  Peer peer(name, device);
  const bool batch_statistics = peer.file.metadata.at("statistics") == "batch";
  for (const DType path : {DType::kF32, DType::kF64}) check_pass(peer, path, batch_statistics);
  if (batch_statistics) return;  // there is no way back from statistics of a batch

  const Transformed forward = peer.flow.transform(peer.x, peer.n);
  check("z", forward.values, peer.values("z"));
  check("logdet", forward.logdet, peer.values("logdet"));
  check("log p", peer.flow.log_prob(peer.batch(), {}), peer.values("log_prob"));

  const Transformed back = peer.flow.inverse_transform(peer.values("z"), peer.n);
  check("x", back.values, peer.x);
  const Transformed inverse = peer.flow.inverse_transform(peer.values("inverse.z"), peer.n);
  check("inverse x", inverse.values, peer.values("inverse.x"));
  check("inverse logdet", inverse.logdet, peer.values("inverse.logdet"));
}

std::string any_peer() {
  return GENERATE(values<std::string>({"additive_nflows",
                                       "affine_normflows",
                                       "affine_tanh_shift_first_normflows",
                                       "affine_sigmoid_normflows",
                                       "affine_learned_tanh_zuko",
                                       "actnorm_nflows",
                                       "actnorm_normflows",
                                       "conv1x1_plu_normflows",
                                       "conv1x1_normflows",
                                       "conv1x1_nflows",
                                       "lu_nflows",
                                       "lu_zuko",
                                       "batch_norm_nflows",
                                       "batch_norm_training_nflows",
                                       "batch_norm_training_normflows",
                                       "diagonal_normal_normflows",
                                       "diagonal_normal_nflows",
                                       "mixture_normflows",
                                       "mixture_zuko",
                                       "glow_step_normflows",
                                       "glow_normflows",
                                       "realnvp_normflows",
                                       "stack_nflows"}));
}

TEST_CASE("layers are those of other libraries", "[peers]") { check_peer(any_peer(), Device::kCpu); }

TEST_CASE("layers on the GPU's kernels are those of other libraries", "[peers][gpu]") {
  check_peer(any_peer(), Device::kEmulated);
}

}  // namespace
}  // namespace flowsmith::core
