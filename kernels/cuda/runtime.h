// One CUDA device as the host sees it: memory, the one stream, graphs. The same source (runtime.cu) serves the
// emulator, so that code which forgets a copy or captures too little fails without a GPU too.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/error.h"
#include "kernels/types.h"

namespace flowsmith::core {

/// What a device says about itself.
struct GpuInfo {
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  std::size_t memory = 0, free_memory = 0;  ///< bytes
};

/// All functions throw GpuError in one line. `G` is Cuda or Emulated.
template <Gpu G>
struct GpuRuntime {
  /// Number of devices; 0 without a driver. `why` says why there are none.
  static int device_count(std::string* why = nullptr);
  /// Makes device `ordinal` the one that everything below talks about. Throws GpuError if there is none such or if this
  /// build has no code for it.
  static void use_device(int ordinal);
  /// Makes the first device the one in use and returns true if this build can use it. Otherwise `why` says in one line
  /// what keeps it from a device that may be there; it stays as it is where there is no device or no driver.
  static bool use_first_device(std::string* why = nullptr);
  static GpuInfo info();

  /// Device memory, not initialised, aligned to 256. Throws OutOfMemory, which names both sizes, when it is full.
  static void* allocate(std::size_t bytes);
  static void release(void* memory) noexcept;
  /// Host memory that the device reads and writes without a detour.
  static void* allocate_pinned(std::size_t bytes);
  static void release_pinned(void* memory) noexcept;

  /// The one stream of this process, made on first use.
  static void* stream();
  /// In stream order. From pinned memory the call returns at once; the source must stay as it is until the copy is
  /// done.
  static void upload(void* device, const void* host, std::size_t bytes);
  /// In stream order, and not done before synchronize() or an event behind it.
  static void download_later(void* pinned, const void* device, std::size_t bytes);
  /// In stream order, and done when it returns.
  static void download(void* host, const void* device, std::size_t bytes);
  static void copy(void* to, const void* from, std::size_t bytes);  ///< device to device, in stream order
  static void fill_zero(void* device, std::size_t bytes);           ///< in stream order
  /// Waits for all work of the stream; errors of kernels surface here.
  static void synchronize();

  /// A place in the order of the stream, for the host to wait for while the stream goes on; errors of kernels surface
  /// in that wait too.
  static void* make_event();
  static void release_event(void* event) noexcept;
  static void record_event(void* event);
  static void wait_for_event(void* event);
};

/// Work on the stream, recorded once and started with one call from then on.
template <Gpu G>
class GpuGraph {
 public:
  GpuGraph() = default;
  /// Records what `work` puts on the stream. Nothing runs yet.
  explicit GpuGraph(const std::function<void()>& work);
  ~GpuGraph();
  GpuGraph(GpuGraph&& other) noexcept;
  GpuGraph& operator=(GpuGraph&& other) noexcept;

  explicit operator bool() const { return executable_ != nullptr; }
  void launch() const;
  std::size_t node_count() const { return node_count_; }  ///< kernels, copies and fills

 private:
  void* executable_ = nullptr;
  std::size_t node_count_ = 0;
};

}  // namespace flowsmith::core
