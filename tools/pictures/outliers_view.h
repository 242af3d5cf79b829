// Scores of two kinds of data, beside each other.
#pragma once

#include <string>
#include <vector>

#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// One score of all examples of the data that a flow learned and of others; larger is to mean another kind.
struct OutlierScore {
  std::string name;
  std::vector<double> data, others;
};

/// Two histograms for each score, with its auroc().
Figure outliers_figure(const std::vector<OutlierScore>& scores, const std::string& data, const std::string& others);

}  // namespace flowsmith::core
