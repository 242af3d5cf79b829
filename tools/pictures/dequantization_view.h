// What dequantization does to pixels: discrete values as pieces of the real line, and where a flow's own noise puts
// them.
#pragma once

#include <cstdint>
#include <vector>

#include "models/flow.h"
#include "models/interchange/example_files.h"
#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// The density that uniform dequantization gives values k with probabilities prior[k] on the real line, z = logit(x),
/// x = (k + u) / K:
///   p(z) = K prior[k] x (1 - x)  for z between logit(k / K) and logit((k + 1) / K).
/// Below each piece lies its prior. A chart has one area for each value. (Tutorial 11, "Dequantization"; Theis et al.
/// 2016.)
struct DequantizationDensity {
  std::vector<double> prior;
  /// Of each value its points: z and p(z), within [-kDequantizationEnd, kDequantizationEnd].
  std::vector<std::vector<double>> z, density;
};

inline constexpr double kDequantizationEnd = 6;

DequantizationDensity dequantization_density(const std::vector<double>& prior);

/// Where the pixels of some images lie behind the dequantization, as histograms.
struct DequantizedPixels {
  std::vector<double> edges;
  std::vector<double> uniform;  ///< shares per unit, with uniform noise
  std::vector<double> learned;  ///< with the flow's own; empty if that is uniform
  /// Of u, the part of a grey level that noise adds, in 32 bins from 0 to 1: shares per unit.
  std::vector<double> noise_uniform, noise_learned;
};

/// Of a flow of images. Shows progress.
DequantizedPixels dequantized_pixels(Flow& flow, const ExamplePiece& examples, std::uint64_t seed);

/// Charts of the densities, one beside the other, and of the pixels if there are some.
Figure dequantization_figure(const std::vector<DequantizationDensity>& densities, const DequantizedPixels* pixels);

}  // namespace flowsmith::core
