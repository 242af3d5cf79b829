// Noise: images over threads, one Philox call per group of four elements.
#include "kernels/noise.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/noise_math.h"

namespace flowsmith::core {
namespace {

/// Fills every row of out; make(words, four) turns the words of a group into its four elements.
template <class T, class Make>
void fill_groups(T* out, const std::uint32_t* index, NoiseStream stream, int n, std::size_t per_image, Make make) {
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    T* row = out + i * per_image;
    for (std::size_t j = 0; j < per_image; j += 4) {
      T four[4];
      make(noise_words(stream, index[i], std::uint32_t(j / 4)), four);
      std::copy_n(four, std::min<std::size_t>(4, per_image - j), row + j);
    }
  }
}

}  // namespace

template <class T>
void uniform_noise(T* u, const std::uint32_t* index, const NoiseStream* stream, int n, std::size_t per_image, Cpu) {
  fill_groups(u, index, *stream, n, per_image, [](const PhiloxCounter& words, T* four) {
    for (int k = 0; k < 4; ++k) four[k] = T(word_to_uniform(words[k]));
  });
}

template <class T>
void normal_noise(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale, int n,
                  std::size_t per_image, Cpu) {
  fill_groups(z, index, *stream, n, per_image, [scale](const PhiloxCounter& words, T* four) {
    const NormalPair a = box_muller(words[0], words[1]);
    const NormalPair b = box_muller(words[2], words[3]);
    four[0] = T(scale * a.first);
    four[1] = T(scale * a.second);
    four[2] = T(scale * b.first);
    four[3] = T(scale * b.second);
  });
}

#define FLOWSMITH_INSTANTIATE(T)                                                                    \
  template void uniform_noise(T*, const std::uint32_t*, const NoiseStream*, int, std::size_t, Cpu); \
  template void normal_noise(T*, const std::uint32_t*, const NoiseStream*, double, int, std::size_t, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
