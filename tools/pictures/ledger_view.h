// Where the bits of a score come from: the mean of each part over some examples, and a chart of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/flow.h"
#include "models/interchange/example_files.h"
#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// One part of -log p: its mean over the examples in the flow's unit, bits/dim or nats. Below 0 it makes them likelier.
struct LedgerLine {
  std::string name, what;  ///< Flow::LedgerTerm
  MapShape map;
  double mean = 0;
};

/// Flow::ledger of all examples, with one draw of noise, in passes. Shows progress.
std::vector<LedgerLine> mean_ledger(Flow& flow, const ExamplePiece& examples, std::uint64_t seed);

double ledger_total(const std::vector<LedgerLine>& lines);

/// A bar for each part and one for their sum.
Figure ledger_figure(const std::vector<LedgerLine>& lines, const std::string& unit);

}  // namespace flowsmith::core
