#include "kernels/prior.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct GaussianNode {
  Var z, logp;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(z);
    dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      gaussian_log_density_backward(tape.grad<T>(z), tape.finished_grad(logp).data<double>(), in.data<T>(), in.map().n,
                                    in.map().image_size(), stream);
    });
  }
};

struct SplitNode {
  Var kept, z, logp;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(z);
    dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      split_backward(tape.grad<T>(z), tape.finished_grad(kept).data<T>(), tape.finished_grad(logp).data<double>(),
                     in.data<T>(), in.map(), stream);
    });
  }
};

}  // namespace

void gaussian_log_density(Tape& tape, Var z, Var logp) {
  const Tensor in = tape.value(z);
  const MapShape map = in.map();
  require_tensor(tape.value(logp), DType::kF64, Shape{map.n}, "logp");
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    gaussian_log_density_forward(tape.value(logp).data<double>(), in.data<T>(), map.n, map.image_size(), stream);
  });
  if (tape.needs_grad(z)) tape.record(GaussianNode{z, logp});
}

Var split(Tape& tape, Var z, Var logp, Tensor* latent) {
  const Tensor in = tape.value(z);
  const MapShape map = in.map();
  require(map.c >= 2, "split needs at least two channels");
  require_tensor(tape.value(logp), DType::kF64, Shape{map.n}, "logp");
  const int c_latent = map.c / 2;
  const Var kept = tape.output(in.dtype(), MapShape{map.n, map.h, map.w, map.c - c_latent}, tape.needs_grad(z));
  if (latent != nullptr) *latent = tape.arena().tensor(in.dtype(), MapShape{map.n, map.h, map.w, c_latent});
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    split_forward(tape.value(kept).data<T>(), latent != nullptr ? latent->data<T>() : nullptr,
                  tape.value(logp).data<double>(), in.data<T>(), map, stream);
  });
  if (tape.needs_grad(kept)) tape.record(SplitNode{kept, z, logp});
  return kept;
}

Var unsplit(Tape& tape, Var kept, Tensor latent) {
  const Tensor in = tape.value(kept);
  const MapShape a = in.map(), b = latent.map();
  require_tensor(latent, in.dtype(), MapShape{a.n, a.h, a.w, b.c}, "a latent");
  const MapShape map{a.n, a.h, a.w, a.c + b.c};
  require(b.c == map.c / 2, "a latent has as many channels as its split sent away");
  const Var z = tape.output(in.dtype(), map, false);
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    split_inverse(tape.value(z).data<T>(), in.data<T>(), latent.data<T>(), map, stream);
  });
  return z;
}

}  // namespace flowsmith::core
