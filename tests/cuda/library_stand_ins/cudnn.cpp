// libcudnn.so.9 for the emulated device: see stand_in.h. Convolutions of NHWC floats with filters [out][ky][kx][in].
#include <memory>
#include <vector>

#include "tests/cuda/library_stand_ins/stand_in.h"

namespace {

using namespace flowsmith::core;
using namespace flowsmith::core::stand_in;
using namespace flowsmith::core::cuda;

constexpr int kBadParam = 2000, kNotSupported = 3000;  // CUDNN_STATUS_BAD_PARAM, CUDNN_STATUS_NOT_SUPPORTED

/// What an algorithm wants as workspace, beside what depends on the shape. Number 1 is the one to take.
constexpr std::size_t kWorkspaceBytes = 777;
constexpr int kGoodAlgorithm = 1;

struct Tensor {
  int n = 0, c = 0, h = 0, w = 0;
  std::size_t size() const { return std::size_t(n) * c * h * w; }
};
struct Filter {
  int out = 0, in = 0, h = 0, w = 0;
  std::size_t size() const { return std::size_t(out) * in * h * w; }
};
struct Convolution {
  bool set = false;
  int math = kCudnnDefaultMath;
};
struct Handle {
  void* stream = nullptr;
};

/// Descriptors, which nobody destroys, and which the end of the process finds here.
template <class T>
int create(void** descriptor) {
  static std::vector<std::unique_ptr<T>> all;
  all.push_back(std::make_unique<T>());
  *descriptor = all.back().get();
  return kLibrarySuccess;
}

template <class T>
const T& of(void* descriptor) {
  return *static_cast<const T*>(descriptor);
}

bool fit(const Tensor& x, const Filter& w, const Convolution& conv, const Tensor& y) {
  return conv.set && x.size() > 0 && w.size() > 0 && w.h == 3 && w.w == 3 && x.c == w.in && y.c == w.out &&
         x.n == y.n && x.h == y.h && x.w == y.w;
}

bool fit(void* x, void* w, void* conv, void* y) {
  return fit(of<Tensor>(x), of<Filter>(w), of<Convolution>(conv), of<Tensor>(y));
}

/// First those that must not be taken: one that fails, one whose sums have no fixed order, and with FMA one that
/// rounds.
int list_algorithms(bool fits, const Convolution& conv, int most, int* count, CudnnAlgorithm* results) {
  if (!fits || most < 4) return kBadParam;
  results[0] = {6, kNotSupported, -1, 0, kCudnnDeterministic, conv.math, {}};
  results[1] = {0, kLibrarySuccess, -1, 0, 0, conv.math, {}};
  results[2] = {kGoodAlgorithm, kLibrarySuccess, -1, kWorkspaceBytes, kCudnnDeterministic, kCudnnDefaultMath, {}};
  results[3] = {kGoodAlgorithm, kLibrarySuccess, -1, kWorkspaceBytes, kCudnnDeterministic, conv.math, {}};
  *count = 4;
  return kLibrarySuccess;
}

int workspace_size(bool fits, int algorithm, std::size_t* bytes) {
  if (!fits || algorithm != kGoodAlgorithm) return kBadParam;
  *bytes = kWorkspaceBytes;
  return kLibrarySuccess;
}

/// What all three convolutions ask of their arguments, of which `output` is written; then run(factor, alpha, beta) goes
/// to the stream.
template <class Run>
int convolve(void* handle, const void* output, std::size_t count, void* x_shape, const void* x, void* w_shape,
             const void* w, void* conv, void* y_shape, const void* y, int algorithm, void* workspace, std::size_t bytes,
             const void* alpha, const void* beta, const Run& run) {
  if (!fit(x_shape, w_shape, conv, y_shape) || algorithm != kGoodAlgorithm || bytes < kWorkspaceBytes) return kBadParam;
  if (!on_device(x, of<Tensor>(x_shape).size()) || !on_device(w, of<Filter>(w_shape).size()) ||
      !on_device(y, of<Tensor>(y_shape).size()) || !on_device(workspace, bytes / sizeof(float))) {
    return kBadParam;
  }
  const bool rounds = of<Convolution>(conv).math == kCudnnDefaultMath;
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  enqueue(of<Handle>(handle).stream, output, count, [=] {
    std::memset(workspace, 0xff, bytes);
    run([rounds](float value) { return double(rounds ? rounded_to_tf32(value) : value); }, scale, keep);
  });
  return kLibrarySuccess;
}

/// Calls body(x index of channel 0, y index of channel 0, tap) for every pixel of y and every tap inside the image.
template <class Body>
void for_each_tap(const Tensor& x, const Tensor& y, Body body) {
  for (int n = 0; n < y.n; ++n) {
    for (int i = 0; i < y.h; ++i) {
      for (int j = 0; j < y.w; ++j) {
        for (int tap = 0; tap < 9; ++tap) {
          const int row = i + tap / 3 - 1, column = j + tap % 3 - 1;
          if (row < 0 || row >= x.h || column < 0 || column >= x.w) continue;
          body(((std::size_t(n) * x.h + row) * x.w + column) * x.c, ((std::size_t(n) * y.h + i) * y.w + j) * y.c, tap);
        }
      }
    }
  }
}

void blend_all(void* to, const std::vector<double>& sums, float alpha, float beta) {
  for (std::size_t i = 0; i < sums.size(); ++i) blend(static_cast<float*>(to)[i], sums[i], alpha, beta);
}

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return 91300; }
const char* cudnnGetErrorString(int status) {
  return status == kNotSupported ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM";
}
int cudnnCreate(void** handle) { return create<Handle>(handle); }
int cudnnSetStream(void* handle, void* stream) {
  static_cast<Handle*>(handle)->stream = stream;
  return kLibrarySuccess;
}

int cudnnCreateTensorDescriptor(void** descriptor) { return create<Tensor>(descriptor); }
int cudnnSetTensor4dDescriptor(void* descriptor, int format, int type, int n, int c, int h, int w) {
  if (format != kCudnnNhwc || type != kCudnnFloat || n < 1 || c < 1 || h < 1 || w < 1) return kBadParam;
  *static_cast<Tensor*>(descriptor) = {n, c, h, w};
  return kLibrarySuccess;
}

int cudnnCreateFilterDescriptor(void** descriptor) { return create<Filter>(descriptor); }
int cudnnSetFilter4dDescriptor(void* descriptor, int type, int format, int out, int in, int h, int w) {
  if (format != kCudnnNhwc || type != kCudnnFloat || out < 1 || in < 1 || h < 1 || w < 1) return kBadParam;
  *static_cast<Filter*>(descriptor) = {out, in, h, w};
  return kLibrarySuccess;
}

int cudnnCreateConvolutionDescriptor(void** descriptor) { return create<Convolution>(descriptor); }
int cudnnSetConvolution2dDescriptor(void* descriptor, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,
                                    int dilation_w, int mode, int compute_type) {
  for (int one : {pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w}) {
    if (one != 1) return kNotSupported;
  }
  if (mode != kCudnnCrossCorrelation || compute_type != kCudnnFloat) return kNotSupported;
  static_cast<Convolution*>(descriptor)->set = true;
  return kLibrarySuccess;
}
int cudnnSetConvolutionMathType(void* descriptor, int math) {
  if (math != kCudnnDefaultMath && math != kCudnnFmaMath) return kNotSupported;
  static_cast<Convolution*>(descriptor)->math = math;
  return kLibrarySuccess;
}

int cudnnGetConvolutionForwardAlgorithm_v7(void*, void* x, void* w, void* conv, void* y, int most, int* count,
                                           CudnnAlgorithm* results) {
  return list_algorithms(fit(x, w, conv, y), of<Convolution>(conv), most, count, results);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(void*, void* w, void* dy, void* conv, void* dx, int most, int* count,
                                                CudnnAlgorithm* results) {
  return list_algorithms(fit(dx, w, conv, dy), of<Convolution>(conv), most, count, results);
}
int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void*, void* x, void* dy, void* conv, void* dw, int most, int* count,
                                                  CudnnAlgorithm* results) {
  return list_algorithms(fit(x, dw, conv, dy), of<Convolution>(conv), most, count, results);
}

int cudnnGetConvolutionForwardWorkspaceSize(void*, void* x, void* w, void* conv, void* y, int algorithm,
                                            std::size_t* bytes) {
  return workspace_size(fit(x, w, conv, y), algorithm, bytes);
}
int cudnnGetConvolutionBackwardDataWorkspaceSize(void*, void* w, void* dy, void* conv, void* dx, int algorithm,
                                                 std::size_t* bytes) {
  return workspace_size(fit(dx, w, conv, dy), algorithm, bytes);
}
int cudnnGetConvolutionBackwardFilterWorkspaceSize(void*, void* x, void* dy, void* conv, void* dw, int algorithm,
                                                   std::size_t* bytes) {
  return workspace_size(fit(x, dw, conv, dy), algorithm, bytes);
}

int cudnnConvolutionForward(void* handle, const void* alpha, void* x_shape, const void* x, void* w_shape, const void* w,
                            void* conv, int algorithm, void* workspace, std::size_t bytes, const void* beta,
                            void* y_shape, void* y) {
  const Tensor in = of<Tensor>(x_shape), out = of<Tensor>(y_shape);
  return convolve(handle, y, out.size(), x_shape, x, w_shape, w, conv, y_shape, y, algorithm, workspace, bytes, alpha,
                  beta, [=](auto factor, float scale, float keep) {
                    const auto *a = static_cast<const float*>(x), *f = static_cast<const float*>(w);
                    std::vector<double> sums(out.size());
                    for_each_tap(in, out, [&](std::size_t from, std::size_t to, int tap) {
                      for (int o = 0; o < out.c; ++o) {
                        for (int k = 0; k < in.c; ++k) {
                          sums[to + o] += factor(a[from + k]) * factor(f[(std::size_t(o) * 9 + tap) * in.c + k]);
                        }
                      }
                    });
                    blend_all(y, sums, scale, keep);
                  });
}

int cudnnConvolutionBackwardData(void* handle, const void* alpha, void* w_shape, const void* w, void* dy_shape,
                                 const void* dy, void* conv, int algorithm, void* workspace, std::size_t bytes,
                                 const void* beta, void* dx_shape, void* dx) {
  const Tensor in = of<Tensor>(dx_shape), out = of<Tensor>(dy_shape);
  return convolve(handle, dx, in.size(), dx_shape, dx, w_shape, w, conv, dy_shape, dy, algorithm, workspace, bytes,
                  alpha, beta, [=](auto factor, float scale, float keep) {
                    const auto *d = static_cast<const float*>(dy), *f = static_cast<const float*>(w);
                    std::vector<double> sums(in.size());
                    for_each_tap(in, out, [&](std::size_t to, std::size_t from, int tap) {
                      for (int o = 0; o < out.c; ++o) {
                        for (int k = 0; k < in.c; ++k) {
                          sums[to + k] += factor(d[from + o]) * factor(f[(std::size_t(o) * 9 + tap) * in.c + k]);
                        }
                      }
                    });
                    blend_all(dx, sums, scale, keep);
                  });
}

int cudnnConvolutionBackwardFilter(void* handle, const void* alpha, void* x_shape, const void* x, void* dy_shape,
                                   const void* dy, void* conv, int algorithm, void* workspace, std::size_t bytes,
                                   const void* beta, void* dw_shape, void* dw) {
  const Tensor in = of<Tensor>(x_shape), out = of<Tensor>(dy_shape);
  return convolve(handle, dw, of<Filter>(dw_shape).size(), x_shape, x, dw_shape, dw, conv, dy_shape, dy, algorithm,
                  workspace, bytes, alpha, beta, [=](auto factor, float scale, float keep) {
                    const auto *a = static_cast<const float*>(x), *d = static_cast<const float*>(dy);
                    std::vector<double> sums(std::size_t(out.c) * 9 * in.c);
                    for_each_tap(in, out, [&](std::size_t from, std::size_t to, int tap) {
                      for (int o = 0; o < out.c; ++o) {
                        for (int k = 0; k < in.c; ++k) {
                          sums[(std::size_t(o) * 9 + tap) * in.c + k] += factor(a[from + k]) * factor(d[to + o]);
                        }
                      }
                    });
                    blend_all(dw, sums, scale, keep);
                  });
}

}  // extern "C"

#define FLOWSMITH_AS_DECLARED(name, ...) static_assert(std::is_same_v<decltype(name), __VA_ARGS__>, #name);
FLOWSMITH_CUDNN_FUNCTIONS(FLOWSMITH_AS_DECLARED)
