// Objects of the runtime API that end with their scope.
#pragma once

#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <vector>

#include "kernels/cuda/gpu.h"

namespace flowsmith::core {

class NewStream {
 public:
  NewStream() { FLOWSMITH_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~NewStream() { cudaStreamDestroy(stream_); }
  NewStream(const NewStream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class NewEvent {
 public:
  NewEvent() { FLOWSMITH_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~NewEvent() { cudaEventDestroy(event_); }
  NewEvent(const NewEvent&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class PinnedFloats {
 public:
  explicit PinnedFloats(std::size_t size) : size_(size) {
    void* memory = nullptr;
    FLOWSMITH_CUDA_CHECK(cudaMallocHost(&memory, bytes()));
    data_ = static_cast<float*>(memory);
  }
  ~PinnedFloats() { cudaFreeHost(data_); }
  PinnedFloats(const PinnedFloats&) = delete;
  float* data() const { return data_; }
  std::size_t bytes() const { return size_ * sizeof(float); }
  std::vector<float> values() const { return {data_, data_ + size_}; }

 private:
  std::size_t size_;
  float* data_;
};

/// The error is returned and is the last one, once.
inline void check_error(cudaError_t got, cudaError_t want) {
  CHECK(std::string(cudaGetErrorName(got)) == cudaGetErrorName(want));
  CHECK(cudaGetLastError() == want);
  CHECK(cudaGetLastError() == cudaSuccess);
}

}  // namespace flowsmith::core
