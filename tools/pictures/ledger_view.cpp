#include "tools/pictures/ledger_view.h"

#include <algorithm>

#include "tools/progress.h"

namespace flowsmith::core {

std::vector<LedgerLine> mean_ledger(Flow& flow, const ExamplePiece& examples, std::uint64_t seed) {
  constexpr std::size_t kPiece = 64;
  std::vector<LedgerLine> lines;
  const Batch batch = examples.batch();
  CountProgress progress("scoring", examples.index.size());
  for (std::size_t begin = 0; begin < examples.index.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, examples.index.size() - begin);
    const auto terms =
        flow.ledger(batch.slice(flow.dims(), int(begin), int(n)), {NoiseStream{seed, NoisePurpose::kScoring, 0}});
    lines.resize(terms.size());
    for (std::size_t t = 0; t < terms.size(); ++t) {
      lines[t].name = terms[t].name;
      lines[t].what = terms[t].what;
      lines[t].map = terms[t].map;
      for (const double nats : terms[t].nats) lines[t].mean -= nats / flow.nats_per_unit();
    }
    progress.update(double(begin + n));
  }
  for (LedgerLine& line : lines) line.mean /= double(examples.index.size());
  return lines;
}

double ledger_total(const std::vector<LedgerLine>& lines) {
  double total = 0;
  for (const LedgerLine& line : lines) total += line.mean;
  return total;
}

Figure ledger_figure(const std::vector<LedgerLine>& lines, const std::string& unit) {
  BarChart chart{.unit = unit,
                 .legend = {{"costs", Ink::kVermilion}, {"gains", Ink::kBlue}, {"their sum", Ink::kGreen}}};
  for (const LedgerLine& line : lines) {
    chart.bars.push_back({line.name + ", " + line.what, line.mean, line.mean < 0 ? Ink::kBlue : Ink::kVermilion});
  }
  const double total = ledger_total(lines);
  chart.bars.push_back({"total", total, Ink::kGreen});
  char text[64];
  std::snprintf(text, sizeof text, "%.4f %s", total, unit.c_str());
  return {.title = "Where the " + std::string(unit == "nats" ? "nats" : "bits") + " of a score come from",
          .description = "Bars of the " + std::to_string(lines.size()) + " parts of a score, which add up to " + text,
          .panels = {chart},
          .panel_width = 760};
}

}  // namespace flowsmith::core
