// Finds and loads cuDNN and cuBLAS: see conv_libraries.h. Loaded libraries stay until the process ends.
#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/cuda/conv_libraries.h"
#include "kernels/cuda/gpu.h"

#if defined(__CUDACC__) && __has_include(<cudnn.h>) && __has_include(<cublas_v2.h>)
#include <cublas_v2.h>
#include <cudnn.h>
#define FLOWSMITH_SEES_LIBRARY_HEADERS
#endif

namespace flowsmith::core {
namespace {

#if defined(FLOWSMITH_SEES_LIBRARY_HEADERS)
static_assert(CUDNN_STATUS_SUCCESS == cuda::kLibrarySuccess && CUBLAS_STATUS_SUCCESS == cuda::kLibrarySuccess);
static_assert(CUDNN_DATA_FLOAT == cuda::kCudnnFloat && CUDNN_TENSOR_NHWC == cuda::kCudnnNhwc);
static_assert(CUDNN_CROSS_CORRELATION == cuda::kCudnnCrossCorrelation);
static_assert(CUDNN_DEFAULT_MATH == cuda::kCudnnDefaultMath && CUDNN_FMA_MATH == cuda::kCudnnFmaMath);
static_assert(CUDNN_DETERMINISTIC == cuda::kCudnnDeterministic);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_COUNT <= cuda::kCudnnMostAlgorithms);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT <= cuda::kCudnnMostAlgorithms);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT <= cuda::kCudnnMostAlgorithms);
static_assert(CUBLAS_OP_N == cuda::kCublasNormal && CUBLAS_OP_T == cuda::kCublasTransposed);
static_assert(CUDA_R_32F == cuda::kCublasFloat && CUBLAS_COMPUTE_32F == cuda::kCublasCompute32);
static_assert(CUBLAS_COMPUTE_32F_FAST_TF32 == cuda::kCublasComputeTf32);
static_assert(CUBLAS_GEMM_DEFAULT == cuda::kCublasDefaultGemm && MAJOR_VERSION == cuda::kMajorVersion);

template <class Theirs>
constexpr bool like_ours() {
  using Ours = cuda::CudnnAlgorithm;
  return sizeof(Theirs) == sizeof(Ours) && offsetof(Theirs, algo) == offsetof(Ours, algorithm) &&
         offsetof(Theirs, status) == offsetof(Ours, status) && offsetof(Theirs, memory) == offsetof(Ours, memory) &&
         offsetof(Theirs, determinism) == offsetof(Ours, determinism) &&
         offsetof(Theirs, mathType) == offsetof(Ours, math_type);
}
static_assert(like_ours<cudnnConvolutionFwdAlgoPerf_t>() && like_ours<cudnnConvolutionBwdDataAlgoPerf_t>() &&
              like_ours<cudnnConvolutionBwdFilterAlgoPerf_t>());

/// Whether two functions can be called alike: pointers where the other has pointers, numbers of the same size.
template <class A, class B>
constexpr bool same_kind = std::is_pointer_v<A> == std::is_pointer_v<B> && sizeof(A) == sizeof(B);
template <class A, class B>
constexpr bool same_call = false;
template <class R, class... A, class S, class... B>
requires(sizeof...(A) == sizeof...(B)) constexpr bool same_call<R(A...), S(B...)> = same_kind<R, S> &&
                                                                                    (same_kind<A, B> && ...);

#define FLOWSMITH_SAME_CALL(name, ...) static_assert(same_call<decltype(::name), __VA_ARGS__>, #name);
namespace same_calls {
using cuda::CudnnAlgorithm;
FLOWSMITH_CUDNN_FUNCTIONS(FLOWSMITH_SAME_CALL)
// C++ has a second cublasGemmEx, an inline one for older programs.
using GemmEx = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                              const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                              cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
[[maybe_unused]] constexpr GemmEx* kGemmEx = &::cublasGemmEx;
static_assert(same_call<GemmEx, std::remove_pointer_t<decltype(cuda::Cublas::cublasGemmEx)>>);
static_assert(
    same_call<decltype(::cublasGetProperty), std::remove_pointer_t<decltype(cuda::Cublas::cublasGetProperty)>>);
static_assert(
    same_call<decltype(::cublasSetWorkspace_v2), std::remove_pointer_t<decltype(cuda::Cublas::cublasSetWorkspace_v2)>>);
}  // namespace same_calls
#undef FLOWSMITH_SAME_CALL
#endif

/// What the user may do about a library that is not there.
const char* remedy() {
  return std::is_same_v<ThisGpu, Emulated> ? "the emulated device can only have those that FLOWSMITH_LIBRARY_PATH names"
                                           : "install cuDNN 9 and cuBLAS, or name their folder in LD_LIBRARY_PATH";
}

std::vector<std::string> split_at_colons(const char* text) {
  std::vector<std::string> parts;
  std::istringstream stream(text == nullptr ? "" : text);
  for (std::string part; std::getline(stream, part, ':');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

/// Folders of CUDA toolkits and distributions that the loader may not know.
std::vector<std::string> usual_folders() {
  std::vector<std::string> folders;
  for (const char* pattern : {"/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*-linux/lib", "/usr/local/cuda*/lib",
                              "/usr/lib/*-linux-gnu"}) {
    glob_t found{};
    if (glob(pattern, GLOB_NOSORT, nullptr, &found) == 0) {
      folders.insert(folders.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    globfree(&found);
  }
  return folders;
}

/// One shared library on its way to a table of functions.
class Library {
 public:
  explicit Library(const std::vector<const char*>& names) {
    std::string why;
    for (const char* name : names) {
      for (const std::string& folder : split_at_colons(std::getenv("FLOWSMITH_LIBRARY_PATH"))) {
        if (open_file(folder + "/" + name, why)) return;
      }
      if (std::is_same_v<ThisGpu, Emulated>) continue;
      handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      path_ = name;
      if (handle_ != nullptr) return;
      // Where the library itself is there, the loader names what else is missing.
      if (const std::string error = dlerror(); why.empty() && !error.starts_with(path_ + ":")) why = error;
      for (const std::string& folder : usual_folders()) {
        if (open_file(folder + "/" + name, why)) return;
      }
    }
    std::string all = names.front();
    for (std::size_t i = 1; i < names.size(); ++i) all += std::string(" or ") + names[i];
    const char* const path = std::getenv("FLOWSMITH_LIBRARY_PATH");
    throw ConvLibraryError(
        "convolutions by cuDNN need " + all + ", which " +
        (why.empty() ? "was not found" : "cannot be loaded (" + why + ")") +
        (std::is_same_v<ThisGpu, Emulated>
             ? " in FLOWSMITH_LIBRARY_PATH"
             : " in FLOWSMITH_LIBRARY_PATH, LD_LIBRARY_PATH, the system's folders and /usr/local/cuda*") +
        (path == nullptr ? "" : " (FLOWSMITH_LIBRARY_PATH is " + std::string(path) + ")") + ": " + remedy());
  }
  Library(const Library&) = delete;
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
  }

  template <class F>
  void find(F*& function, const char* name) const {
    function = reinterpret_cast<F*>(dlsym(handle_, name));
    if (function == nullptr) throw ConvLibraryError(path_ + " lacks the function " + name + ": " + remedy());
  }

  [[noreturn]] void refuse(const std::string& version, const std::string& wanted) const {
    throw ConvLibraryError(path_ + " is of version " + version + ", but " + wanted + " is needed: " + remedy());
  }

  /// Leaves it loaded for good.
  void keep() { handle_ = nullptr; }

 private:
  bool open_file(const std::string& path, std::string& why) {
    std::error_code no_matter;
    if (!std::filesystem::exists(path, no_matter)) return false;
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    path_ = path;
    if (handle_ == nullptr && why.empty()) why = dlerror();
    return handle_ != nullptr;
  }

  void* handle_ = nullptr;
  std::string path_;
};

}  // namespace

namespace cuda {

template <Gpu G>
ConvLibraries open_conv_libraries() {
  ConvLibraries libraries;
  Cudnn& cudnn = libraries.cudnn;
  Cublas& cublas = libraries.cublas;

  Library cudnn_file({"libcudnn.so.9"});
  cudnn_file.find(cudnn.cudnnGetVersion, "cudnnGetVersion");
  const std::size_t version = cudnn.cudnnGetVersion();
  const std::size_t major = version / (version < 10000 ? 1000 : 10000);  // since version 9 it has one digit more
  if (major != 9) cudnn_file.refuse(std::to_string(major), "cuDNN 9");

  Library cublas_file({"libcublas.so.13", "libcublas.so.12"});
  cublas_file.find(cublas.cublasGetProperty, "cublasGetProperty");
  int cublas_major = 0;
  cublas.cublasGetProperty(kMajorVersion, &cublas_major);
  if (cublas_major != 12 && cublas_major != 13) cublas_file.refuse(std::to_string(cublas_major), "cuBLAS 12 or 13");

#define FLOWSMITH_FIND_CUDNN(name, ...) cudnn_file.find(cudnn.name, #name);
#define FLOWSMITH_FIND_CUBLAS(name, ...) cublas_file.find(cublas.name, #name);
  FLOWSMITH_CUDNN_FUNCTIONS(FLOWSMITH_FIND_CUDNN)
  FLOWSMITH_CUBLAS_FUNCTIONS(FLOWSMITH_FIND_CUBLAS)
#undef FLOWSMITH_FIND_CUDNN
#undef FLOWSMITH_FIND_CUBLAS
  cudnn_file.keep();
  cublas_file.keep();
  return libraries;
}

template <Gpu G>
const ConvLibraries& conv_libraries() {
  static const ConvLibraries libraries = open_conv_libraries<G>();
  return libraries;
}

template ConvLibraries open_conv_libraries<ThisGpu>();
template const ConvLibraries& conv_libraries<ThisGpu>();

}  // namespace cuda
}  // namespace flowsmith::core
