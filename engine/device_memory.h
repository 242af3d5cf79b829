// Memory of a device, and copies between it and the host. On a host device they are plain memory and memcpy; on a GPU
// they are in the order of its one stream.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/device.h"
#include "engine/tensor.h"

namespace flowsmith::core {

/// Uninitialised memory, aligned to 2 MiB on the host and 256 bytes on a GPU. When there is none left, returns null on
/// the host and throws OutOfMemory, which says more, on a GPU.
void* allocate_memory(Device device, std::size_t bytes);
void free_memory(Device device, void* memory) noexcept;

/// Bytes that could still be allocated: of a GPU what is free, of the host what is available without swapping.
std::size_t available_memory(Device device);

/// Waits for all work of the device. On the host work is done when its call returns.
void synchronize(Device device);

/// Host to device. The source may change once this returns.
void upload(Device device, void* to, const void* from, std::size_t bytes);
/// Device to host; waits for all work before it.
void download(Device device, void* to, const void* from, std::size_t bytes);
/// Inside the device.
void copy(Device device, void* to, const void* from, std::size_t bytes);
void fill_zero(Device device, void* memory, std::size_t bytes);

inline void fill_zero(Device device, const Tensor& tensor) { fill_zero(device, tensor.raw(), tensor.bytes()); }

/// All elements of a tensor, which must hold T.
template <class T>
std::vector<T> download(Device device, const Tensor& tensor) {
  std::vector<T> values(tensor.size());
  download(device, values.data(), tensor.data<T>(), tensor.bytes());
  return values;
}

/// Sets all elements of a tensor, which must hold T.
template <class T>
void upload(Device device, const Tensor& tensor, const T* values) {
  upload(device, tensor.data<T>(), values, tensor.bytes());
}

/// The elements of an f32 or f64 tensor.
std::vector<double> to_doubles(const Tensor& tensor, Device device = Device::kReference);

}  // namespace flowsmith::core
