// What a run wrote about itself step by step, read back: metrics.csv.
#pragma once

#include <string>
#include <vector>

namespace flowsmith::core {

/// Scores at steps, in order.
struct MetricCurve {
  std::vector<double> steps, values;
};

struct RunMetrics {
  std::string unit;  ///< "bits/dim" or "nats"
  MetricCurve training, validation, test;
  MetricCurve speed;  ///< examples per second
};

/// Reads a metrics.csv of at most 1 GiB, as a run writes it: a header that names the columns, cells that may be empty.
/// What is not finite is left out, as is a last line without an end, which a run in progress has. Throws Error that
/// names the file and the line if it is no such table.
RunMetrics read_metrics(const std::string& path);

/// A curve of at most `most` points: means of the values of equally many neighbouring points, at the means of their
/// steps.
MetricCurve thinned(const MetricCurve& curve, std::size_t most);

}  // namespace flowsmith::core
