#include "kernels/likelihood.h"

#include "autograd/ops.h"

namespace flowsmith {
namespace {

struct MeanBitsPerDimNode {
  Var loss, log_prob;
  std::size_t dims;

  void backward(Tape& tape) const {
    mean_bits_per_dim_backward(tape.grad<double>(log_prob), *tape.finished_grad(loss).data<double>(),
                               int(tape.value(log_prob).size()), dims);
  }
};

}  // namespace

Var mean_bits_per_dim(Tape& tape, Var log_prob, std::size_t dims) {
  const Tensor in = tape.value(log_prob);
  const int n = int(in.size());
  require_tensor(in, DType::kF64, Shape{n}, "log_prob");
  require(n > 0 && dims > 0, "bits per dimension need at least one image and one dimension");
  const Var loss = tape.output(DType::kF64, Shape{}, true);
  *tape.value(loss).data<double>() = mean_bits_per_dim(in.data<double>(), n, dims);
  if (tape.needs_grad(loss)) tape.record(MeanBitsPerDimNode{loss, log_prob, dims});
  return loss;
}

}  // namespace flowsmith
