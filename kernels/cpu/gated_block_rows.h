// How many rows of an image the gated block takes at a time.
#pragma once

namespace flowsmith::core::cpu {

/// About 28 pixels: their 2c inputs, 2c outputs and the 1x1 weight fit the first-level cache.
inline int gated_block_rows(int w) { return w < 28 ? 28 / w : 1; }

}  // namespace flowsmith::core::cpu
