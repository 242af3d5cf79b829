#include "kernels/likelihood.h"

#include "autograd/ops.h"

namespace flowsmith {
namespace {

struct MeanBitsPerDimNode {
  Var loss, log_prob;
  std::size_t dims;

  void backward(Tape& tape) const {
    const double* const dloss = tape.finished_grad(loss).data<double>();
    const Grad<double> dlog_prob = tape.grad<double>(log_prob);
    const int n = int(tape.value(log_prob).size());
    dispatch_device(tape.device(), [&](auto stream) {
      if constexpr (Gpu<decltype(stream)>) {
        mean_bits_per_dim_backward(dlog_prob, dloss, n, dims, stream);
      } else {
        mean_bits_per_dim_backward(dlog_prob, *dloss, n, dims);
      }
    });
  }
};

}  // namespace

Var mean_bits_per_dim(Tape& tape, Var log_prob, std::size_t dims) {
  const Tensor in = tape.value(log_prob);
  const int n = int(in.size());
  require_tensor(in, DType::kF64, Shape{n}, "log_prob");
  require(n > 0 && dims > 0, "bits per dimension need at least one image and one dimension");
  const Var loss = tape.output(DType::kF64, Shape{}, true);
  double* const out = tape.value(loss).data<double>();
  dispatch_device(tape.device(), [&](auto stream) {
    if constexpr (Gpu<decltype(stream)>) {
      mean_bits_per_dim(out, in.data<double>(), n, dims, stream);
    } else {
      *out = mean_bits_per_dim(in.data<double>(), n, dims);
    }
  });
  if (tape.needs_grad(loss)) tape.record(MeanBitsPerDimNode{loss, log_prob, dims});
  return loss;
}

}  // namespace flowsmith
