// One page about a training run: what was trained and how it went, what the flow draws and how it computes.
#pragma once

#include <string>

#include "engine/device.h"
#include "models/runs/run_folder.h"

namespace flowsmith::core {

struct ReportOptions {
  int examples = 256;  ///< of the test set, for what is measured on data
  std::uint64_t seed = 42;
};

/// The page as HTML. Throws Error if the folder holds no run or no weights, or if its data are not found.
std::string report_of(const RunFolder& folder, Device device, const ReportOptions& options);

}  // namespace flowsmith::core
