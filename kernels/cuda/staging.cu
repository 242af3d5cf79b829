// The copy of a block runs beside the stream of the kernels; two events keep the streams from overtaking each other:
// a block is taken after it was sent, and its waiting place is written again after it was taken. 100 KiB of images take
// some 5 us over PCIe 5, hidden behind a step, and as little to move on the device.
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/staging.h"

namespace flowsmith::core {

template <Gpu G>
GpuStaging<G>::~GpuStaging() {
  release();
}

template <Gpu G>
void GpuStaging<G>::release() noexcept {
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
  cudaStreamSynchronize(static_cast<cudaStream_t>(GpuRuntime<G>::stream()));
  cudaEventDestroy(static_cast<cudaEvent_t>(sent_));
  cudaEventDestroy(static_cast<cudaEvent_t>(taken_));
  cudaStreamDestroy(static_cast<cudaStream_t>(stream_));
  GpuRuntime<G>::release(waiting_);
  GpuRuntime<G>::release_pinned(pinned_);
}

template <Gpu G>
void GpuStaging<G>::grow(std::size_t bytes) {
  if (stream_ == nullptr) {
    cudaStream_t stream = nullptr;
    cudaEvent_t sent = nullptr, taken = nullptr;
    FLOWSMITH_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_ = stream;
    FLOWSMITH_CUDA_CHECK(cudaEventCreateWithFlags(&sent, cudaEventDisableTiming));
    sent_ = sent;
    FLOWSMITH_CUDA_CHECK(cudaEventCreateWithFlags(&taken, cudaEventDisableTiming));
    taken_ = taken;
  }
  GpuRuntime<G>::synchronize();  // the last block may still be on its way to where it was taken
  GpuRuntime<G>::release(std::exchange(waiting_, nullptr));
  GpuRuntime<G>::release_pinned(std::exchange(pinned_, nullptr));
  capacity_ = 0;
  pinned_ = static_cast<std::byte*>(GpuRuntime<G>::allocate_pinned(bytes));
  waiting_ = GpuRuntime<G>::allocate(bytes);
  capacity_ = bytes;
}

template <Gpu G>
std::byte* GpuStaging<G>::begin(std::size_t bytes) {
  if (sent_ != nullptr) FLOWSMITH_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(sent_)));
  if (bytes > capacity_) grow(bytes);
  bytes_ = bytes;
  return pinned_;
}

template <Gpu G>
void GpuStaging<G>::send() {
  const auto stream = static_cast<cudaStream_t>(stream_);
  FLOWSMITH_CUDA_CHECK(cudaStreamWaitEvent(stream, static_cast<cudaEvent_t>(taken_), 0));
  FLOWSMITH_CUDA_CHECK(cudaMemcpyAsync(waiting_, pinned_, bytes_, cudaMemcpyHostToDevice, stream));
  FLOWSMITH_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(sent_), stream));
}

template <Gpu G>
void GpuStaging<G>::take(void* to) {
  const auto stream = static_cast<cudaStream_t>(GpuRuntime<G>::stream());
  FLOWSMITH_CUDA_CHECK(cudaStreamWaitEvent(stream, static_cast<cudaEvent_t>(sent_), 0));
  FLOWSMITH_CUDA_CHECK(cudaMemcpyAsync(to, waiting_, bytes_, cudaMemcpyDeviceToDevice, stream));
  FLOWSMITH_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(taken_), stream));
}

template class GpuStaging<ThisGpu>;

}  // namespace flowsmith::core
