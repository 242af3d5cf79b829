#include "kernels/cuda/emulator/stream_order.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/cuda/emulator/error.h"
#include "kernels/cuda/emulator/stream.h"

namespace flowsmith::core::emulator {

namespace {

struct Touch {
  const char* memory;
  std::size_t bytes;
  bool writes;
  unsigned stream;
  std::size_t when;  ///< counted on the stream

  bool overlaps(const Touch& other) const {
    return memory < other.memory + other.bytes && other.memory < memory + bytes;
  }
  bool covers(const Touch& other) const {
    return memory <= other.memory && other.memory + other.bytes <= memory + bytes;
  }
  bool is_in(const Progress& over) const {
    const auto found = over.find(stream);
    return found != over.end() && when <= found->second;
  }
};

/// Those that may still be under way, as far as the host knows.
std::vector<Touch>& touches() {
  static auto& all = *new std::vector<Touch>;
  return all;
}

[[noreturn]] void complain(const Touch& first, const Touch& second) {
  throw_error(std::string("two streams are not in order: a copy or fill ") + (second.writes ? "writes" : "reads") +
              " memory (" + std::to_string(second.bytes) + " bytes) that one on another stream may still be " +
              (first.writes ? "writing" : "reading") +
              ": record an event after the other one and wait for it with cudaStreamWaitEvent");
}

}  // namespace

void merge(Progress& known, const Progress& other) {
  for (const auto& [stream, count] : other) known[stream] = std::max(known[stream], count);
}

void touch(Stream& stream, const void* memory, std::size_t bytes, bool writes) {
  const Touch now{static_cast<const char*>(memory), bytes, writes, stream.number, ++stream.known[stream.number]};
  for (const Touch& before : touches()) {
    if (before.overlaps(now) && (before.writes || writes) && !before.is_in(stream.known)) complain(before, now);
  }
  // Whoever comes after this one comes after those that its stream did to the same memory before.
  std::erase_if(touches(), [&](const Touch& before) {
    return before.stream == now.stream && now.covers(before) && (writes || !before.writes);
  });
  touches().push_back(now);
}

void host_knows(const Progress& over) {
  std::erase_if(touches(), [&](const Touch& touch) { return touch.is_in(over); });
}

void host_knows_all() { touches().clear(); }

void forget_touches(const void* memory, std::size_t bytes) {
  const Touch freed{static_cast<const char*>(memory), bytes, true, 0, 0};
  std::erase_if(touches(), [&](const Touch& touch) { return freed.covers(touch); });
}

}  // namespace flowsmith::core::emulator
