// The benchmarks of single kernels at the sizes of the three models.
#pragma once

#include "tools/bench/benchmark.h"

namespace flowsmith::core {

/// Appends to `list`. A kernel of the networks goes by the maps of their hidden layers (28x28x32), one of the path by
/// the shape of z (14x14x4).
void add_kernel_benchmarks(std::vector<Benchmark>& list, const BenchmarkOptions& options);

}  // namespace flowsmith::core
