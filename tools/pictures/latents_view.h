// The latents of data beside a standard normal, which is what training makes of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/analysis/normality.h"
#include "models/flow.h"
#include "models/interchange/example_files.h"
#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// All numbers of one latent of some examples, together.
struct LatentNumbers {
  std::string name;
  MapShape shape;  ///< n = 1
  std::size_t count;
  Normality found;
  /// Shares of the numbers per unit, in bins of width kLatentBin from -kLatentEnd to kLatentEnd, and those outside.
  std::vector<double> density;
  double below, above;
};

/// Lets the latent `kept` of each row of `columns` samples be that of its first.
void share_in_rows(Latents& latents, std::size_t kept, int columns);

inline constexpr double kLatentEnd = 4, kLatentBin = 0.2;

/// Encodes the examples with one draw of noise, in passes, and looks at each latent. Shows progress.
std::vector<LatentNumbers> latents_of_data(Flow& flow, const ExamplePiece& examples, std::uint64_t seed);

/// A histogram for each latent, with the density of a standard normal over it.
Figure latents_figure(const std::vector<LatentNumbers>& latents);

}  // namespace flowsmith::core
