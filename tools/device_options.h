// The options of every tool that runs a flow: where, on how many threads, and how networks multiply.
#pragma once

#include "engine/dispatch.h"
#include "tools/tool.h"

namespace flowsmith {

inline NetPrecision parse_precision(const std::string& text) {
  if (text == "fp32") return NetPrecision::kFp32;
  if (text == "tf32") return NetPrecision::kTf32;
  if (text == "bf16") return NetPrecision::kBf16;
  throw Error("unknown --nets '" + text + "': choose fp32, tf32 or bf16");
}

inline ConvAlgorithm parse_conv_algorithm(const std::string& text) {
  if (text == "fused") return ConvAlgorithm::kFused;
  if (text == "cudnn") return ConvAlgorithm::kCudnn;
  throw Error("unknown --conv '" + text + "': choose fused or cudnn");
}

inline void add_device_options(cxxopts::Options& options, const char* device = "auto") {
  // clang-format off
  options.add_options()
      ("device", "auto, cpu, cuda, cuda:N, reference or emulated", cxxopts::value<std::string>()->default_value(device))
      ("threads", "On the host; 0: one per core", cxxopts::value<int>()->default_value("0"))
      ("nets", "What networks multiply: fp32, on a GPU tf32 or bf16, on a CPU with AMX or AVX512-BF16 bf16",
       cxxopts::value<std::string>()->default_value("fp32"))
      ("conv", "Who computes convolutions on a GPU: fused (our kernels) or cudnn (cuDNN and cuBLAS)",
       cxxopts::value<std::string>()->default_value("fused"))
      ("no-graph", "On a GPU: launch every kernel anew instead of replaying a captured graph, for debugging (default: off)",
       cxxopts::value<bool>()->default_value("false"));
  // clang-format on
}

/// Puts the options into effect and returns the device.
inline Device device_from(const cxxopts::ParseResult& options) {
  set_thread_count(options["threads"].as<int>());
  const NetPrecision precision = parse_precision(options["nets"].as<std::string>());
  const ConvAlgorithm conv = parse_conv_algorithm(options["conv"].as<std::string>());
  std::string unused_gpu;
  const Device device = select_device(options["device"].as<std::string>(), &unused_gpu);
  if (!unused_gpu.empty()) std::fprintf(stderr, "the GPU of this machine is not used: %s\n", unused_gpu.c_str());
  if (device == Device::kReference && precision != NetPrecision::kFp32) {
    throw Error("--nets " + options["nets"].as<std::string>() + " is not for device reference: choose --nets fp32");
  }
  if (is_host(device) && conv != ConvAlgorithm::kFused) {
    throw Error("--conv cudnn needs a GPU: device " + device_name(device) + " has kernels of its own");
  }
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (std::is_same_v<Stream, Cpu>) {
      set_cpu_stream({precision});
    } else if constexpr (Gpu<Stream>) {
      GpuContext<Stream>::instance().set_precision(precision);
      GpuContext<Stream>::instance().set_conv_algorithm(conv);
      GpuContext<Stream>::instance().set_graphs(!options["no-graph"].as<bool>());
    }
  });
  return device;
}

}  // namespace flowsmith
