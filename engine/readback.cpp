#include "engine/readback.h"

#include "engine/dispatch.h"

namespace flowsmith::core {

Readback::Readback(Device device) : device_(device) {
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      arrived_ = GpuRuntime<Stream>::make_event();
      values_ = static_cast<double*>(GpuRuntime<Stream>::allocate_pinned(2 * sizeof(double)));
    } else {
      values_ = new double[2];
    }
  });
  values_[0] = values_[1] = 0;
}

Readback::~Readback() {
  dispatch_device(device_, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      GpuRuntime<Stream>::release_event(arrived_);
      GpuRuntime<Stream>::release_pinned(values_);
    } else {
      delete[] values_;
    }
  });
}

void Readback::fetch(const Tensor& first, const Tensor& second) {
  const double* const from[] = {first.data<double>(), second.data<double>()};
  dispatch_device(device_, [&](auto stream) {
    using Stream = decltype(stream);
    for (int i = 0; i < 2; ++i) {
      if constexpr (Gpu<Stream>) {
        GpuRuntime<Stream>::download_later(values_ + i, from[i], sizeof(double));
      } else {
        values_[i] = *from[i];
      }
    }
    if constexpr (Gpu<Stream>) GpuRuntime<Stream>::record_event(arrived_);
  });
}

std::pair<double, double> Readback::wait() const {
  dispatch_device(device_, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) GpuRuntime<Stream>::wait_for_event(arrived_);
  });
  return {values_[0], values_[1]};
}

}  // namespace flowsmith::core
