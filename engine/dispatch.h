// The one place where a device and element types, known when the program runs, become a stream tag and the template
// arguments of a kernel.
#pragma once

#include <type_traits>

#include "engine/device.h"
#include "engine/gpu_context.h"
#include "engine/team_size.h"
#include "engine/tensor.h"

namespace flowsmith::core {

/// Runs fn(stream) with the stream tag of the device, on the host with its number of threads.
template <class Fn>
void dispatch_device(Device device, Fn&& fn) {
  switch (device.kind) {
    case DeviceKind::kCpu: {
      const TeamSize team(device.threads);
      return fn(Cpu{device.precision, device.tile_model});
    }
    case DeviceKind::kReference:
      return fn(Reference{});
    case DeviceKind::kCuda:
      if constexpr (kHasCuda) return fn(GpuContext<Cuda>::instance().stream(device.precision, device.conv));
      throw Error("this build has no CUDA");
    case DeviceKind::kEmulated:
      if constexpr (kHasEmulator) return fn(GpuContext<Emulated>::instance().stream(device.precision, device.conv));
      throw Error("this build has no emulator");
  }
}

/// Runs fn(stream, T{}) for a kernel of one floating type that every backend has in float and double: the
/// flow's path (z, logdet).
template <class Fn>
void dispatch_path(Device device, DType type, Fn&& fn) {
  const bool wide = type == DType::kF64;
  require(wide || type == DType::kF32, "the path of a flow is f32 or f64");
  dispatch_device(device, [&](auto stream) { wide ? fn(stream, double{}) : fn(stream, float{}); });
}

/// Runs fn(stream, T{}) for a kernel of the networks: the fast backends compute them in float.
template <class Fn>
void dispatch_network(Device device, DType type, Fn&& fn) {
  require(type == DType::kF32 || (type == DType::kF64 && device.kind == DeviceKind::kReference),
          "networks are f32, or f64 on the reference device");
  dispatch_device(device, [&](auto stream) {
    if constexpr (std::is_same_v<decltype(stream), Reference>) {
      if (type == DType::kF64) return fn(stream, double{});
    }
    fn(stream, float{});
  });
}

/// Runs fn(stream, Z{}, S{}) for a kernel between a path of type Z and a network of type S.
template <class Fn>
void dispatch_mixed(Device device, DType path, DType network, Fn&& fn) {
  require(path == DType::kF64 || network == DType::kF32, "an f64 network needs an f64 path");
  dispatch_network(device, network, [&](auto stream, auto s) {
    if constexpr (std::is_same_v<decltype(s), double>) {
      fn(stream, double{}, s);
    } else if (path == DType::kF64) {
      fn(stream, double{}, s);
    } else {
      fn(stream, float{}, s);
    }
  });
}

}  // namespace flowsmith::core
