// The two products of channel_matmul.h on runs of neighbouring pixels, in vectors, by one thread. T is the type of
// their sums.
#pragma once

#include <cstddef>

namespace flowsmith::core::cpu {

/// Channels of a row in the working memory below: whole vectors on every machine.
inline std::size_t padded_channels(int c) { return (std::size_t(c) + 15) / 16 * 16; }

/// out[p][o] = sum over i < c, in order, of in[p][i] * columns[i][o]. Shapes: out, in (pixels, padded c),
/// columns (c, padded c).
void multiply_channels(float* out, const float* in, const float* columns, std::size_t pixels, int c);
void multiply_channels(double* out, const double* in, const double* columns, std::size_t pixels, int c);

/// sums[o][i] += sum over the pixels, in order, of a[p][o] * b[p][i]. Shapes: a, b (pixels, padded c), sums
/// (c, padded c).
void add_channel_products(double* sums, const float* a, const float* b, std::size_t pixels, int c);
void add_channel_products(double* sums, const double* a, const double* b, std::size_t pixels, int c);

}  // namespace flowsmith::core::cpu
