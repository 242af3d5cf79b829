// Streams, events and graphs behind runtime_api.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/cuda/emulator/runtime_api.h"
#include "kernels/cuda/emulator/stream_order.h"

namespace flowsmith::core::emulator {

using namespace cuda_names;
/// What a stream does, in its order.
using Work = std::function<void(Stream&)>;

/// A copy between the device and pinned memory that may still be under way, as far as the host knows.
struct Transfer {
  void* pinned;
  std::vector<char> bytes;
  bool to_device;
};

struct Stream {
  static inline unsigned made = 0;
  const unsigned number = made++;  ///< no two streams of a process have the same
  Progress known;                  ///< what is over when this stream comes to what is put on it next
  std::vector<Transfer> transfers;
  std::size_t ended = 0;        ///< transfers that have come to their end since the stream was made
  bool source_changed = false;  ///< the host changed memory from which one of them was copying
  bool capturing = false, capture_failed = false;
  std::vector<Work> captured;

  /// Runs the work now, or records it.
  void put(const Work& work);
  /// Ends the first transfers, until so many have since the stream was made: what goes to the host arrives.
  void end_transfers(std::size_t until);
  void end_all_transfers() { end_transfers(ended + transfers.size()); }
  /// Ends those, and the ones before them, that overlap this memory.
  void end_transfers_at(const void* pinned, std::size_t bytes);
  /// After the host has waited: throws if it did so too late.
  void complain();
};

struct Event {
  Stream* stream = nullptr;   ///< null: not recorded
  std::size_t transfers = 0;  ///< that had been put on the stream
  bool captured = false;
  Progress known;  ///< what is over when the event is
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
/// Of all streams, without a complaint: for memory that is going away.
void end_transfers_everywhere();
/// Some stream is being captured: its capture fails, since the call that asks cannot be captured.
bool spoil_captures();

}  // namespace flowsmith::core::emulator
