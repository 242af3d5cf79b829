// Streams, events and graphs behind runtime_api.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/cuda/emulator/runtime_api.h"

namespace flowsmith::emulator {

using namespace cuda_names;
/// What a stream does, in its order.
using Work = std::function<void(Stream&)>;

/// A copy to pinned memory that has been made on the device and is still on its way.
struct Download {
  void* to;
  std::vector<char> bytes;
};

struct Stream {
  std::vector<Download> downloads;
  std::size_t delivered = 0;  ///< downloads that have arrived since the stream was made
  bool capturing = false, capture_failed = false;
  std::vector<Work> captured;

  /// Runs the work now, or records it.
  void put(const Work& work);
  /// Lets the first downloads arrive, until so many have since the stream was made.
  void deliver(std::size_t until);
  void deliver_all() { deliver(delivered + downloads.size()); }
  /// Lets those arrive, and the ones before them, whose destination overlaps.
  void deliver_into(const void* memory, std::size_t bytes);
};

struct Event {
  Stream* stream = nullptr;   ///< null: not recorded
  std::size_t downloads = 0;  ///< that had been put on the stream
  bool captured = false;
  std::chrono::steady_clock::time_point time;
};

struct Graph {
  std::vector<Work> nodes;
};

struct ExecutableGraph {
  std::vector<Work> nodes;
};

/// The stream of a handle; null is the default stream.
Stream& stream_of(cudaStream_t stream);
/// Some stream is being captured: its capture fails, since the call that asks cannot be captured.
bool spoil_captures();

}  // namespace flowsmith::emulator
