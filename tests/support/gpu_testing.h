// What the tests of the CUDA kernels share. They run on the emulator, or with FLOWSMITH_TEST_ON_GPU on a GPU.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "tests/support/kernel_testing.h"

#if !defined(FLOWSMITH_TEST_ON_GPU)
#include "kernels/cuda/emulator/emulator.h"
#endif

namespace flowsmith::core::testing {

#if defined(FLOWSMITH_TEST_ON_GPU)
using TestGpu = Cuda;
#else
using TestGpu = Emulated;
#endif

/// A tensor in device memory.
template <class T>
class DeviceArray {
 public:
  using Runtime = GpuRuntime<TestGpu>;

  /// Not initialised.
  explicit DeviceArray(std::size_t size) : size_(size), data_(static_cast<T*>(Runtime::allocate(size * sizeof(T)))) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    Runtime::upload(data_, values.data(), size_ * sizeof(T));
    Runtime::synchronize();  // `values` may go now
  }
  DeviceArray(DeviceArray&& other) noexcept
      : size_(std::exchange(other.size_, 0)), data_(std::exchange(other.data_, nullptr)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~DeviceArray() { Runtime::release(data_); }

  std::size_t size() const { return size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(size_);
    Runtime::download(values.data(), data_, size_ * sizeof(T));
    return values;
  }
  Grad<T> grad(GradMode mode = GradMode::kOverwrite) { return {data_, mode}; }

 private:
  std::size_t size_;
  T* data_;
};

/// Scratch memory that holds garbage each time a launcher asks for it.
class TestWorkspace final : public GpuWorkspace {
 public:
  void* reserve(std::size_t bytes) override {
    if (bytes > memory_.size()) memory_ = DeviceArray<char>(bytes);
#if !defined(FLOWSMITH_TEST_ON_GPU)
    if (bytes > 0) emulator::forget(memory_.data(), memory_.size());
#endif
    return memory_.data();
  }

 private:
  DeviceArray<char> memory_{0};
};

/// The stream with a workspace for the launchers of this process.
inline TestGpu test_stream(NetPrecision precision = NetPrecision::kFp32, ConvAlgorithm conv = ConvAlgorithm::kFused) {
  static TestWorkspace workspace;
  return {GpuRuntime<TestGpu>::stream(), &workspace, precision, conv};
}

/// Calls run() -> Outputs in every schedule of the emulator and checks that all give the same bits, which are returned:
/// a missing barrier, or memory that nobody wrote, shows as a difference. On a GPU it runs twice. In the race build it
/// runs once: there every access is checked, so orders need not be tried.
template <class Run>
Outputs run_schedules(const Run& run) {
#if defined(FLOWSMITH_TEST_ON_GPU)
  const Outputs first = run();
  const Outputs again = run();
  for (std::size_t i = 0; i < first.size(); ++i) {
    INFO("second run, output " << i);
    CHECK(same_bits(again[i], first[i]));
  }
#else
  Outputs first;
  for (const auto& [name, schedule] : emulator::kSchedules) {
    emulator::set_schedule(schedule);
    const Outputs now = run();
    if (first.empty()) first = now;
    for (std::size_t i = 0; i < first.size(); ++i) {
      INFO(name << ", output " << i);
      CHECK(same_bits(now[i], first[i]));
    }
    if (emulator::checks_races()) break;
  }
  emulator::set_schedule({});
#endif
  return first;
}

}  // namespace flowsmith::core::testing
