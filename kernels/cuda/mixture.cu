// The mixture of diagonal normals on the GPU.
//
//   log p(z) = log sum_k w[k] prod_j N(z[j]; mean[k,j], exp(log_scale[k,j])), its gradients and samples:
//   kernels/mixture.h
//
// Memory plan: first a block per component inverts its scales into scratch and sums their logarithms. The density has
// a block per image and component, one block_sum each, and a thread per image brings the components together. The
// gradient for z has a thread per element that walks the components, those for means and scales a thread per parameter
// that walks the images in order, that for the logits a block per component. Neighbouring threads read neighbouring
// elements everywhere. A sample is normal_noise, shifted and scaled in place.
//
// Floor, with D elements, K components, n images: forward n D f + K D (2 f + 16 bytes), 4 n K D FLOPs in double;
// backward twice the FLOPs for z and twice for the parameters, 2 n D f + K D (4 f + 24 bytes). 128 MNIST images and 10
// components: 1 million terms, 0.8 MB, 0.3 us at 3 TB/s; the launches cost more.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/mixture.h"
#include "kernels/mixture_math.h"
#include "kernels/prior_math.h"

namespace flowsmith::core {
namespace {

/// What all images share, in scratch memory.
struct SharedTerms {
  double* inverse_scale;  ///< (K, D)
  double* log_weight;     ///< (K)
  double* log_volume;     ///< (K): the sum of log_scale
};

/// Block k does component k.
__global__ void mixture_terms_kernel(SharedTerms shared, MixtureParameters<float> mixture, unsigned per_image) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  double sum = 0;
  cuda::for_each_item(per_image, [&](unsigned j) {
    shared.inverse_scale[row + j] = inverse_scale(mixture.log_scale[row + j]);
    sum += mixture.log_scale[row + j];
  });
  sum = cuda::block_sum(sum);
  if (threadIdx.x != 0) return;
  shared.log_volume[blockIdx.x] = sum;
  const double log_total = log_sum_exp(mixture.weight_logits, mixture.components);
  shared.log_weight[blockIdx.x] = mixture.weight_logits[blockIdx.x] - log_total;
}

/// terms[image blockIdx.x, component blockIdx.y] = the logarithm of weight times density.
template <class Z>
__global__ void mixture_components_kernel(double* terms, const Z* z, const float* mean, SharedTerms shared,
                                          unsigned per_image) {
  const Z* row = z + std::size_t(blockIdx.x) * per_image;
  const std::size_t at = std::size_t(blockIdx.y) * per_image;
  double square = 0;
  for (unsigned j = threadIdx.x; j < per_image; j += blockDim.x) {
    const double d = (row[j] - double(mean[at + j])) * shared.inverse_scale[at + j];
    square += d * d;
  }
  square = cuda::block_sum(square);
  if (threadIdx.x == 0) {
    terms[std::size_t(blockIdx.x) * gridDim.y + blockIdx.y] =
        shared.log_weight[blockIdx.y] - shared.log_volume[blockIdx.y] + standard_normal_log_density(square, per_image);
  }
}

__global__ void mixture_normalise_kernel(double* logp, double* terms, int n, int components) {
  const std::size_t i = cuda::flat_item();
  if (i < std::size_t(n)) logp[i] += normalise_components(terms + i * components, components);
}

template <class Z>
__global__ void mixture_backward_z_kernel(Grad<Z> dz, const double* dlogp, const double* responsibility, const Z* z,
                                          const float* mean, SharedTerms shared, unsigned per_image, int components) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  const double dl = dlogp[blockIdx.x];
  const double* of_image = responsibility + std::size_t(blockIdx.x) * components;
  cuda::for_each_item(per_image, [&](unsigned j) {
    const double value = z[row + j];
    double sum = 0;
    for (int k = 0; k < components; ++k) {
      const double a = dl * of_image[k];
      if (a == 0) continue;  // the rule where components are far apart
      const std::size_t at = std::size_t(k) * per_image + j;
      const double inverse = shared.inverse_scale[at];
      sum -= a * ((value - double(mean[at])) * inverse) * inverse;
    }
    dz.write(row + j, Z(sum));
  });
}

/// Component blockIdx.x; each gradient may be null.
template <class Z>
__global__ void mixture_backward_parameters_kernel(Grad<float> dmean, Grad<float> dlog_scale, const double* dlogp,
                                                   const double* responsibility, const Z* z, const float* mean,
                                                   SharedTerms shared, int n, unsigned per_image, int components) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  cuda::for_each_item(per_image, [&](unsigned j) {
    const double center = mean[row + j], inverse = shared.inverse_scale[row + j];
    double of_mean = 0, of_scale = 0;
    for (int i = 0; i < n; ++i) {
      const double a = dlogp[i] * responsibility[std::size_t(i) * components + blockIdx.x];
      if (a == 0) continue;
      const double d = (z[std::size_t(i) * per_image + j] - center) * inverse;
      of_mean += a * d * inverse;
      of_scale += a * (d * d - 1);
    }
    if (dmean.data != nullptr) dmean.write(row + j, float(of_mean));
    if (dlog_scale.data != nullptr) dlog_scale.write(row + j, float(of_scale));
  });
}

/// Block k does logit k.
__global__ void mixture_backward_logits_kernel(Grad<float> dweight_logits, const double* dlogp,
                                               const double* responsibility, SharedTerms shared, int n,
                                               int components) {
  const double weight = std::exp(shared.log_weight[blockIdx.x]);
  double sum = 0;
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) {
    sum += dlogp[i] * (responsibility[std::size_t(i) * components + blockIdx.x] - weight);
  }
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) dweight_logits.write(blockIdx.x, float(sum));
}

/// z holds normal noise and becomes the sample.
template <class Z>
__global__ void mixture_sample_kernel(Z* z, const std::uint32_t* index, const NoiseStream* stream,
                                      MixtureParameters<float> mixture, unsigned per_image) {
  FLOWSMITH_SHARED(int, component, [1]);
  if (threadIdx.x == 0) {
    component[0] = drawn_component(*stream, index[blockIdx.x], mixture.weight_logits, mixture.components);
  }
  __syncthreads();
  Z* row = z + std::size_t(blockIdx.x) * per_image;
  const std::size_t at = std::size_t(component[0]) * per_image;
  cuda::for_each_item(per_image, [&](unsigned j) {
    row[j] = Z(mixture.mean[at + j] + std::exp(double(mixture.log_scale[at + j])) * row[j]);
  });
}

template <Gpu G>
SharedTerms shared_terms(const MixtureParameters<float>& mixture, std::size_t per_image, G gpu) {
  const std::size_t components = mixture.components, size = components * per_image;
  auto* const memory = static_cast<double*>(gpu.workspace->reserve((size + 2 * components) * sizeof(double)));
  const SharedTerms shared{memory, memory + size, memory + size + components};
  FLOWSMITH_LAUNCH(mixture_terms_kernel, dim3(unsigned(components)), cuda::kBlockThreads, 0, gpu, shared, mixture,
                   cuda::image_elements(per_image));
  return shared;
}

}  // namespace

template <class Z, Gpu G>
void mixture_log_density_forward(double* logp, double* responsibility, const Z* z, MixtureParameters<float> mixture,
                                 int n, std::size_t per_image, G gpu) {
  if (n == 0) return;
  const SharedTerms shared = shared_terms(mixture, per_image, gpu);
  FLOWSMITH_LAUNCH(mixture_components_kernel<Z>, dim3(unsigned(n), unsigned(mixture.components)), cuda::kBlockThreads,
                   0, gpu, responsibility, z, mixture.mean, shared, cuda::image_elements(per_image));
  FLOWSMITH_LAUNCH(mixture_normalise_kernel, cuda::flat_grid(n), cuda::kBlockThreads, 0, gpu, logp, responsibility, n,
                   mixture.components);
}

template <class Z, Gpu G>
void mixture_log_density_backward(Grad<Z> dz, MixtureGrads<float> dmixture, const double* dlogp,
                                  const double* responsibility, const Z* z, MixtureParameters<float> mixture, int n,
                                  std::size_t per_image, G gpu) {
  if (!dz && !dmixture) return;
  const int components = mixture.components;
  const unsigned elements = cuda::image_elements(per_image);
  const SharedTerms shared = shared_terms(mixture, per_image, gpu);
  if (dz && n > 0) {
    FLOWSMITH_LAUNCH(mixture_backward_z_kernel<Z>, cuda::image_grid(n, elements), cuda::kBlockThreads, 0, gpu, dz,
                     dlogp, responsibility, z, mixture.mean, shared, elements, components);
  }
  if (dmixture.mean || dmixture.log_scale) {
    FLOWSMITH_LAUNCH(mixture_backward_parameters_kernel<Z>, cuda::image_grid(components, elements), cuda::kBlockThreads,
                     0, gpu, dmixture.mean, dmixture.log_scale, dlogp, responsibility, z, mixture.mean, shared, n,
                     elements, components);
  }
  if (dmixture.weight_logits) {
    FLOWSMITH_LAUNCH(mixture_backward_logits_kernel, dim3(unsigned(components)), cuda::kBlockThreads, 0, gpu,
                     dmixture.weight_logits, dlogp, responsibility, shared, n, components);
  }
}

template <class Z, Gpu G>
void mixture_sample(Z* z, const std::uint32_t* index, const NoiseStream* stream, double temperature,
                    MixtureParameters<float> mixture, int n, std::size_t per_image, G gpu) {
  if (n == 0) return;
  normal_noise(z, index, stream, temperature, n, per_image, gpu);
  const unsigned elements = cuda::image_elements(per_image);
  FLOWSMITH_LAUNCH(mixture_sample_kernel<Z>, cuda::image_grid(n, elements), cuda::kBlockThreads, 0, gpu, z, index,
                   stream, mixture, elements);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                    \
  template void mixture_log_density_forward(double*, double*, const Z*, MixtureParameters<float>, int, std::size_t, \
                                            ThisGpu);                                                               \
  template void mixture_log_density_backward(Grad<Z>, MixtureGrads<float>, const double*, const double*, const Z*,  \
                                             MixtureParameters<float>, int, std::size_t, ThisGpu);                  \
  template void mixture_sample(Z*, const std::uint32_t*, const NoiseStream*, double, MixtureParameters<float>, int, \
                               std::size_t, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
