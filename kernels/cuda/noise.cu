// Noise on the GPU: a thread makes the four elements of one Philox counter and writes them at once.
//
//   words = philox4x32_10(image, group, draw, purpose; seed)     4 elements
//   uniform: the midpoint of the bin of a word; normal: Box-Muller in double from words 0,1 and words 2,3
//
// Memory plan: nothing is read but the index of the image and the stream, which is in device memory because its draw
// changes from step to step while a captured graph keeps its arguments. One 16-byte write per thread (two for double).
//
// Floor: PC f written (P C = elements; f = 4 or 8 bytes). About 100 integer instructions per four elements; a batch of
// 128 MNIST images, 0.4 MB, is far below the cost of a launch, and so training draws the noise inside
// dequantization.cu. Normals add a logarithm, a square root, a sine and a cosine in double per two elements; they are
// for samples only.
#include "kernels/cuda/grid.h"
#include "kernels/cuda/noise_groups.h"
#include "kernels/cuda/vector.h"
#include "kernels/noise.h"
#include "kernels/noise_math.h"

namespace flowsmith::core {
namespace {

template <class T>
__global__ void uniform_noise_kernel(T* u, const std::uint32_t* index, const NoiseStream* stream, unsigned per_image) {
  const NoiseStream noise = *stream;
  const std::uint32_t image = index[blockIdx.x];
  T* row = u + std::size_t(blockIdx.x) * per_image;
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    cuda::store_four(row, 4 * std::size_t(group), per_image, cuda::uniform_four<T>(noise, image, group));
  });
}

template <class T>
__global__ void normal_noise_kernel(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale,
                                    unsigned per_image) {
  const NoiseStream noise = *stream;
  const std::uint32_t image = index[blockIdx.x];
  T* row = z + std::size_t(blockIdx.x) * per_image;
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const PhiloxCounter words = noise_words(noise, image, group);
    const NormalPair a = box_muller(words[0], words[1]);
    const NormalPair b = box_muller(words[2], words[3]);
    const cuda::Four<T> four{{T(scale * a.first), T(scale * a.second), T(scale * b.first), T(scale * b.second)}};
    cuda::store_four(row, 4 * std::size_t(group), per_image, four);
  });
}

}  // namespace

template <class T, Gpu G>
void uniform_noise(T* u, const std::uint32_t* index, const NoiseStream* stream, int n, std::size_t per_image, G gpu) {
  if (n == 0 || per_image == 0) return;
  const unsigned elements = cuda::image_elements(per_image);
  FLOWSMITH_LAUNCH(uniform_noise_kernel<T>, cuda::image_grid(n, cuda::groups_of_four(elements)), cuda::kBlockThreads, 0,
                   gpu, u, index, stream, elements);
}

template <class T, Gpu G>
void normal_noise(T* z, const std::uint32_t* index, const NoiseStream* stream, double scale, int n,
                  std::size_t per_image, G gpu) {
  if (n == 0 || per_image == 0) return;
  const unsigned elements = cuda::image_elements(per_image);
  FLOWSMITH_LAUNCH(normal_noise_kernel<T>, cuda::image_grid(n, cuda::groups_of_four(elements)), cuda::kBlockThreads, 0,
                   gpu, z, index, stream, scale, elements);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                        \
  template void uniform_noise(T*, const std::uint32_t*, const NoiseStream*, int, std::size_t, ThisGpu); \
  template void normal_noise(T*, const std::uint32_t*, const NoiseStream*, double, int, std::size_t, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
