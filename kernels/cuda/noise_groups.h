// The uniform noise of a group of four elements, drawn where it is needed.
#pragma once

#include "kernels/cuda/vector.h"
#include "kernels/noise.h"

namespace flowsmith::core::cuda {

/// Elements 4*group ... 4*group+3 of image `image`, the bits that uniform_noise writes.
template <class T>
__device__ Four<T> uniform_four(const NoiseStream& stream, std::uint32_t image, unsigned group) {
  const PhiloxCounter words = noise_words(stream, image, group);
  return {{T(word_to_uniform(words[0])), T(word_to_uniform(words[1])), T(word_to_uniform(words[2])),
           T(word_to_uniform(words[3]))}};
}

}  // namespace flowsmith::core::cuda
