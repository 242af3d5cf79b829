#include "tools/bench/kernel_benchmarks.h"

#include <cmath>
#include <memory>

#include "engine/device_memory.h"
#include "engine/dispatch.h"
#include "engine/replay.h"
#include "kernels/affine_coupling.h"
#include "kernels/batch_norm.h"
#include "kernels/channel_affine.h"
#include "kernels/channel_matmul.h"
#include "kernels/dense.h"
#include "kernels/dequantization.h"
#include "kernels/gated_block.h"
#include "kernels/noise.h"
#include "kernels/optimizer.h"
#include "kernels/prior.h"
#include "kernels/squeeze.h"

namespace flowsmith::core {
namespace {

/// The tensors of one benchmark.
class Memory {
 public:
  explicit Memory(Device device) : arena_(device) {}

  /// Zeros: outputs, and inputs whose values do not matter.
  template <class T>
  T* zeros(std::size_t size) {
    void* const data = arena_.allocate(size * sizeof(T));
    fill_zero(arena_.device(), data, size * sizeof(T));
    return static_cast<T*>(data);
  }

  template <class T>
  T* copy(const std::vector<T>& values) {
    T* const data = zeros<T>(values.size());
    upload(arena_.device(), data, values.data(), values.size() * sizeof(T));
    return data;
  }

  float* normal(std::size_t size, double scale = 1) {
    std::vector<float> values(size);
    normal_noise(values.data(), &kImage, &kStream, scale, 1, size, Cpu{});
    return copy(values);
  }

  float* uniform(std::size_t size) {
    std::vector<float> values(size);
    uniform_noise(values.data(), &kImage, &kStream, 1, size, Cpu{});
    return copy(values);
  }

 private:
  static constexpr std::uint32_t kImage = 0;
  static constexpr NoiseStream kStream{1};

  Arena arena_;
};

/// Calls that a GPU replays as one graph: a kernel of some microseconds is shorter than its launch by the host.
constexpr int kGraphCalls = 10;

/// What one call does at least: operations of convolutions, and floats read and written.
struct Work {
  double flops = 0;
  double floats = 0;
};

class KernelList {
 public:
  KernelList(std::vector<Benchmark>& list, const BenchmarkOptions& options) : list_(list), options_(options) {}

  int batch() const { return options_.batch; }
  std::string edition() const { return options_.edition; }

  /// Convolutions: by cuDNN or in fp32 too, where that is to be measured.
  template <class Make>
  void add_with_twins(const std::string& name, const std::string& model, Work work, Make make) {
    add(name, model, work, make);
    if (options_.fp32) add_on(in_fp32(options_.device), name + kFp32Suffix, model, work, make);
    if (options_.cudnn) add_on(by_cudnn(options_.device), name + kCudnnSuffix, model, work, make);
  }

  /// make(memory, stream) fills the memory and returns the call.
  template <class Make>
  void add(const std::string& name, const std::string& model, Work work, Make make) {
    add_on(options_.device, name, model, work, make);
  }

 private:
  template <class Make>
  void add_on(Device device, const std::string& name, const std::string& model, Work work, Make make) {
    const auto prepare = [make, device] {
      const auto memory = std::make_shared<Memory>(device);
      const auto replay = std::make_shared<Replay>(device);
      const int calls = is_host(device) ? 1 : kGraphCalls;
      std::function<void()> run;
      dispatch_path(device, DType::kF32, [&](auto stream, auto) {
        run = [memory, replay, calls, threads = device.threads, call = make(*memory, stream)] {
          const TeamSize team(threads);
          replay->run([] {},
                      [&] {
                        for (int i = 0; i < calls; ++i) call();
                      });
        };
      });
      return PreparedRun{run, calls, [replay] { return replay->node_count(); }};
    };
    list_.push_back({name, model, "kernels", device, batch(), work.flops, sizeof(float) * work.floats, prepare});
  }

  std::vector<Benchmark>& list_;
  const BenchmarkOptions& options_;
};

std::string map_name(MapShape s) { return std::to_string(s.h) + "x" + std::to_string(s.w) + "x" + std::to_string(s.c); }

constexpr double kWeightScale = 0.05;  ///< keeps sums of some hundred terms near 1

void add_gated_block(KernelList& list, GatedBlockShape s) {
  const std::string model = map_name(s.map());
  const double flops = s.conv3().flops() + s.conv1().flops();
  const std::size_t size = s.map().size();
  const std::size_t weight3_size = s.conv3().weight_size(), weight1_size = s.conv1().weight_size();
  const double map = double(size), weights_size = double(weight3_size + weight1_size + 5 * s.c);
  const auto make_weights = [=](Memory& memory) {
    return GatedBlockWeights<float>{memory.normal(weight3_size, kWeightScale),
                                    memory.normal(s.c),
                                    memory.normal(weight1_size, kWeightScale),
                                    memory.normal(2 * s.c),
                                    memory.normal(s.c),
                                    memory.normal(s.c)};
  };
  // In: x. Out: y, and h and vg for backward.
  list.add_with_twins("gated_block_forward", model, {flops, 5 * map + weights_size}, [=](Memory& memory, auto stream) {
    const auto weights = make_weights(memory);
    float* const x = memory.normal(size);
    float* const y = memory.zeros<float>(size);
    const GatedBlockSaved<float> saved{memory.zeros<float>(size), memory.zeros<float>(2 * size)};
    return [=] { gated_block_forward(y, saved, x, weights, s, stream); };
  });
  // In: dy, x, h, vg. Out: dx.
  list.add_with_twins("gated_block_backward", model, {2 * flops, 6 * map + 2 * weights_size},
                      [=](Memory& memory, auto stream) {
                        const auto weights = make_weights(memory);
                        const auto grad = [&](std::size_t n) { return Grad<float>{memory.zeros<float>(n)}; };
                        const GatedBlockGrads<float> grads{grad(weight3_size), grad(s.c), grad(weight1_size),
                                                           grad(2 * s.c),      grad(s.c), grad(s.c)};
                        const float* const x = memory.normal(size);
                        const float* const dy = memory.normal(size);
                        const GatedBlockSaved<const float> saved{memory.normal(size), memory.normal(2 * size)};
                        const Grad<float> dx = grad(size);
                        return [=] { gated_block_backward(dx, grads, dy, saved, x, weights, s, stream); };
                      });
}

void add_conv(KernelList& list, const std::string& name, const std::string& model, ConvShape s) {
  const double in = double(s.x().size()), out = double(s.y().size()), weights_size = double(s.weight_size() + s.c_out);
  list.add_with_twins(name + "_forward", model, {s.flops(), in + out + weights_size}, [=](Memory& memory, auto stream) {
    const float* const x = memory.normal(s.x().size());
    const float* const weight = memory.normal(s.weight_size(), kWeightScale);
    const float* const bias = memory.normal(s.c_out);
    float* const y = memory.zeros<float>(s.y().size());
    return [=] { conv_forward(y, x, weight, bias, s, stream); };
  });
  // In: dy, and x if ELU-concat is in front. Out: dx.
  list.add_with_twins(name + "_backward_data", model, {s.flops(), (s.concat_elu ? 2 : 1) * in + out + weights_size},
                      [=](Memory& memory, auto stream) {
                        const float* const x = memory.normal(s.x().size());
                        const float* const dy = memory.normal(s.y().size());
                        const float* const weight = memory.normal(s.weight_size(), kWeightScale);
                        const Grad<float> dx{memory.zeros<float>(s.x().size())};
                        return [=] { conv_backward_data(dx, dy, x, weight, s, stream); };
                      });
  // In: dy, x.
  list.add_with_twins(name + "_backward_weights", model, {s.flops(), in + out + weights_size},
                      [=](Memory& memory, auto stream) {
                        const float* const x = memory.normal(s.x().size());
                        const float* const dy = memory.normal(s.y().size());
                        const Grad<float> dweight{memory.zeros<float>(s.weight_size())};
                        const Grad<float> dbias{memory.zeros<float>(s.c_out)};
                        return [=] { conv_backward_weights(dweight, dbias, dy, x, s, stream); };
                      });
}

void add_coupling(KernelList& list, MapShape s, MaskKind kind) {
  const Mask mask{kind};
  const double map = double(s.size());
  // In: z, st. Out: z.
  list.add("coupling_forward", map_name(s), {0, 4 * map}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(s.size());
    const float* const st = memory.normal(2 * s.size());
    const float* const scaling = memory.zeros<float>(s.c);
    float* const z_out = memory.zeros<float>(s.size());
    double* const logdet = memory.zeros<double>(s.n);
    return [=] { affine_coupling_forward(z_out, logdet, z, st, scaling, s, mask, AffineForm{}, stream); };
  });
  // In: dz, z, st. Out: dz, dst.
  list.add("coupling_backward", map_name(s), {0, 7 * map}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(s.size());
    const float* const dz_out = memory.normal(s.size());
    const float* const st = memory.normal(2 * s.size());
    const float* const scaling = memory.zeros<float>(s.c);
    const double* const dlogdet = memory.zeros<double>(s.n);
    const Grad<float> dz{memory.zeros<float>(s.size())}, dst{memory.zeros<float>(2 * s.size())};
    const Grad<float> dscaling{memory.zeros<float>(s.c)};
    return [=] {
      affine_coupling_backward(dz, dst, dscaling, dz_out, dlogdet, z, st, scaling, s, mask, AffineForm{}, stream);
    };
  });
}

/// A hidden layer of an MLP.
void add_dense(KernelList& list, DenseShape s) {
  const std::string model = std::to_string(s.in) + "x" + std::to_string(s.out);
  const double x = double(s.x_size()), y = double(s.y_size()), weights = double(s.weight_size() + s.out);
  const double flops = 2.0 * s.n * double(s.weight_size());
  constexpr Activation kActivation = Activation::kRelu;
  list.add("dense_forward", model, {flops, x + y + weights}, [=](Memory& memory, auto stream) {
    const float* const in = memory.normal(s.x_size());
    const float* const weight = memory.normal(s.weight_size(), kWeightScale);
    const float* const bias = memory.normal(s.out);
    float* const out = memory.zeros<float>(s.y_size());
    return [=] { dense_forward(out, in, weight, bias, kActivation, s, stream); };
  });
  // In: dy, y, x. Out: dx.
  list.add("dense_backward", model, {2 * flops, 2 * x + 2 * y + 2 * weights}, [=](Memory& memory, auto stream) {
    const float* const in = memory.normal(s.x_size());
    const float* const weight = memory.normal(s.weight_size(), kWeightScale);
    const float* const out = memory.normal(s.y_size());
    const float* const dout = memory.normal(s.y_size());
    const Grad<float> din{memory.zeros<float>(s.x_size())}, dweight{memory.zeros<float>(s.weight_size())};
    const Grad<float> dbias{memory.zeros<float>(s.out)};
    return [=] { dense_backward(din, dweight, dbias, dout, out, in, weight, kActivation, s, stream); };
  });
}

/// As it stands in a network: statistics of the batch, gamma, beta and a relu.
void add_batch_norm(KernelList& list, MapShape s) {
  const double map = double(s.size());
  // The statistics read x before it is normalised.
  list.add("batch_norm_forward", map_name(s), {0, 3 * map}, [=](Memory& memory, auto stream) {
    const float* const x = memory.normal(s.size());
    const float* const gamma = memory.normal(s.c);
    const float* const beta = memory.normal(s.c);
    double* const mean = memory.zeros<double>(s.c);
    double* const var = memory.zeros<double>(s.c);
    float* const y = memory.zeros<float>(s.size());
    return [=] {
      batch_moments(mean, var, x, s, stream);
      batch_norm_forward(y, static_cast<double*>(nullptr), x, mean, var, gamma, beta, kBatchNormEps, Activation::kRelu,
                         s, stream);
    };
  });
  // The two sums read dy and x before dx is made of both.
  list.add("batch_norm_backward", map_name(s), {0, 5 * map}, [=](Memory& memory, auto stream) {
    const float* const x = memory.normal(s.size());
    const float* const dy = memory.normal(s.size());
    const float* const gamma = memory.normal(s.c);
    const float* const beta = memory.normal(s.c);
    const double* const mean = memory.zeros<double>(s.c);
    const double* const var = memory.copy(std::vector<double>(s.c, 1.0));
    const Grad<float> dx{memory.zeros<float>(s.size())};
    const Grad<float> dgamma{memory.zeros<float>(s.c)}, dbeta{memory.zeros<float>(s.c)};
    return [=] {
      batch_norm_backward(dx, dgamma, dbeta, dy, static_cast<const double*>(nullptr), x, mean, var, gamma, beta,
                          kBatchNormEps, Activation::kRelu, NormStatistics::kOfBatch, s, stream);
    };
  });
}

/// Actnorm and the invertible 1x1 convolution of a Glow step.
void add_glow_step(KernelList& list, MapShape s) {
  const double map = double(s.size());
  list.add("actnorm_forward", map_name(s), {0, 2 * map}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(s.size());
    const float* const log_scale = memory.normal(s.c);
    const float* const bias = memory.normal(s.c);
    double* const logdet = memory.zeros<double>(s.n);
    float* const z_out = memory.zeros<float>(s.size());
    return [=] { channel_affine_forward(z_out, logdet, z, log_scale, bias, 1.0, s, stream); };
  });
  // In: dz, z. Out: dz.
  list.add("actnorm_backward", map_name(s), {0, 3 * map}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(s.size());
    const float* const dz_out = memory.normal(s.size());
    const float* const log_scale = memory.normal(s.c);
    const float* const bias = memory.normal(s.c);
    const double* const dlogdet = memory.zeros<double>(s.n);
    const Grad<float> dz{memory.zeros<float>(s.size())};
    const Grad<float> dlog_scale{memory.zeros<float>(s.c)}, dbias{memory.zeros<float>(s.c)};
    return [=] { channel_affine_backward(dz, dlog_scale, dbias, dz_out, dlogdet, z, log_scale, bias, 1.0, s, stream); };
  });
  const std::size_t matrix_size = std::size_t(s.c) * s.c;
  list.add("channel_matmul_forward", map_name(s), {0, 2 * map}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(s.size());
    const float* const matrix = memory.normal(matrix_size);
    float* const z_out = memory.zeros<float>(s.size());
    return [=] { channel_matmul_forward(z_out, z, matrix, s, stream); };
  });
  list.add("channel_matmul_backward", map_name(s), {0, 3 * map}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(s.size());
    const float* const dz_out = memory.normal(s.size());
    const float* const matrix = memory.normal(matrix_size);
    const Grad<float> dz{memory.zeros<float>(s.size())}, dmatrix{memory.zeros<float>(matrix_size)};
    return [=] { channel_matmul_backward(dz, dmatrix, dz_out, z, matrix, s, stream); };
  });
}

void add_path(KernelList& list) {
  const MapShape image{list.batch(), 28, 28, 1};
  const double size = double(image.size());
  list.add("uniform_noise", map_name(image), {0, size}, [=](Memory& memory, auto stream) {
    float* const u = memory.zeros<float>(image.size());
    const std::uint32_t* const index = memory.zeros<std::uint32_t>(image.n);
    const auto* const noise = memory.copy(std::vector{NoiseStream{1}});
    return [=] { uniform_noise(u, index, noise, image.n, image.image_size(), stream); };
  });
  list.add("dequantize", map_name(image), {0, 2.25 * size}, [=](Memory& memory, auto stream) {
    const float* const u = memory.uniform(image.size());
    const std::uint8_t* const pixels = memory.zeros<std::uint8_t>(image.size());
    float* const z = memory.zeros<float>(image.size());
    double* const logdet = memory.zeros<double>(image.n);
    return [=] { dequantize_forward(z, logdet, pixels, u, image.n, image.image_size(), Dequantizer{}, stream); };
  });
  add_coupling(list, image, MaskKind::kCheckerboard);
  add_coupling(list, {list.batch(), 14, 14, 4}, MaskKind::kChannel);
  add_coupling(list, {list.batch(), 7, 7, 8}, MaskKind::kChannel);
  list.add("squeeze", map_name(image), {0, 2 * size}, [=](Memory& memory, auto stream) {
    const float* const in = memory.normal(image.size());
    float* const out = memory.zeros<float>(image.size());
    return [=] { squeeze_forward(out, in, image, stream); };
  });
  const MapShape squeezed{list.batch(), 14, 14, 4};
  list.add("split", map_name(squeezed), {0, 1.5 * double(squeezed.size())}, [=](Memory& memory, auto stream) {
    const float* const z = memory.normal(squeezed.size());
    float* const kept = memory.zeros<float>(squeezed.size() / 2);
    double* const logp = memory.zeros<double>(squeezed.n);
    return [=] { split_forward(kept, static_cast<float*>(nullptr), logp, z, squeezed, stream); };
  });
}

void add_adam(KernelList& list) {
  for (const char* const model : kTutorialModels) {
    const FlowConfig config = tutorial_config(model, list.edition());
    const std::size_t size = Flow(config).parameters().element_count();
    // The norm reads the gradient; the step reads it again, and reads and writes the parameter and two moments.
    list.add("adam", config.name(), {0, 8 * double(size)}, [=](Memory& memory, auto stream) {
      float* const param = memory.normal(size);
      float* const m = memory.zeros<float>(size);
      float* const v = memory.zeros<float>(size);
      const float* const grad = memory.normal(size);
      double* const square = memory.zeros<double>(1);
      const double* const loss = memory.zeros<double>(1);
      std::int64_t* const steps_taken = memory.zeros<std::int64_t>(1);
      const AdamInputs* const inputs = memory.copy(std::vector{AdamInputs{{}, 1, 1.0}});
      return [=] {
        squared_norm(square, grad, size, stream);
        adam_step(param, m, v, steps_taken, grad, square, loss, inputs, size, stream);
      };
    });
  }
}

}  // namespace

void add_kernel_benchmarks(std::vector<Benchmark>& benchmarks, const BenchmarkOptions& options) {
  KernelList list(benchmarks, options);
  // The conditioners of the models: their hidden maps, the channels of z and of the image beside it, and the mask.
  struct Network {
    MapShape hidden;
    int channels, image_channels;
    MaskKind mask;
  };
  const int n = options.batch;
  const Network networks[] = {{{n, 28, 28, 16}, 1, 1, MaskKind::kCheckerboard},  // variational dequantization
                              {{n, 28, 28, 32}, 1, 0, MaskKind::kCheckerboard},
                              {{n, 14, 14, 48}, 4, 0, MaskKind::kChannel},
                              {{n, 7, 7, 64}, 8, 0, MaskKind::kChannel}};
  const bool concat_elu = options.edition != "2022";
  for (const Network& network : networks) {
    const MapShape& map = network.hidden;
    add_gated_block(list, {map.n, map.h, map.w, map.c, concat_elu});
  }
  for (const auto& [map, channels, image_channels, kind] : networks) {
    const ConvMask z{{kind, false}, channels};
    add_conv(list, "conv3x3_first", map_name(map),
             {map.n, map.h, map.w, channels + image_channels, map.c, 3, false, z, {}});
    add_conv(list, "conv3x3_last", map_name(map), {map.n, map.h, map.w, 2 * map.c, 2 * channels, 3, true, {}, z});
    // What the gated block has inside, alone.
    const GatedBlockShape block{map.n, map.h, map.w, map.c, concat_elu};
    add_conv(list, "conv3x3_hidden", map_name(map), block.conv3());
  }
  // Where the step of RealNVP and of Glow spends its time, and the hidden layers of the moons and of NICE.
  for (const MapShape map : {MapShape{n, 28, 28, 32}, MapShape{n, 14, 14, 48}, MapShape{n, 7, 7, 64}}) {
    add_conv(list, "conv3x3_plain", map_name(map), {map.n, map.h, map.w, map.c, map.c, 3, false, {}, {}});
    add_batch_norm(list, map);
  }
  for (const MapShape map : {MapShape{n, 14, 14, 64}, MapShape{n, 7, 7, 64}}) {
    add_conv(list, "conv1x1", map_name(map), {map.n, map.h, map.w, map.c, map.c, 1, false, {}, {}});
  }
  for (const MapShape map : {MapShape{n, 14, 14, 4}, MapShape{n, 7, 7, 8}}) add_glow_step(list, map);
  add_dense(list, {n, 2, 256});
  add_dense(list, {n, 256, 2});
  add_dense(list, {n, 256, 256});
  add_dense(list, {n, 1000, 1000});
  add_path(list);
  add_adam(list);
}

}  // namespace flowsmith::core
