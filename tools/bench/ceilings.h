// What a machine can do at most, measured while benchmarks run: what their speed is held against.
#pragma once

#include <functional>
#include <vector>

#include "engine/arena.h"
#include "kernels/types.h"

namespace flowsmith::core {

/// The middle value, or the mean of the two middle ones.
double median(std::vector<double> values);

/// 0 where nobody measures it: the host has only the first, and that of bf16 while its networks multiply so.
struct Ceilings {
  double fp32_gflop_per_s = 0;  ///< multiply-adds, which count two
  double tf32_gflop_per_s = 0;  ///< of tensor cores, through mma.sync
  double bf16_gflop_per_s = 0;  ///< of tensor cores too; on the host of AMX or AVX512-BF16
  double copy_gb_per_s = 0;     ///< bytes read and written by a copy in the memory of a GPU

  /// The rate that networks of this precision cannot exceed.
  double gflop_per_s(NetPrecision precision) const;
};

/// Measures the ceilings of a device. Holds the memory that it copies.
class CeilingMeter {
 public:
  explicit CeilingMeter(Device device);

  /// Measures each ceiling once more, which takes some 20 ms.
  void measure();
  /// Medians of all measurements; there must be one.
  Ceilings ceilings() const;

 private:
  struct Meter {
    double Ceilings::*ceiling;
    std::function<double()> rate;  ///< per second
    std::vector<double> rates;
  };
  template <Gpu G>
  void add_gpu_meters(G stream);

  Arena arena_;
  std::vector<Meter> meters_;
};

}  // namespace flowsmith::core
