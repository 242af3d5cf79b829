#include "kernels/shared_logdet.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct SharedLogdetNode {
  Var logdet, terms;
  double factor;

  void backward(Tape& tape) const {
    const Tensor values = tape.value(terms), dlogdet = tape.finished_grad(logdet);
    dispatch_path(tape.device(), values.dtype(), [&](auto stream, auto zero) {
      shared_logdet_backward(tape.grad<decltype(zero)>(terms), dlogdet.data<double>(), factor, int(values.size()),
                             int(dlogdet.size()), stream);
    });
  }
};

}  // namespace

void add_shared_logdet(Tape& tape, Var terms, double factor, Var logdet) {
  const Tensor values = tape.value(terms), sums = tape.value(logdet);
  const int n = int(sums.size());
  require_tensor(sums, DType::kF64, Shape{n}, "logdet");
  dispatch_path(tape.device(), values.dtype(), [&](auto stream, auto zero) {
    shared_logdet_forward(sums.data<double>(), values.data<decltype(zero)>(), factor, int(values.size()), n, stream);
  });
  if (tape.recording() && tape.needs_grad(terms)) tape.record(SharedLogdetNode{logdet, terms, factor});
}

}  // namespace flowsmith::core
