// The part of cuDNN 9 and cuBLAS that library_conv.cu calls. It is declared here because both are loaded when they are
// first needed (conv_libraries.h) and a build needs neither. Names, values and the order of arguments are NVIDIA's
// (cuDNN and cuBLAS API references); handles, descriptors and streams are void*, enumerations int. Where a build sees
// NVIDIA's headers, conv_libraries.cu compares.
#pragma once

#include <cstddef>
#include <type_traits>

namespace flowsmith::core::cuda {

inline constexpr int kLibrarySuccess = 0;  ///< of both

inline constexpr int kCudnnFloat = 0;             ///< CUDNN_DATA_FLOAT
inline constexpr int kCudnnNhwc = 1;              ///< CUDNN_TENSOR_NHWC; of a filter: [out][ky][kx][in]
inline constexpr int kCudnnCrossCorrelation = 1;  ///< CUDNN_CROSS_CORRELATION: the window is not turned
inline constexpr int kCudnnDefaultMath = 0;       ///< CUDNN_DEFAULT_MATH: tensor cores may round floats to TF32
inline constexpr int kCudnnFmaMath = 3;           ///< CUDNN_FMA_MATH: they may not
inline constexpr int kCudnnDeterministic = 1;     ///< CUDNN_DETERMINISTIC
inline constexpr int kCudnnMostAlgorithms = 8;    ///< the largest of the three CUDNN_CONVOLUTION_..._ALGO_COUNT

inline constexpr int kCublasNormal = 0;        ///< CUBLAS_OP_N
inline constexpr int kCublasTransposed = 1;    ///< CUBLAS_OP_T
inline constexpr int kCublasFloat = 0;         ///< CUDA_R_32F
inline constexpr int kCublasCompute32 = 68;    ///< CUBLAS_COMPUTE_32F
inline constexpr int kCublasComputeTf32 = 77;  ///< CUBLAS_COMPUTE_32F_FAST_TF32
inline constexpr int kCublasDefaultGemm = -1;  ///< CUBLAS_GEMM_DEFAULT
inline constexpr int kMajorVersion = 0;        ///< MAJOR_VERSION

/// One struct for cudnnConvolutionFwdAlgoPerf_t, ...BwdDataAlgoPerf_t and ...BwdFilterAlgoPerf_t: they are alike.
struct CudnnAlgorithm {
  int algorithm, status;
  float time;
  std::size_t memory;
  int determinism, math_type;
  int reserved[3];
};

/// F(name, signature) for every function.
#define FLOWSMITH_CUDNN_FUNCTIONS(F)                                                                               \
  F(cudnnGetVersion, std::size_t())                                                                                \
  F(cudnnGetErrorString, const char*(int))                                                                         \
  F(cudnnCreate, int(void**))                                                                                      \
  F(cudnnSetStream, int(void*, void*))                                                                             \
  F(cudnnCreateTensorDescriptor, int(void**))                                                                      \
  F(cudnnSetTensor4dDescriptor, int(void*, int format, int type, int n, int c, int h, int w))                      \
  F(cudnnCreateFilterDescriptor, int(void**))                                                                      \
  F(cudnnSetFilter4dDescriptor, int(void*, int type, int format, int out, int in, int h, int w))                   \
  F(cudnnCreateConvolutionDescriptor, int(void**))                                                                 \
  F(cudnnSetConvolution2dDescriptor, int(void*, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,  \
                                         int dilation_w, int mode, int compute_type))                              \
  F(cudnnSetConvolutionMathType, int(void*, int))                                                                  \
  F(cudnnGetConvolutionForwardAlgorithm_v7,                                                                        \
    int(void*, void* x, void* w, void* conv, void* y, int, int*, CudnnAlgorithm*))                                 \
  F(cudnnGetConvolutionBackwardDataAlgorithm_v7,                                                                   \
    int(void*, void* w, void* dy, void* conv, void* dx, int, int*, CudnnAlgorithm*))                               \
  F(cudnnGetConvolutionBackwardFilterAlgorithm_v7,                                                                 \
    int(void*, void* x, void* dy, void* conv, void* dw, int, int*, CudnnAlgorithm*))                               \
  F(cudnnGetConvolutionForwardWorkspaceSize, int(void*, void* x, void* w, void* conv, void* y, int, std::size_t*)) \
  F(cudnnGetConvolutionBackwardDataWorkspaceSize,                                                                  \
    int(void*, void* w, void* dy, void* conv, void* dx, int, std::size_t*))                                        \
  F(cudnnGetConvolutionBackwardFilterWorkspaceSize,                                                                \
    int(void*, void* x, void* dy, void* conv, void* dw, int, std::size_t*))                                        \
  F(cudnnConvolutionForward,                                                                                       \
    int(void*, const void* alpha, void* x_shape, const void* x, void* w_shape, const void* w, void* conv, int,     \
        void* workspace, std::size_t, const void* beta, void* y_shape, void* y))                                   \
  F(cudnnConvolutionBackwardData,                                                                                  \
    int(void*, const void* alpha, void* w_shape, const void* w, void* dy_shape, const void* dy, void* conv, int,   \
        void* workspace, std::size_t, const void* beta, void* dx_shape, void* dx))                                 \
  F(cudnnConvolutionBackwardFilter,                                                                                \
    int(void*, const void* alpha, void* x_shape, const void* x, void* dy_shape, const void* dy, void* conv, int,   \
        void* workspace, std::size_t, const void* beta, void* dw_shape, void* dw))

#define FLOWSMITH_CUBLAS_FUNCTIONS(F)                                                                                 \
  F(cublasGetProperty, int(int, int*))                                                                                \
  F(cublasGetStatusString, const char*(int))                                                                          \
  F(cublasCreate_v2, int(void**))                                                                                     \
  F(cublasSetStream_v2, int(void*, void*))                                                                            \
  F(cublasSetWorkspace_v2, int(void*, void*, std::size_t))                                                            \
  F(cublasGemmEx, int(void*, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a, \
                      int a_type, int lda, const void* b, int b_type, int ldb, const void* beta, void* c, int c_type, \
                      int ldc, int compute_type, int algorithm))

#define FLOWSMITH_MEMBER(name, ...) std::add_pointer_t<__VA_ARGS__> name = nullptr;
struct Cudnn {
  FLOWSMITH_CUDNN_FUNCTIONS(FLOWSMITH_MEMBER)
};
struct Cublas {
  FLOWSMITH_CUBLAS_FUNCTIONS(FLOWSMITH_MEMBER)
};
#undef FLOWSMITH_MEMBER

}  // namespace flowsmith::core::cuda
