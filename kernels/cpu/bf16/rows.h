// Between the run of a product, which has the border of the image in it, and maps without one.
#pragma once

#include <algorithm>

#include "kernels/cpu/bf16/image.h"
#include "kernels/cpu/pixel_rows.h"
#include "kernels/types.h"

namespace flowsmith::core::cpu::bf16 {

/// to (h,w,c) = the image's pixels of a run with c channels.
inline void copy_run(float* to, const float* run, const Layout& layout, int c) {
  for (int y = 0; y < layout.h; ++y) {
    std::copy_n(run + std::size_t(y) * layout.row() * c, std::size_t(layout.w) * c, to + std::size_t(y) * layout.w * c);
  }
}

/// dx (+)= the gradient for x (h,w,x_channels), `run` holding that of x, or that of concat(elu(x), elu(-x)).
inline void add_run_gradient(Grad<float> dx, const float* run, const float* x, const Layout& layout, int x_channels,
                             bool concat_elu) {
  const int c = concat_elu ? 2 * x_channels : x_channels;
  for (int y = 0; y < layout.h; ++y) {
    const float* const from = run + std::size_t(y) * layout.row() * c;
    const std::size_t first = std::size_t(y) * layout.w * x_channels;
    if (concat_elu) {
      concat_elu_gradient_pixels({dx.data + first, dx.mode}, from, x + first, layout.w, x_channels);
    } else {
      for (std::size_t i = 0; i < std::size_t(layout.w) * x_channels; ++i) dx.write(first + i, from[i]);
    }
  }
}

}  // namespace flowsmith::core::cpu::bf16
