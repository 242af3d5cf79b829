// The options of every tool that runs a flow: where, on how many threads, and how networks multiply.
#pragma once

#include "engine/device.h"
#include "tools/tool.h"

namespace flowsmith::core {

inline ConvAlgorithm parse_conv_algorithm(const std::string& text) {
  if (text == "fused") return ConvAlgorithm::kFused;
  if (text == "cudnn") return ConvAlgorithm::kCudnn;
  throw Error("unknown --conv '" + text + "': choose fused or cudnn");
}

inline void add_device_options(cxxopts::Options& options, const char* device = "auto") {
  // clang-format off
  options.add_options()
      ("device", "auto, cpu, cuda, cuda:N, reference or emulated", cxxopts::value<std::string>()->default_value(device))
      ("threads", "On the host; 0: one per core, or OMP_NUM_THREADS", cxxopts::value<int>()->default_value("0"))
      ("nets", "What networks multiply: fp32, on a GPU tf32 or bf16, on a CPU with AMX or AVX512-BF16 bf16",
       cxxopts::value<std::string>()->default_value("fp32"))
      ("conv", "Who computes convolutions on a GPU: fused (our kernels) or cudnn (cuDNN and cuBLAS)",
       cxxopts::value<std::string>()->default_value("fused"))
      ("no-graph", "On a GPU: launch every kernel anew instead of replaying a captured graph, for debugging (default: off)",
       cxxopts::value<bool>()->default_value("false"));
  // clang-format on
}

/// The device of --device, and the GPU in use if it is one.
inline Device device_named(const std::string& name) {
  std::string unused_gpu;
  try {
    const Device device = select_device(name, &unused_gpu);
    if (!unused_gpu.empty()) std::fprintf(stderr, "the GPU of this machine is not used: %s\n", unused_gpu.c_str());
    return device;
  } catch (const GpuError& error) {
    throw Error(std::string(error.what()) + "; --device cpu does without one");
  }
}

/// The device that the options describe. What require_usable() would refuse is refused in the words of the options.
inline Device device_from(const cxxopts::ParseResult& options) {
  const std::string nets = options["nets"].as<std::string>();
  NetPrecision precision = NetPrecision::kFp32;
  naming_options("--nets", [&] { precision = parse_precision(nets); });
  const ConvAlgorithm conv = parse_conv_algorithm(options["conv"].as<std::string>());
  Device device = device_named(options["device"].as<std::string>());
  device.threads = options["threads"].as<int>();
  device.precision = precision;
  device.conv = conv;
  device.graphs = !options["no-graph"].as<bool>();
  if (device.kind == DeviceKind::kReference && precision != NetPrecision::kFp32) {
    throw Error("--nets " + nets + " is not for device reference: choose --nets fp32");
  }
  if (device.kind == DeviceKind::kCpu && precision == NetPrecision::kTf32) {
    throw Error("--nets tf32 needs a GPU: choose --nets fp32 or bf16 on device cpu");
  }
  if (device.kind == DeviceKind::kCpu && precision == NetPrecision::kBf16 && !cpu_has_bf16()) {
    throw Error("--nets bf16 needs a CPU with AMX or AVX512-BF16, which this one has not: choose --nets fp32");
  }
  if (is_host(device) && conv != ConvAlgorithm::kFused) {
    throw Error("--conv cudnn needs a GPU: device " + device_name(device) + " has kernels of its own");
  }
  if (conv == ConvAlgorithm::kCudnn && precision == NetPrecision::kBf16) {
    throw Error("--conv cudnn takes --nets fp32 or tf32: choose one of them, or --conv fused");
  }
  require_usable(device);
  return device;
}

}  // namespace flowsmith::core
