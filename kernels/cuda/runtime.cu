// The host's side of one device: memory, one stream, graphs. The emulator has the same calls, so this file serves both.
#include <utility>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/runtime.h"

namespace flowsmith::core {
namespace {

std::string mib(std::size_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; }

/// "13.0" from 13000.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 100 / 10);
}

struct Versions {
  int driver = 0, runtime = 0;  ///< of CUDA; driver 0: none
};

Versions cuda_versions() {
  Versions versions;
  FLOWSMITH_CUDA_CHECK(cudaDriverGetVersion(&versions.driver));
  FLOWSMITH_CUDA_CHECK(cudaRuntimeGetVersion(&versions.runtime));
  return versions;
}

bool driver_is_too_old(const Versions& cuda) {
  // Within a major version every driver serves every runtime.
  return cuda.driver > 0 && cuda.driver / 1000 < cuda.runtime / 1000;
}

/// A kernel that does nothing: the device takes it only if this build holds code for its architecture.
__global__ void architecture_probe_kernel(int*) {}

}  // namespace

template <Gpu G>
int GpuRuntime<G>::device_count(std::string* why) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();  // it would surface in the next check
    if (why == nullptr) return 0;
    const Versions cuda = cuda_versions();
    if (cuda.driver == 0) {
      *why = "there is no NVIDIA driver";
    } else if (driver_is_too_old(cuda)) {
      *why = "the driver is for CUDA " + version_text(cuda.driver) + ", older than the " + version_text(cuda.runtime) +
             " of this build: install a newer one";
    } else {
      *why = cudaGetErrorString(error);
    }
    return 0;
  }
  if (count == 0 && why != nullptr) *why = "the driver sees no device";
  return count;
}

template <Gpu G>
void GpuRuntime<G>::use_device(int ordinal) {
  std::string why;
  const int count = device_count(&why);
  if (count == 0) throw GpuError("no GPU can be used: " + why);
  if (ordinal < 0 || ordinal >= count) {
    throw GpuError("there is no GPU " + std::to_string(ordinal) + ": this machine has " + std::to_string(count) +
                   ", counted from 0");
  }
  FLOWSMITH_CUDA_CHECK(cudaSetDevice(ordinal));
  try {
    FLOWSMITH_LAUNCH(architecture_probe_kernel, dim3(1), dim3(1), 0, G{}, static_cast<int*>(nullptr));
  } catch (const GpuError& error) {
    const GpuInfo gpu = info();
    throw GpuError("GPU " + std::to_string(ordinal) + " (" + gpu.name + ", compute capability " +
                   std::to_string(gpu.compute_major) + "." + std::to_string(gpu.compute_minor) +
                   ") cannot run this build: " + error.what() + "; build for it with -DCMAKE_CUDA_ARCHITECTURES=" +
                   std::to_string(gpu.compute_major) + std::to_string(gpu.compute_minor));
  }
}

template <Gpu G>
bool GpuRuntime<G>::use_first_device(std::string* why) {
  try {
    std::string none;
    if (device_count(&none) > 0) {
      use_device(0);
      return true;
    }
    if (why != nullptr && driver_is_too_old(cuda_versions())) *why = none;
  } catch (const GpuError& error) {
    if (why != nullptr) *why = error.what();
  }
  return false;
}

template <Gpu G>
GpuInfo GpuRuntime<G>::info() {
  int device = 0;
  FLOWSMITH_CUDA_CHECK(cudaGetDevice(&device));
  cudaDeviceProp properties;
  FLOWSMITH_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  GpuInfo result{properties.name,           properties.major,
                 properties.minor,          properties.multiProcessorCount,
                 properties.totalGlobalMem, 0};
  std::size_t total = 0;
  FLOWSMITH_CUDA_CHECK(cudaMemGetInfo(&result.free_memory, &total));
  return result;
}

template <Gpu G>
void* GpuRuntime<G>::allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("GPU memory is full: " + mib(bytes) + " more were asked for, " + mib(info().free_memory) +
                      " are free");
  }
  if (error != cudaSuccess) throw_gpu_error(error, "cudaMalloc", __FILE__, __LINE__);
  return memory;
}

template <Gpu G>
void GpuRuntime<G>::release(void* memory) noexcept {
  cudaFree(memory);  // an error here is an earlier kernel's, which the next call reports
}

template <Gpu G>
void* GpuRuntime<G>::allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  FLOWSMITH_CUDA_CHECK(cudaMallocHost(&memory, bytes));
  return memory;
}

template <Gpu G>
void GpuRuntime<G>::release_pinned(void* memory) noexcept {
  cudaFreeHost(memory);
}

template <Gpu G>
void* GpuRuntime<G>::stream() {
  static const cudaStream_t stream = [] {
    cudaStream_t made = nullptr;
    FLOWSMITH_CUDA_CHECK(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    return made;
  }();
  return stream;
}

template <Gpu G>
void GpuRuntime<G>::upload(void* device, const void* host, std::size_t bytes) {
  FLOWSMITH_CUDA_CHECK(
      cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(stream())));
}

template <Gpu G>
void GpuRuntime<G>::download_later(void* pinned, const void* device, std::size_t bytes) {
  FLOWSMITH_CUDA_CHECK(
      cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(stream())));
}

template <Gpu G>
void GpuRuntime<G>::download(void* host, const void* device, std::size_t bytes) {
  download_later(host, device, bytes);
  synchronize();
}

template <Gpu G>
void GpuRuntime<G>::copy(void* to, const void* from, std::size_t bytes) {
  FLOWSMITH_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(stream())));
}

template <Gpu G>
void GpuRuntime<G>::fill_zero(void* device, std::size_t bytes) {
  FLOWSMITH_CUDA_CHECK(cudaMemsetAsync(device, 0, bytes, static_cast<cudaStream_t>(stream())));
}

template <Gpu G>
void GpuRuntime<G>::synchronize() {
  FLOWSMITH_CUDA_CHECK(cudaStreamSynchronize(static_cast<cudaStream_t>(stream())));
}

template <Gpu G>
void* GpuRuntime<G>::make_event() {
  cudaEvent_t event = nullptr;
  FLOWSMITH_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

template <Gpu G>
void GpuRuntime<G>::release_event(void* event) noexcept {
  cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

template <Gpu G>
void GpuRuntime<G>::record_event(void* event) {
  FLOWSMITH_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream())));
}

template <Gpu G>
void GpuRuntime<G>::wait_for_event(void* event) {
  FLOWSMITH_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}

template <Gpu G>
GpuGraph<G>::GpuGraph(const std::function<void()>& work) {
  const auto stream = static_cast<cudaStream_t>(GpuRuntime<G>::stream());
  FLOWSMITH_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);  // leave capture mode; the first error is the one that counts
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  FLOWSMITH_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = nullptr;
  cudaError_t error = cudaGraphGetNodes(graph, nullptr, &node_count_);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  if (error != cudaSuccess) throw_gpu_error(error, "cudaGraphInstantiate", __FILE__, __LINE__);
  executable_ = executable;
}

template <Gpu G>
GpuGraph<G>::~GpuGraph() {
  if (executable_ != nullptr) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
}

template <Gpu G>
GpuGraph<G>::GpuGraph(GpuGraph&& other) noexcept
    : executable_(std::exchange(other.executable_, nullptr)), node_count_(std::exchange(other.node_count_, 0)) {}

template <Gpu G>
GpuGraph<G>& GpuGraph<G>::operator=(GpuGraph&& other) noexcept {
  std::swap(executable_, other.executable_);
  std::swap(node_count_, other.node_count_);
  return *this;
}

template <Gpu G>
void GpuGraph<G>::launch() const {
  FLOWSMITH_CUDA_CHECK(
      cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_), static_cast<cudaStream_t>(GpuRuntime<G>::stream())));
}

template struct GpuRuntime<ThisGpu>;
template class GpuGraph<ThisGpu>;

}  // namespace flowsmith::core
