#include "kernels/noise.h"

#include "autograd/ops.h"
#include "kernels/dequantization.h"

namespace flowsmith {
namespace {

void check(const Tape& tape, const NoiseTensors& noise, MapShape map, Var logdet) {
  require_tensor(noise.index, DType::kU32, Shape{map.n}, "the numbers of the images");
  require_tensor(noise.stream, DType::kU8, Shape{int(sizeof(NoiseStream))}, "a noise stream");
  require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
}

/// u ~ U(0,1) on the host, where the fused kernels do not exist.
template <class T, class Stream>
const T* draw(Tape& tape, const NoiseTensors& noise, MapShape map, DType path, Stream stream) {
  T* const u = tape.arena().tensor(path, map).template data<T>();
  uniform_noise(u, noise.index.data<std::uint32_t>(), *static_cast<const NoiseStream*>(noise.stream.raw()), map.n,
                map.image_size(), stream);
  return u;
}

}  // namespace

Var noisy_dequantize(Tape& tape, Tensor images, NoiseTensors noise, Var logdet, DType path) {
  const MapShape map = images.map();
  check(tape, noise, map, logdet);
  const Var z = tape.output(path, map, false);
  dispatch_path(tape.device(), path, [&](auto stream, auto zero) {
    using T = decltype(zero);
    T* const out = tape.value(z).data<T>();
    double* const sums = tape.value(logdet).data<double>();
    const auto* const pixels = images.data<std::uint8_t>();
    if constexpr (Gpu<decltype(stream)>) {
      noisy_dequantize_forward(out, sums, pixels, noise.index.data<std::uint32_t>(),
                               static_cast<const NoiseStream*>(noise.stream.raw()), map.n, map.image_size(), stream);
    } else {
      dequantize_forward(out, sums, pixels, draw<T>(tape, noise, map, path, stream), map.n, map.image_size(), stream);
    }
  });
  return z;
}

Var noisy_logit(Tape& tape, NoiseTensors noise, MapShape map, Var logdet, DType path) {
  check(tape, noise, map, logdet);
  const Var v = tape.output(path, map, false);
  dispatch_path(tape.device(), path, [&](auto stream, auto zero) {
    using T = decltype(zero);
    T* const out = tape.value(v).data<T>();
    double* const sums = tape.value(logdet).data<double>();
    if constexpr (Gpu<decltype(stream)>) {
      noisy_logit_forward(out, sums, noise.index.data<std::uint32_t>(),
                          static_cast<const NoiseStream*>(noise.stream.raw()), map.n, map.image_size(), stream);
    } else {
      logit_forward(out, sums, draw<T>(tape, noise, map, path, stream), map.n, map.image_size(), stream);
    }
  });
  return v;
}

}  // namespace flowsmith
