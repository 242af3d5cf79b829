// Counter-based noise: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011, section 3.3).
//
// The noise of an image is a pure function of (seed, image index, element, draw, purpose). It does not
// depend on the batch the image is in, on the number of threads, nor on the device, and nothing has to
// be stored to resume a run.
#pragma once

#include <array>

#include "kernels/types.h"

namespace flowsmith::core {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Ten rounds of Philox4x32: 128 random bits for one counter and key.
FLOWSMITH_HD inline PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {std::uint32_t(b >> 32) ^ counter[1] ^ key[0], std::uint32_t(b),
               std::uint32_t(a >> 32) ^ counter[3] ^ key[1], std::uint32_t(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// What a noise stream is for: streams of different purpose never share a counter.
enum class NoisePurpose : std::uint32_t {
  kTraining = 1,    ///< dequantization noise of training images; draw = epoch
  kValidation = 2,  ///< dequantization noise of validation images; draw = 0 in every epoch
  kScoring = 3,     ///< dequantization noise of scored or encoded images; draw = importance sample
  kPrior = 4,       ///< latents of a sample; draw = index of the latent (0: final, k: k-th split)
  kShuffle = 5,     ///< data order; draw = epoch
  kWeights = 6,     ///< initial weights; draw = index of the parameter
  kToyData = 7,     ///< points of a toy density, by number instead of image; draw = subset
  kOrder = 8,       ///< fixed random orders of channels; draw = 0
  kRotation = 9,    ///< random rotations that weights start from; draw = 0
};

struct NoiseStream {
  std::uint64_t seed = 0;
  NoisePurpose purpose = NoisePurpose::kTraining;
  std::uint32_t draw = 0;
};

/// The four words of elements 4*group ... 4*group+3 of image `image` in `stream`.
FLOWSMITH_HD inline PhiloxCounter noise_words(NoiseStream stream, std::uint32_t image, std::uint32_t group) {
  return philox4x32_10({image, group, stream.draw, std::uint32_t(stream.purpose)},
                       {std::uint32_t(stream.seed), std::uint32_t(stream.seed >> 32)});
}

/// Uniform on the open interval (0, 1): the midpoint of one of 2^23 equal bins, exact in float, so
/// that in double x + u never touches an integer and floor(x + u) gives x back.
FLOWSMITH_HD inline float word_to_uniform(std::uint32_t word) {
  return (float(word >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

/// u[i][j] ~ U(0,1) for image index[i], elements j < per_image. Shapes: u (n, per_image), index (n).
/// `stream` lies where index does: on a GPU its draw changes while a captured graph keeps its arguments.
template <class T>
void uniform_noise(T* u, const std::uint32_t* index, const NoiseStream* stream, int n, std::size_t per_image,
                   Reference);
template <class T>
void uniform_noise(T* u, const std::uint32_t* index, const NoiseStream* stream, int n, std::size_t per_image, Cpu);
template <class T, Gpu G>
void uniform_noise(T* u, const std::uint32_t* index, const NoiseStream* stream, int n, std::size_t per_image, G gpu);

/// z[i][j] ~ N(0, scale^2) by Box-Muller (Box and Muller 1958), computed in double; words 0,1 of a
/// group make its first two normals and words 2,3 the others. Shapes as for uniform_noise.
template <class T>
void normal_noise(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale, int n,
                  std::size_t per_image, Reference);
template <class T>
void normal_noise(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale, int n,
                  std::size_t per_image, Cpu);
template <class T, Gpu G>
void normal_noise(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale, int n,
                  std::size_t per_image, G gpu);

}  // namespace flowsmith::core
