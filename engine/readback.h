// Numbers that work on a device leaves behind, read while later work goes on.
#pragma once

#include <utility>

#include "engine/device.h"
#include "engine/tensor.h"

namespace flowsmith::core {

/// Two numbers of a device. On a GPU they come to page-locked memory, and only the work before them is waited for.
class Readback {
 public:
  explicit Readback(Device device);
  Readback(const Readback&) = delete;
  Readback& operator=(const Readback&) = delete;
  ~Readback();

  /// Puts copies of two f64 scalars of the device behind the work before them.
  void fetch(const Tensor& first, const Tensor& second);
  /// Waits for the copies of the last fetch(). Throws GpuError if the work before them failed.
  std::pair<double, double> wait() const;

 private:
  Device device_;
  double* values_ = nullptr;
  void* arrived_ = nullptr;  ///< an event, on a GPU
};

}  // namespace flowsmith::core
