#include "tools/bench/ceilings.h"

#include <algorithm>
#include <chrono>

#include "engine/device_memory.h"
#include "engine/dispatch.h"
#include "kernels/cpu/bf16/tiles.h"
#include "kernels/cpu/peak.h"
#include "kernels/cuda/peak.h"
#include "kernels/noise.h"

namespace flowsmith::core {
namespace {

constexpr double kHostSeconds = 0.02, kGpuSeconds = 0.005;  ///< that one measurement takes at least

/// Rate of work(rounds), which puts work on the device's stream and returns how much that is.
template <class Work>
std::function<double()> gpu_rate(Device device, Work work) {
  work(1);  // the driver loads a kernel when it is first launched
  return [device, work, rounds = 1]() mutable {
    using Clock = std::chrono::steady_clock;
    for (;; rounds *= 2) {
      synchronize(device);
      const auto start = Clock::now();
      const double amount = work(rounds);
      synchronize(device);
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      if (seconds >= kGpuSeconds) return amount / seconds;
    }
  };
}

}  // namespace

double median(std::vector<double> values) {
  require(!values.empty(), "the median of no values");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double Ceilings::gflop_per_s(NetPrecision precision) const {
  switch (precision) {
    case NetPrecision::kFp32:
      return fp32_gflop_per_s;
    case NetPrecision::kTf32:
      return tf32_gflop_per_s;
    case NetPrecision::kBf16:
      return bf16_gflop_per_s;
  }
  throw Error("unknown precision of networks");
}

template <Gpu G>
void CeilingMeter::add_gpu_meters(G stream) {
  // Four blocks on each multiprocessor of a GPU: all fit at once, so none waits for a second turn, and have more than
  // enough sums under way. The copy is ten times as large as the cache. The emulator has no such rates; little work
  // shows that the kernels run.
  constexpr bool kReal = std::is_same_v<G, Cuda>;
  const int multiprocessors = GpuRuntime<G>::info().multiprocessors;
  const int blocks = kReal ? 4 * multiprocessors : 1;
  const std::size_t copied = kReal ? std::size_t(multiprocessors) << 20 : 1 << 14;  // floats

  const Device device = arena_.device();
  // Noise: a GPU draws less power, and so runs faster, on zeros.
  float* const from = arena_.tensor(DType::kF32, Shape{int(copied)}).template data<float>();
  float* const to = arena_.tensor(DType::kF32, Shape{int(copied)}).template data<float>();
  const Tensor image = arena_.tensor(DType::kU32, Shape{1}),
               seed = arena_.tensor(DType::kU8, Shape{sizeof(NoiseStream)});
  const NoiseStream noise{1};
  fill_zero(device, image);
  upload(device, seed.raw(), &noise, sizeof noise);
  normal_noise(from, image.data<std::uint32_t>(), static_cast<const NoiseStream*>(seed.raw()), 1, 1, copied, stream);
  const float* const a = from;
  const float* const b = from + 16 * 16;
  float* const y = arena_.tensor(DType::kF32, Shape{blocks * cuda::kPeakWarps * 16 * 8}).template data<float>();

  const auto add = [&](double Ceilings::*ceiling, auto work) {
    meters_.push_back({ceiling, gpu_rate(device, work), {}});
  };
  add(&Ceilings::fp32_gflop_per_s,
      [=](int rounds) { return cuda::multiply_add_work(y, 1.0f, rounds, blocks, stream); });
  for (const auto& [precision, ceiling] : {std::pair{NetPrecision::kTf32, &Ceilings::tf32_gflop_per_s},
                                           std::pair{NetPrecision::kBf16, &Ceilings::bf16_gflop_per_s}}) {
    G tensor_cores = stream;
    tensor_cores.precision = precision;
    add(ceiling, [=](int rounds) { return cuda::mma_work(y, a, b, rounds, blocks, tensor_cores); });
  }
  add(&Ceilings::copy_gb_per_s, [=](int rounds) {
    double bytes = 0;
    for (int i = 0; i < rounds; ++i) bytes += cuda::copy_work(to, from, copied, stream);
    return bytes;
  });
}

CeilingMeter::CeilingMeter(Device device) : arena_(device) {
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      add_gpu_meters(stream);
    } else {
      meters_.push_back({&Ceilings::fp32_gflop_per_s, [] { return cpu::measure_fma_peak(kHostSeconds); }, {}});
      if constexpr (std::is_same_v<Stream, Cpu>) {
        if (stream.precision != NetPrecision::kBf16) return;
        const auto rate = [stream] { return cpu::bf16::measure_tile_peak(cpu::bf16::tiles_of(stream), kHostSeconds); };
        meters_.push_back({&Ceilings::bf16_gflop_per_s, rate, {}});
      }
    }
  });
}

void CeilingMeter::measure() {
  const TeamSize team(arena_.device().threads);
  for (Meter& meter : meters_) meter.rates.push_back(meter.rate());
}

Ceilings CeilingMeter::ceilings() const {
  Ceilings result;
  for (const Meter& meter : meters_) result.*meter.ceiling = median(meter.rates) / 1e9;
  return result;
}

}  // namespace flowsmith::core
