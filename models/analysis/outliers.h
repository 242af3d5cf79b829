// Scores that are to tell data of another kind from those that a flow learned, and how well they do.
#pragma once

#include <cstdint>
#include <span>

namespace flowsmith::core {

/// Bits that zlib at its highest level takes for the bytes of an image, per byte: how complex it is to a compressor
/// that knows nothing of a flow (Serra et al. 2020, "Input complexity and out-of-distribution detection").
double complexity(std::span<const std::uint8_t> image);

/// The area under the curve of true against false positives: the probability that a number of `outliers` is larger than
/// one of `data`, equal ones counting half. 0.5 tells nothing, 1 all, below 0.5 the wrong way round. Throws Error if
/// one of them is empty or a number is NaN.
double auroc(std::span<const double> data, std::span<const double> outliers);

}  // namespace flowsmith::core
