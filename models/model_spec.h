// Which flow: the tutorial's three architectures in its two editions, for images of a given size.
#pragma once

#include <string>
#include <string_view>

namespace flowsmith {

enum class Architecture {
  kSimple,      ///< uniform dequantization, checkerboard couplings
  kVardeq,      ///< variational dequantization (4 couplings), checkerboard couplings
  kMultiscale,  ///< variational dequantization, checkerboard couplings (a quarter of all), squeeze, channel couplings
                ///< (a quarter), split, squeeze, channel couplings (half)
};

enum class Edition {
  k2024,  ///< gated blocks begin with ELU-concat
  k2022,  ///< gated blocks begin with their 3x3 convolution
};

struct ModelSpec {
  Architecture architecture = Architecture::kMultiscale;
  Edition edition = Edition::k2024;
  int height = 28, width = 28;
  int couplings = 8;  ///< behind the dequantization; the tutorial's models have 8

  bool operator==(const ModelSpec&) const = default;
};

std::string architecture_name(Architecture architecture);  ///< "simple", "vardeq", "multiscale"
std::string edition_name(Edition edition);                 ///< "2024", "2022"

/// The inverse of the names; throw Error that lists the choices.
Architecture parse_architecture(std::string_view text);
Edition parse_edition(std::string_view text);

/// Throws Error unless the architecture can take images of the spec's size and this number of couplings.
void require_valid(const ModelSpec& spec);

}  // namespace flowsmith
