// Arrays for tests that run the same lines on the host's reference and on the GPU.
#pragma once

#include "tests/support/gpu_testing.h"
#include "tests/support/host_values.h"

namespace flowsmith::core::testing {

/// DeviceArray's interface in host memory.
template <class T>
class HostArray {
 public:
  explicit HostArray(std::vector<T> values) : values_(std::move(values)) {}

  T* data() { return values_.data(); }
  const std::vector<T>& host() const { return values_; }
  Grad<T> grad(GradMode mode = GradMode::kOverwrite) { return {data(), mode}; }

 private:
  std::vector<T> values_;
};

/// The values where the backend can use them.
template <class T>
HostArray<T> put(Reference, const std::vector<T>& values) {
  return HostArray<T>(values);
}
template <class T>
DeviceArray<T> put(TestGpu, const std::vector<T>& values) {
  return DeviceArray<T>(values);
}

/// Memory for results that must all be written: NaN, or what the schedule leaves in new device memory.
template <class T>
HostArray<T> blank(Reference, std::size_t size) {
  return HostArray<T>(std::vector<T>(size, std::numeric_limits<T>::quiet_NaN()));
}
template <class T>
DeviceArray<T> blank(TestGpu, std::size_t size) {
  return DeviceArray<T>(size);
}

/// run(backend) -> Outputs: checks the GPU against the reference with the given relative bound, in every schedule.
template <class Run>
void check_gpu(const Run& run, double bound) {
  const Outputs want = run(Reference{});
  const Outputs got = run_schedules([&] { return run(test_stream()); });
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO("output " << i);
    CHECK(relative_error(got[i], want[i]) <= bound);
  }
}

/// The same for kernels that only move numbers, or round exactly as the reference does.
template <class Run>
void check_gpu_bits(const Run& run) {
  const Outputs want = run(Reference{});
  const Outputs got = run_schedules([&] { return run(test_stream()); });
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO("output " << i);
    CHECK(same_bits(got[i], want[i]));
  }
}

}  // namespace flowsmith::core::testing
