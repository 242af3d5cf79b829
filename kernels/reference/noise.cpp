// Noise: every element asks Philox for the four words of its group and takes its own.
#include "kernels/noise.h"

#include "kernels/noise_math.h"

namespace flowsmith::core {

template <class T>
void uniform_noise(T* u, const std::uint32_t* index, const NoiseStream* stream, int n, std::size_t per_image,
                   Reference) {
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < per_image; ++j) {
      const PhiloxCounter words = noise_words(*stream, index[i], std::uint32_t(j / 4));
      u[i * per_image + j] = T(word_to_uniform(words[j % 4]));
    }
  }
}

template <class T>
void normal_noise(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale, int n,
                  std::size_t per_image, Reference) {
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < per_image; ++j) {
      const PhiloxCounter words = noise_words(*stream, index[i], std::uint32_t(j / 4));
      const NormalPair pair = j % 4 < 2 ? box_muller(words[0], words[1]) : box_muller(words[2], words[3]);
      z[i * per_image + j] = T(scale * (j % 2 == 0 ? pair.first : pair.second));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                          \
  template void uniform_noise(T*, const std::uint32_t*, const NoiseStream*, int, std::size_t, Reference); \
  template void normal_noise(T*, const std::uint32_t*, const NoiseStream*, double, int, std::size_t, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
