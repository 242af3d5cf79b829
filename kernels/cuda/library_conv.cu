// Convolutions by NVIDIA's libraries (--conv cudnn), the yardstick of our own: 3x3 windows through cuDNN's
// convolutions, 1x1 windows as matrix products through cuBLAS; the formulas are in kernels/conv.h.
//
// Around them is what they do not do themselves: ELU-concat and its gradient in passes of their own (activation.cu),
// the bias in a pass over y, its gradient by weight_gradient.cu. cuDNN wants filters as [out][ky][kx][in] beside NHWC
// maps; ours are [ky][kx][in][out], the transpose of that matrix, so weights go through a transpose on every call, and
// weight gradients on their way back.
//
// Memory beyond what a library moves itself, in bytes: ELU-concat 12 P*c_x forward and 16 P*c_x backward, the bias 8
// P*c_out, the transpose 8 per weight. Scratch: concat_elu(x) or its gradient (8 P*c_x), a transposed weight, and what
// the library asks for.
//
// Only algorithms that cuDNN calls deterministic are taken, the fastest of them by its own judgement, once for each
// shape. Nothing waits for the GPU, so all of it can be captured: cuDNN and cuBLAS get their stream and their scratch
// memory from us at each call.
#include <array>
#include <climits>
#include <map>
#include <vector>

#include "kernels/activation.h"
#include "kernels/cuda/conv_launch.h"
#include "kernels/cuda/conv_libraries.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/library_conv.h"
#include "kernels/cuda/vector.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

constexpr int kTransposeTile = 32, kTransposeRows = 8;

/// to[column][row] = from[row][column]. Both sides in whole lines, by way of shared memory: rows * columns floats each.
__global__ void transpose_kernel(Grad<float> to, const float* from, int rows, int columns) {
  FLOWSMITH_SHARED(float, tile, [kTransposeTile][kTransposeTile + 1]);
  const int lane = int(threadIdx.x) % kTransposeTile, first = int(threadIdx.x) / kTransposeTile;
  const int row = int(blockIdx.y) * kTransposeTile, column = int(blockIdx.x) * kTransposeTile;
  for (int i = first; i < kTransposeTile; i += kTransposeRows) {
    if (row + i < rows && column + lane < columns) {
      tile[i][lane] = from[std::size_t(row + i) * columns + column + lane];
    }
  }
  __syncthreads();
  for (int i = first; i < kTransposeTile; i += kTransposeRows) {
    if (column + i < columns && row + lane < rows) {
      to.write(std::size_t(column + i) * rows + row + lane, tile[lane][i]);
    }
  }
}

template <Gpu G>
void transpose(Grad<float> to, const float* from, int rows, int columns, G gpu) {
  const auto tiles = [](int size) { return unsigned((size + kTransposeTile - 1) / kTransposeTile); };
  FLOWSMITH_LAUNCH(transpose_kernel, dim3(tiles(columns), tiles(rows)), kTransposeTile * kTransposeRows, 0, gpu, to,
                   from, rows, columns);
}

/// y += bias. 8 bytes per element.
template <int W>
__global__ void add_bias_kernel(float* y, const float* bias, unsigned items, int channels) {
  float* const image = y + std::size_t(blockIdx.x) * items * W;
  for_each_item(items, [&](unsigned item) {
    Vector<float, W> values = load_vector<W>(image + std::size_t(item) * W);
    const unsigned channel = item % (unsigned(channels) / W) * W;
    for (int i = 0; i < W; ++i) values[i] += bias[channel + i];
    store_vector(image + std::size_t(item) * W, values);
  });
}

template <Gpu G>
void add_bias(float* y, const float* bias, MapShape shape, G gpu) {
  const unsigned elements = image_elements(shape.image_size());
  if (shape.c % 4 == 0 && is_aligned<float, 4>(y)) {
    FLOWSMITH_LAUNCH(add_bias_kernel<4>, image_grid(shape.n, elements / 4), kBlockThreads, 0, gpu, y, bias,
                     elements / 4, shape.c);
  } else {
    FLOWSMITH_LAUNCH(add_bias_kernel<1>, image_grid(shape.n, elements), kBlockThreads, 0, gpu, y, bias, elements,
                     shape.c);
  }
}

enum class Direction { kForward, kData, kWeights };

/// How cuDNN does one convolution. Descriptors live as long as the process.
struct CudnnPlan {
  void *x = nullptr, *y = nullptr, *weight = nullptr, *convolution = nullptr;
  int algorithm = 0;
  std::size_t workspace_bytes = 0;
};

/// The libraries at work: one handle each, and the plans made so far, for the one GPU that a process uses.
class Session {
 public:
  static Session& instance() {
    static Session session;
    return session;
  }

  const Cudnn& cudnn() const { return libraries_.cudnn; }
  const Cublas& cublas() const { return libraries_.cublas; }
  void* cudnn_on(void* stream) {
    check(cudnn().cudnnSetStream(cudnn_, stream), "cudnnSetStream");
    return cudnn_;
  }
  /// cuBLAS forgets its workspace when it gets a stream.
  void* cublas_on(void* stream, void* workspace, std::size_t bytes) {
    check_cublas(cublas().cublasSetStream_v2(cublas_, stream), "cublasSetStream");
    check_cublas(cublas().cublasSetWorkspace_v2(cublas_, workspace, bytes), "cublasSetWorkspace");
    return cublas_;
  }

  void check(int status, const char* what) const {
    if (status != kLibrarySuccess) fail("cuDNN", cudnn().cudnnGetErrorString(status), what);
  }
  void check_cublas(int status, const char* what) const {
    if (status != kLibrarySuccess) fail("cuBLAS", cublas().cublasGetStatusString(status), what);
  }

  const CudnnPlan& plan(Direction direction, ConvShape s, NetPrecision precision) {
    const std::array<int, 7> key{int(direction), int(precision), s.n, s.h, s.w, s.c_in, s.c_out};
    const auto found = plans_.find(key);
    return found != plans_.end() ? found->second
                                 : plans_.emplace(key, make_plan(direction, s, precision)).first->second;
  }

 private:
  Session() : libraries_(conv_libraries<ThisGpu>()) {
    check(cudnn().cudnnCreate(&cudnn_), "cudnnCreate");
    check_cublas(cublas().cublasCreate_v2(&cublas_), "cublasCreate");
  }

  [[noreturn]] static void fail(const char* library, const char* why, const char* what) {
    throw ConvLibraryError(std::string(library) + ": " + why + " in " + what);
  }

  CudnnPlan make_plan(Direction direction, ConvShape s, NetPrecision precision) {
    const Cudnn& api = cudnn();
    CudnnPlan plan;
    const int math = precision == NetPrecision::kFp32 ? kCudnnFmaMath : kCudnnDefaultMath;
    check(api.cudnnCreateTensorDescriptor(&plan.x), "cudnnCreateTensorDescriptor");
    check(api.cudnnCreateTensorDescriptor(&plan.y), "cudnnCreateTensorDescriptor");
    check(api.cudnnCreateFilterDescriptor(&plan.weight), "cudnnCreateFilterDescriptor");
    check(api.cudnnCreateConvolutionDescriptor(&plan.convolution), "cudnnCreateConvolutionDescriptor");
    check(api.cudnnSetTensor4dDescriptor(plan.x, kCudnnNhwc, kCudnnFloat, s.n, s.c_in, s.h, s.w),
          "cudnnSetTensor4dDescriptor");
    check(api.cudnnSetTensor4dDescriptor(plan.y, kCudnnNhwc, kCudnnFloat, s.n, s.c_out, s.h, s.w),
          "cudnnSetTensor4dDescriptor");
    check(api.cudnnSetFilter4dDescriptor(plan.weight, kCudnnFloat, kCudnnNhwc, s.c_out, s.c_in, 3, 3),
          "cudnnSetFilter4dDescriptor");
    check(api.cudnnSetConvolution2dDescriptor(plan.convolution, 1, 1, 1, 1, 1, 1, kCudnnCrossCorrelation, kCudnnFloat),
          "cudnnSetConvolution2dDescriptor");
    check(api.cudnnSetConvolutionMathType(plan.convolution, math), "cudnnSetConvolutionMathType");
    for (const CudnnAlgorithm& candidate : candidates(direction, plan)) {
      if (candidate.status != kLibrarySuccess || candidate.determinism != kCudnnDeterministic) continue;
      if (math == kCudnnFmaMath && candidate.math_type != kCudnnFmaMath) continue;
      check(api.cudnnSetConvolutionMathType(plan.convolution, candidate.math_type), "cudnnSetConvolutionMathType");
      plan.algorithm = candidate.algorithm;
      if (find_workspace(direction, plan)) return plan;
    }
    throw ConvLibraryError("cuDNN has no deterministic algorithm for a 3x3 convolution of " + std::to_string(s.n) +
                           "x" + std::to_string(s.h) + "x" + std::to_string(s.w) + " pixels from " +
                           std::to_string(s.c_in) + " to " + std::to_string(s.c_out) + " channels");
  }

  /// What cuDNN would take, best first.
  std::vector<CudnnAlgorithm> candidates(Direction direction, const CudnnPlan& p) {
    const Cudnn& api = cudnn();
    std::vector<CudnnAlgorithm> list(kCudnnMostAlgorithms);
    int count = 0;
    switch (direction) {
      case Direction::kForward:
        check(api.cudnnGetConvolutionForwardAlgorithm_v7(cudnn_, p.x, p.weight, p.convolution, p.y,
                                                         kCudnnMostAlgorithms, &count, list.data()),
              "cudnnGetConvolutionForwardAlgorithm_v7");
        break;
      case Direction::kData:
        check(api.cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn_, p.weight, p.y, p.convolution, p.x,
                                                              kCudnnMostAlgorithms, &count, list.data()),
              "cudnnGetConvolutionBackwardDataAlgorithm_v7");
        break;
      case Direction::kWeights:
        check(api.cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn_, p.x, p.y, p.convolution, p.weight,
                                                                kCudnnMostAlgorithms, &count, list.data()),
              "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
        break;
    }
    list.resize(std::size_t(count));
    return list;
  }

  /// False: the algorithm cannot do this convolution after all.
  bool find_workspace(Direction direction, CudnnPlan& p) {
    const Cudnn& api = cudnn();
    std::size_t* const bytes = &p.workspace_bytes;
    switch (direction) {
      case Direction::kForward:
        return api.cudnnGetConvolutionForwardWorkspaceSize(cudnn_, p.x, p.weight, p.convolution, p.y, p.algorithm,
                                                           bytes) == kLibrarySuccess;
      case Direction::kData:
        return api.cudnnGetConvolutionBackwardDataWorkspaceSize(cudnn_, p.weight, p.y, p.convolution, p.x, p.algorithm,
                                                                bytes) == kLibrarySuccess;
      case Direction::kWeights:
        return api.cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnn_, p.x, p.y, p.convolution, p.weight,
                                                                  p.algorithm, bytes) == kLibrarySuccess;
    }
    return false;
  }

  const ConvLibraries& libraries_;
  void *cudnn_ = nullptr, *cublas_ = nullptr;
  std::map<std::array<int, 7>, CudnnPlan> plans_;
};

/// What NVIDIA recommends for Hopper. The emulator fills scratch memory with garbage each time, so less of it there.
constexpr std::size_t kCublasWorkspaceBytes = std::is_same_v<ThisGpu, Emulated> ? 4096 : std::size_t(32) << 20;

/// The bias gradient is a sum over the batch that weight_gradient.cu knows: that of a convolution without weights.
ConvShape bias_shape(ConvShape s) { return {s.n, s.h, s.w, 1, s.c_out, 1, false}; }

template <Gpu G>
G ours(G gpu) {
  gpu.conv = ConvAlgorithm::kFused;
  return gpu;
}

/// Where things lie in the scratch memory of a launch, in bytes.
struct Scratch {
  std::size_t concat = 0, weight = 0, library = 0, bias = 0, all = 0;
  std::size_t library_bytes = 0;

  template <Gpu G>
  Scratch(Direction direction, ConvShape s, G gpu) {
    if (gpu.precision != NetPrecision::kFp32 && gpu.precision != NetPrecision::kTf32) {
      throw ConvLibraryError("convolutions by cuDNN take networks in fp32 or tf32");
    }
    if (s.y().size() / s.c_out > INT_MAX) {
      throw ConvLibraryError("a batch of " + std::to_string(s.y().size() / s.c_out) +
                             " pixels is too large for cuDNN, which takes fewer than 2^31: choose a smaller batch");
    }
    library_bytes =
        s.kernel == 3 ? Session::instance().plan(direction, s, gpu.precision).workspace_bytes : kCublasWorkspaceBytes;
    concat = take(s.concat_elu ? 2 * s.x().size() * sizeof(float) : 0);
    weight = take(s.kernel == 3 ? s.weight_size() * sizeof(float) : 0);
    library = take(library_bytes);
    bias = take(direction == Direction::kWeights ? weight_gradient_bytes(bias_shape(s), ours(gpu)) : 0);
  }

 private:
  std::size_t take(std::size_t bytes) {
    const std::size_t begin = all;
    all += aligned(bytes);
    return begin;
  }
};

float* floats(void* scratch, std::size_t offset) {
  return reinterpret_cast<float*>(static_cast<char*>(scratch) + offset);
}

/// c (rows, columns) = a (rows, depth) * b (depth, columns) + beta * c, all stored row after row; `transposed` ones as
/// (depth, rows) and (columns, depth). To cuBLAS, which counts column by column, that is c' = b' * a'.
template <Gpu G>
void multiply(float* c, const float* a, bool a_transposed, const float* b, bool b_transposed, int rows, int columns,
              int depth, float beta, void* workspace, G gpu) {
  Session& session = Session::instance();
  void* const handle = session.cublas_on(gpu.stream, workspace, kCublasWorkspaceBytes);
  const float alpha = 1;
  const auto operation = [](bool transposed) { return transposed ? kCublasTransposed : kCublasNormal; };
  const int compute = gpu.precision == NetPrecision::kTf32 ? kCublasComputeTf32 : kCublasCompute32;
  session.check_cublas(session.cublas().cublasGemmEx(
                           handle, operation(b_transposed), operation(a_transposed), columns, rows, depth, &alpha, b,
                           kCublasFloat, b_transposed ? depth : columns, a, kCublasFloat, a_transposed ? rows : depth,
                           &beta, c, kCublasFloat, columns, compute, kCublasDefaultGemm),
                       "cublasGemmEx");
}

int pixels_of(ConvShape s) { return int(s.y().size() / s.c_out); }

float beta_of(GradMode mode) { return mode == GradMode::kAccumulate ? 1.0f : 0.0f; }

/// x as the convolution sees it.
template <Gpu G>
const float* activated(const float* x, float* concat, ConvShape s, G gpu) {
  if (!s.concat_elu) return x;
  concat_elu_forward(concat, x, s.x(), gpu);
  return concat;
}

}  // namespace

namespace cuda {

template <Gpu G>
std::size_t library_forward_bytes(ConvShape shape, G gpu) {
  return Scratch(Direction::kForward, shape, gpu).all;
}
template <Gpu G>
std::size_t library_backward_data_bytes(ConvShape shape, G gpu) {
  return Scratch(Direction::kData, shape, gpu).all;
}
template <Gpu G>
std::size_t library_weight_gradient_bytes(ConvShape shape, G gpu) {
  return Scratch(Direction::kWeights, shape, gpu).all;
}

template <Gpu G>
void library_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape s, void* scratch,
                     G gpu) {
  const Scratch at(Direction::kForward, s, gpu);
  const float* const a = activated(x, floats(scratch, at.concat), s, gpu);
  float* const library = floats(scratch, at.library);
  if (s.kernel == 3) {
    float* const filter = floats(scratch, at.weight);
    transpose(Grad<float>{filter}, weight, 9 * s.c_in, s.c_out, gpu);
    Session& session = Session::instance();
    const CudnnPlan& p = session.plan(Direction::kForward, s, gpu.precision);
    const float alpha = 1, beta = 0;
    session.check(
        session.cudnn().cudnnConvolutionForward(session.cudnn_on(gpu.stream), &alpha, p.x, a, p.weight, filter,
                                                p.convolution, p.algorithm, library, p.workspace_bytes, &beta, p.y, y),
        "cudnnConvolutionForward");
  } else {
    multiply(y, a, false, weight, false, pixels_of(s), s.c_out, s.c_in, 0, library, gpu);
  }
  add_bias(y, bias, s.y(), gpu);
}

template <Gpu G>
void library_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape s,
                           void* scratch, G gpu) {
  const Scratch at(Direction::kData, s, gpu);
  const Grad<float> da = s.concat_elu ? Grad<float>{floats(scratch, at.concat)} : dx;
  float* const library = floats(scratch, at.library);
  const float alpha = 1, beta = beta_of(da.mode);
  if (s.kernel == 3) {
    float* const filter = floats(scratch, at.weight);
    transpose(Grad<float>{filter}, weight, 9 * s.c_in, s.c_out, gpu);
    Session& session = Session::instance();
    const CudnnPlan& p = session.plan(Direction::kData, s, gpu.precision);
    session.check(session.cudnn().cudnnConvolutionBackwardData(session.cudnn_on(gpu.stream), &alpha, p.weight, filter,
                                                               p.y, dy, p.convolution, p.algorithm, library,
                                                               p.workspace_bytes, &beta, p.x, da.data),
                  "cudnnConvolutionBackwardData");
  } else {
    multiply(da.data, dy, false, weight, true, pixels_of(s), s.c_in, s.c_out, beta, library, gpu);
  }
  if (s.concat_elu) concat_elu_backward(dx, da.data, x, s.x(), gpu);
}

template <Gpu G>
void library_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape s,
                             void* scratch, G gpu) {
  const Scratch at(Direction::kWeights, s, gpu);
  if (dweight) {
    const float* const a = activated(x, floats(scratch, at.concat), s, gpu);
    float* const library = floats(scratch, at.library);
    if (s.kernel == 3) {
      float* const dfilter = floats(scratch, at.weight);
      Session& session = Session::instance();
      const CudnnPlan& p = session.plan(Direction::kWeights, s, gpu.precision);
      const float alpha = 1, beta = 0;
      session.check(session.cudnn().cudnnConvolutionBackwardFilter(session.cudnn_on(gpu.stream), &alpha, p.x, a, p.y,
                                                                   dy, p.convolution, p.algorithm, library,
                                                                   p.workspace_bytes, &beta, p.weight, dfilter),
                    "cudnnConvolutionBackwardFilter");
      transpose(dweight, dfilter, s.c_out, 9 * s.c_in, gpu);
    } else {
      multiply(dweight.data, a, true, dy, false, s.c_in, s.c_out, pixels_of(s), beta_of(dweight.mode), library, gpu);
    }
  }
  launch_weight_gradient(Grad<float>{}, dbias, dy, static_cast<const float*>(nullptr), bias_shape(s),
                         floats(scratch, at.bias), ours(gpu));
}

template std::size_t library_forward_bytes(ConvShape, ThisGpu);
template std::size_t library_backward_data_bytes(ConvShape, ThisGpu);
template std::size_t library_weight_gradient_bytes(ConvShape, ThisGpu);
template void library_forward(float*, const float*, const float*, const float*, ConvShape, void*, ThisGpu);
template void library_backward_data(Grad<float>, const float*, const float*, const float*, ConvShape, void*, ThisGpu);
template void library_weight_gradient(Grad<float>, Grad<float>, const float*, const float*, ConvShape, void*, ThisGpu);

}  // namespace cuda
}  // namespace flowsmith::core
