// The device, its memory, and copies.
#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/cuda/emulator/api_error.h"
#include "kernels/cuda/emulator/device_memory.h"
#include "kernels/cuda/emulator/emulator.h"
#include "kernels/cuda/emulator/race_shadow.h"
#include "kernels/cuda/emulator/stream.h"

namespace flowsmith::core::emulator {

namespace {

Schedule the_schedule;
Machine the_machine;
constexpr int kRuntimeVersion = 12000;

/// Address to size of what cudaMallocHost gave out.
std::map<const char*, std::size_t>& pinned() {
  static auto& all = *new std::map<const char*, std::size_t>;
  return all;
}

bool is_pinned(const void* memory, std::size_t bytes) {
  const auto* start = static_cast<const char*>(memory);
  auto range = pinned().upper_bound(start);
  if (range == pinned().begin()) return false;
  --range;
  return std::size_t(start - range->first) + bytes <= range->second;
}

bool is_device(const void* memory, std::size_t bytes) { return device_memory().holds(memory, bytes); }

/// Whether the address lies in the region of device memory, allocated or not.
bool looks_like_device(const void* memory) {
  const char* region = device_memory().region();
  return memory >= region && memory < region + DeviceMemory::kRegionBytes;
}

void download(Stream& stream, void* to, const void* from, std::size_t bytes) {
  touch(stream, from, bytes, false);
  Transfer copy{to, std::vector<char>(bytes), false};
  {
    const DeviceAccess access;
    std::memcpy(copy.bytes.data(), from, bytes);
  }
  const bool returns_at_once = is_pinned(to, bytes);
  if (returns_at_once) {
    touch(stream, to, bytes, true);
    stream.end_transfers_at(to, bytes);
    std::memset(to, 0xff, bytes);
  }
  stream.transfers.push_back(std::move(copy));
  if (returns_at_once) return;
  stream.end_all_transfers();
  host_knows(stream.known);
}

void upload(Stream& stream, void* to, const void* from, std::size_t bytes) {
  const bool returns_at_once = is_pinned(from, bytes);
  if (returns_at_once) touch(stream, from, bytes, false);
  touch(stream, to, bytes, true);
  stream.end_transfers_at(from, bytes);
  {
    const DeviceAccess access;
    std::memcpy(to, from, bytes);
  }
  write_shadow(to, bytes);
  if (!returns_at_once) return;
  const auto* start = static_cast<const char*>(from);
  stream.transfers.push_back({const_cast<char*>(start), std::vector<char>(start, start + bytes), true});
}

}  // namespace

void set_schedule(const Schedule& schedule) { the_schedule = schedule; }
const Schedule& schedule() { return the_schedule; }
void set_machine(const Machine& machine) { the_machine = machine; }
const Machine& machine() { return the_machine; }
void set_memory_limit(std::size_t bytes) { device_memory().set_limit(bytes); }
bool checks_races() { return kRaceChecks; }

void forget(void* memory, std::size_t bytes) {
  const DeviceAccess access;
  std::memset(memory, schedule().poison, bytes);
  allocate_shadow(memory, bytes);
}

}  // namespace flowsmith::core::emulator

namespace flowsmith::core::cuda_names {

using namespace emulator;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kRuntimeVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  // Within a major version every driver serves every runtime. No driver at all is the same error.
  if (machine().driver / 1000 < kRuntimeVersion / 1000) return note(cudaErrorInsufficientDriver);
  if (!machine().has_gpu) return note(cudaErrorNoDevice);
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return note(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return note(cudaErrorInvalidDevice);
  *properties = {"emulated GPU", device_memory().limit(), 227 * 1024, 9, 0, 132};
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (const cudaError_t lost = device_state(); lost != cudaSuccess) return lost;
  *total = device_memory().limit();
  *free = *total - device_memory().used();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  *memory = nullptr;
  if (const cudaError_t lost = device_state(); lost != cudaSuccess) return lost;
  if (spoil_captures()) return note(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  *memory = device_memory().allocate(bytes);
  return note(*memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  if (spoil_captures()) return note(cudaErrorStreamCaptureUnsupported);
  const std::size_t bytes = device_memory().release(memory);
  forget_touches(memory, bytes);
  return note(bytes > 0 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = nullptr;
  if (spoil_captures()) return note(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  *memory = std::malloc(bytes);
  if (*memory == nullptr) return note(cudaErrorMemoryAllocation);
  pinned()[static_cast<char*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  if (spoil_captures()) return note(cudaErrorStreamCaptureUnsupported);
  const auto found = pinned().find(static_cast<char*>(memory));
  if (found == pinned().end()) return note(cudaErrorInvalidValue);
  forget_touches(memory, found->second);
  pinned().erase(found);
  end_transfers_everywhere();
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  Stream& stream = stream_of(handle);
  if (const cudaError_t lost = device_state(); lost != cudaSuccess) return lost;
  if (bytes == 0) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if ((to_device ? !is_device(to, bytes) : looks_like_device(to)) ||
      (from_device ? !is_device(from, bytes) : looks_like_device(from))) {
    return note(cudaErrorInvalidValue);
  }
  if (stream.capturing && ((!to_device && !is_pinned(to, bytes)) || (!from_device && !is_pinned(from, bytes)))) {
    stream.capture_failed = true;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  stream.put([=](Stream& s) {
    if (!to_device) return download(s, to, from, bytes);
    if (!from_device) return upload(s, to, from, bytes);
    touch(s, from, bytes, false);
    touch(s, to, bytes, true);
    const DeviceAccess access;
    std::memmove(to, from, bytes);
    write_shadow(to, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  if (const cudaError_t lost = device_state(); lost != cudaSuccess) return lost;
  if (bytes == 0) return cudaSuccess;
  if (!is_device(memory, bytes)) return note(cudaErrorInvalidValue);
  stream_of(stream).put([=](Stream& s) {
    touch(s, memory, bytes, true);
    const DeviceAccess access;
    std::memset(memory, value, bytes);
    write_shadow(memory, bytes);
  });
  return cudaSuccess;
}

}  // namespace flowsmith::core::cuda_names
