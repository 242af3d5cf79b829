// Named spans of time for Nsight Systems. They cost nothing measurable unless a profiler listens, and are nothing at
// all in a build without CUDA.
#pragma once

#if defined(FLOWSMITH_WITH_CUDA)
#include <nvtx3/nvToolsExt.h>
#endif

namespace flowsmith::core {

/// The time from here to the end of the scope, under this name. What a captured graph does is seen when it is recorded
/// and, with the profiler's option to trace a graph's nodes, by its kernels' names: --no-graph shows all of it.
class TraceRange {
 public:
#if defined(FLOWSMITH_WITH_CUDA)
  explicit TraceRange(const char* name) { nvtxRangePushA(name); }
  ~TraceRange() { nvtxRangePop(); }
#else
  explicit TraceRange(const char*) {}
#endif
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
};

}  // namespace flowsmith::core
