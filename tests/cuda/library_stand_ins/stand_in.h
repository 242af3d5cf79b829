// What the stand-ins for NVIDIA's libraries share. They do what NVIDIA's documentation says of the calls that
// kernels/cuda/library_conv.cu makes, by plain loops, and refuse everything else: so the tests show that our calls are
// coherent with it. That NVIDIA's own libraries agree, only a GPU can show.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/emulator/device_memory.h"
#include "kernels/cuda/emulator/race_shadow.h"
#include "kernels/cuda/emulator/stream.h"
#include "kernels/cuda/library_api.h"

namespace flowsmith::core::stand_in {

/// Whether `memory` is so many floats of the emulated device, in one allocation.
inline bool on_device(const void* memory, std::size_t count) {
  return emulator::device_memory().holds(memory, count * sizeof(float));
}

/// 10 bits of mantissa, as tensor cores see a float: the nearest, ties away from zero.
inline float rounded_to_tf32(float value) {
  if (!std::isfinite(value)) return value;
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x1000u) & ~0x1fffu;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

/// beta == 0: `to` is not read.
inline void blend(float& to, double sum, float alpha, float beta) {
  to = float(alpha * sum) + (beta == 0 ? 0.0f : beta * to);
}

/// Puts work into the stream that writes `count` floats of the device: it runs now, or whenever a graph that captures
/// it is launched.
template <class Work>
void enqueue(void* stream, const void* output, std::size_t count, const Work& work) {
  emulator::stream_of(static_cast<emulator::cudaStream_t>(stream)).put([=](emulator::Stream&) {
    const emulator::DeviceAccess access;
    work();
    emulator::write_shadow(output, count * sizeof(float));
  });
}

}  // namespace flowsmith::core::stand_in
