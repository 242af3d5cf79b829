#include "kernels/dequantization.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct DequantizeNode {
  Tensor images;
  Var z, u, logdet;
  Dequantizer dequantizer;

  void backward(Tape& tape) const {
    const Tensor noise = tape.value(u);
    dispatch_path(tape.device(), noise.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      dequantize_backward(tape.grad<T>(u), tape.finished_grad(z).data<T>(), tape.finished_grad(logdet).data<double>(),
                          images.data<std::uint8_t>(), noise.data<T>(), noise.map().n, noise.map().image_size(),
                          dequantizer, stream);
    });
  }
};

struct SigmoidNode {
  Var u, v, logdet;
  double alpha;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(v);
    dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      sigmoid_backward(tape.grad<T>(v), tape.finished_grad(u).data<T>(), tape.finished_grad(logdet).data<double>(),
                       in.data<T>(), in.map().n, in.map().image_size(), alpha, stream);
    });
  }
};

void require_logdet(const Tape& tape, Var logdet, MapShape map) {
  require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
}

void require_dequantizer(Dequantizer dequantizer) {
  require(is_grey_level_count(dequantizer.levels), "grey levels are a power of two from 2 to 256");
  require(dequantizer.alpha >= 0 && dequantizer.alpha < 1, "the alpha of a dequantization is in [0, 1)");
}

void require_noise(const NoiseTensors& noise, MapShape map) {
  require_tensor(noise.index, DType::kU32, Shape{map.n}, "the numbers of the images");
  require_tensor(noise.stream, DType::kU8, Shape{int(sizeof(NoiseStream))}, "a noise stream");
}

}  // namespace

Var dequantize(Tape& tape, Tensor images, Var u, Var logdet, Dequantizer dequantizer) {
  const Tensor noise = tape.value(u);
  const MapShape map = noise.map();
  require_tensor(images, DType::kU8, noise.shape(), "images");
  require_logdet(tape, logdet, map);
  require_dequantizer(dequantizer);
  const Var z = tape.output(noise.dtype(), noise.shape(), tape.needs_grad(u));
  dispatch_path(tape.device(), noise.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    dequantize_forward(tape.value(z).data<T>(), tape.value(logdet).data<double>(), images.data<std::uint8_t>(),
                       noise.data<T>(), map.n, map.image_size(), dequantizer, stream);
  });
  if (tape.needs_grad(z)) tape.record(DequantizeNode{images, z, u, logdet, dequantizer});
  return z;
}

Var logit(Tape& tape, Var u, Var logdet, Dequantizer dequantizer) {
  const Tensor noise = tape.value(u);
  const MapShape map = noise.map();
  require_logdet(tape, logdet, map);
  require_dequantizer(dequantizer);
  const Var v = tape.output(noise.dtype(), noise.shape(), false);
  dispatch_path(tape.device(), noise.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    logit_forward(tape.value(v).data<T>(), tape.value(logdet).data<double>(), noise.data<T>(), map.n, map.image_size(),
                  dequantizer, stream);
  });
  return v;
}

Var noisy_dequantize(Tape& tape, Tensor images, NoiseTensors noise, Var logdet, DType path, Dequantizer dequantizer) {
  const MapShape map = images.map();
  require_noise(noise, map);
  require_logdet(tape, logdet, map);
  require_dequantizer(dequantizer);
  const Var z = tape.output(path, map, false);
  dispatch_path(tape.device(), path, [&](auto stream, auto zero) {
    noisy_dequantize_forward(tape.value(z).data<decltype(zero)>(), tape.value(logdet).data<double>(),
                             images.data<std::uint8_t>(), noise.index.data<std::uint32_t>(),
                             static_cast<const NoiseStream*>(noise.stream.raw()), map.n, map.image_size(), dequantizer,
                             stream);
  });
  return z;
}

Var noisy_logit(Tape& tape, NoiseTensors noise, MapShape map, Var logdet, DType path, Dequantizer dequantizer) {
  require_noise(noise, map);
  require_logdet(tape, logdet, map);
  require_dequantizer(dequantizer);
  const Var v = tape.output(path, map, false);
  dispatch_path(tape.device(), path, [&](auto stream, auto zero) {
    noisy_logit_forward(tape.value(v).data<decltype(zero)>(), tape.value(logdet).data<double>(),
                        noise.index.data<std::uint32_t>(), static_cast<const NoiseStream*>(noise.stream.raw()), map.n,
                        map.image_size(), dequantizer, stream);
  });
  return v;
}

Var sigmoid(Tape& tape, Var v, Var logdet, double alpha) {
  const Tensor in = tape.value(v);
  const MapShape map = in.map();
  require_logdet(tape, logdet, map);
  const Var u = tape.output(in.dtype(), in.shape(), tape.needs_grad(v));
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    sigmoid_forward(tape.value(u).data<T>(), tape.value(logdet).data<double>(), in.data<T>(), map.n, map.image_size(),
                    alpha, stream);
  });
  if (tape.needs_grad(u)) tape.record(SigmoidNode{u, v, logdet, alpha});
  return u;
}

}  // namespace flowsmith::core
