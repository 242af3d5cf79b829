#include "kernels/likelihood.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct MeanNegativeLogProbNode {
  Var loss, log_prob;
  double nats_per_unit;

  void backward(Tape& tape) const {
    const double* const dloss = tape.finished_grad(loss).data<double>();
    const Grad<double> dlog_prob = tape.grad<double>(log_prob);
    const int n = int(tape.value(log_prob).size());
    dispatch_device(tape.device(),
                    [&](auto stream) { mean_negative_log_prob_backward(dlog_prob, dloss, n, nats_per_unit, stream); });
  }
};

}  // namespace

Var mean_negative_log_prob(Tape& tape, Var log_prob, double nats_per_unit) {
  const Tensor in = tape.value(log_prob);
  const int n = int(in.size());
  require_tensor(in, DType::kF64, Shape{n}, "log_prob");
  require(n > 0 && nats_per_unit > 0, "a loss needs at least one image and a unit of more than 0 nats");
  const Var loss = tape.output(DType::kF64, Shape{}, true);
  dispatch_device(tape.device(), [&](auto stream) {
    mean_negative_log_prob(tape.value(loss).data<double>(), in.data<double>(), n, nats_per_unit, stream);
  });
  if (tape.needs_grad(loss)) tape.record(MeanNegativeLogProbNode{loss, log_prob, nats_per_unit});
  return loss;
}

}  // namespace flowsmith::core
