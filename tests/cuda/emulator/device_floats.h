// Numbers in the emulator's device memory.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cuda/gpu.h"

namespace flowsmith::core {

class DeviceFloats {
 public:
  explicit DeviceFloats(std::size_t size) : size_(size) {
    void* memory = nullptr;
    FLOWSMITH_CUDA_CHECK(cudaMalloc(&memory, bytes()));
    data_ = static_cast<float*>(memory);
  }
  explicit DeviceFloats(const std::vector<float>& values) : DeviceFloats(values.size()) {
    FLOWSMITH_CUDA_CHECK(cudaMemcpyAsync(data_, values.data(), bytes(), cudaMemcpyHostToDevice, nullptr));
    FLOWSMITH_CUDA_CHECK(cudaStreamSynchronize(nullptr));  // other streams may use it now
  }
  ~DeviceFloats() { cudaFree(data_); }
  DeviceFloats(const DeviceFloats&) = delete;

  float* data() const { return data_; }
  std::size_t bytes() const { return size_ * sizeof(float); }
  std::vector<float> host() const {
    std::vector<float> values(size_);
    FLOWSMITH_CUDA_CHECK(cudaMemcpyAsync(values.data(), data_, bytes(), cudaMemcpyDeviceToHost, nullptr));
    return values;
  }

 private:
  std::size_t size_;
  float* data_;
};

/// 1, 2, 3, ...
inline std::vector<float> counting(std::size_t size) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = float(i + 1);
  return values;
}

}  // namespace flowsmith::core
