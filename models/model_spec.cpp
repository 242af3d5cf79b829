#include "models/model_spec.h"

#include "engine/error.h"

namespace flowsmith {

std::string architecture_name(Architecture architecture) {
  switch (architecture) {
    case Architecture::kSimple:
      return "simple";
    case Architecture::kVardeq:
      return "vardeq";
    case Architecture::kMultiscale:
      return "multiscale";
  }
  throw Error("unknown architecture");
}

std::string edition_name(Edition edition) { return edition == Edition::k2024 ? "2024" : "2022"; }

Architecture parse_architecture(std::string_view text) {
  if (text == "simple") return Architecture::kSimple;
  if (text == "vardeq") return Architecture::kVardeq;
  if (text == "multiscale") return Architecture::kMultiscale;
  throw Error("unknown model '" + std::string(text) + "': choose simple, vardeq or multiscale");
}

Edition parse_edition(std::string_view text) {
  if (text == "2024") return Edition::k2024;
  if (text == "2022") return Edition::k2022;
  throw Error("unknown edition '" + std::string(text) + "': choose 2024 or 2022");
}

void require_valid(const ModelSpec& spec) {
  const std::string size = std::to_string(spec.height) + "x" + std::to_string(spec.width);
  constexpr int kLargestSide = 1024;
  if (spec.height < 1 || spec.width < 1 || spec.height > kLargestSide || spec.width > kLargestSide) {
    throw Error("images of " + size + " pixels are not supported: each side must have 1 to 1024");
  }
  if (spec.architecture == Architecture::kMultiscale && (spec.height % 4 != 0 || spec.width % 4 != 0)) {
    throw Error("the multiscale model squeezes twice, so both sides of its images must be multiples of 4, not " + size +
                ": crop or pad the images, or choose --model simple or vardeq");
  }
  constexpr int kMostCouplings = 1024;
  const std::string couplings = std::to_string(spec.couplings);
  if (spec.couplings < 1 || spec.couplings > kMostCouplings) {
    throw Error("a flow of " + couplings + " couplings is not supported: choose 1 to 1024");
  }
  if (spec.architecture == Architecture::kMultiscale && spec.couplings % 4 != 0) {
    throw Error(
        "the multiscale model has a quarter of its couplings on each of its first two scales and half on the "
        "last, so their number must be a multiple of 4, not " +
        couplings);
  }
}

}  // namespace flowsmith
