// libcublas.so.13 for the emulated device: see stand_in.h.
#include "tests/cuda/library_stand_ins/stand_in.h"

namespace {

using namespace flowsmith::core;
using namespace flowsmith::core::stand_in;
using namespace flowsmith::core::cuda;

constexpr int kInvalidValue = 7;  ///< CUBLAS_STATUS_INVALID_VALUE

struct Handle {
  void* stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
};

Handle* of(void* handle) { return static_cast<Handle*>(handle); }

}  // namespace

extern "C" {

int cublasGetProperty(int which, int* value) {
  if (which != kMajorVersion) return kInvalidValue;
  *value = 13;
  return kLibrarySuccess;
}

const char* cublasGetStatusString(int) { return "CUBLAS_STATUS_INVALID_VALUE"; }

int cublasCreate_v2(void** handle) {
  static Handle the_handle;
  *handle = &the_handle;
  return kLibrarySuccess;
}

int cublasSetStream_v2(void* handle, void* stream) {
  *of(handle) = {stream, nullptr, 0};  // the workspace is the library's own again
  return kLibrarySuccess;
}

int cublasSetWorkspace_v2(void* handle, void* workspace, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return kInvalidValue;
  of(handle)->workspace = workspace;
  of(handle)->workspace_bytes = bytes;
  return kLibrarySuccess;
}

int cublasGemmEx(void* handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a,
                 int a_type, int lda, const void* b, int b_type, int ldb, const void* beta, void* c, int c_type,
                 int ldc, int compute_type, int algorithm) {
  const Handle h = *of(handle);
  const bool ta = transpose_a == kCublasTransposed, tb = transpose_b == kCublasTransposed;
  const auto bad_operation = [](int operation) { return operation != kCublasNormal && operation != kCublasTransposed; };
  if (bad_operation(transpose_a) || bad_operation(transpose_b) || m < 0 || n < 0 || k < 0) return kInvalidValue;
  if (a_type != kCublasFloat || b_type != kCublasFloat || c_type != kCublasFloat) return kInvalidValue;
  if (compute_type != kCublasCompute32 && compute_type != kCublasComputeTf32) return kInvalidValue;
  if (algorithm != kCublasDefaultGemm) return kInvalidValue;
  // Columns lie lda, ldb, ldc apart.
  if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return kInvalidValue;
  if (!on_device(a, std::size_t(lda) * (ta ? m : k)) || !on_device(b, std::size_t(ldb) * (tb ? k : n)) ||
      !on_device(c, std::size_t(ldc) * n)) {
    return kInvalidValue;
  }
  // The library would allocate while a graph is being captured.
  if (!on_device(h.workspace, h.workspace_bytes / sizeof(float)) || h.workspace_bytes == 0) return kInvalidValue;
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  enqueue(h.stream, c, std::size_t(ldc) * n, [=, workspace = h.workspace, bytes = h.workspace_bytes] {
    const auto factor = [=](const void* from, std::size_t i) {
      const float value = static_cast<const float*>(from)[i];
      return double(compute_type == kCublasComputeTf32 ? rounded_to_tf32(value) : value);
    };
    std::memset(workspace, 0xff, bytes);
    auto* const out = static_cast<float*>(c);
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        double sum = 0;
        for (int l = 0; l < k; ++l) {
          sum += factor(a, ta ? std::size_t(i) * lda + l : std::size_t(l) * lda + i) *
                 factor(b, tb ? std::size_t(l) * ldb + j : std::size_t(j) * ldb + l);
        }
        blend(out[std::size_t(j) * ldc + i], sum, scale, keep);
      }
    }
  });
  return kLibrarySuccess;
}

}  // extern "C"

#define FLOWSMITH_AS_DECLARED(name, ...) static_assert(std::is_same_v<decltype(name), __VA_ARGS__>, #name);
FLOWSMITH_CUBLAS_FUNCTIONS(FLOWSMITH_AS_DECLARED)
