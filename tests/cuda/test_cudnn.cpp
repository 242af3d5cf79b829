// Convolutions by cuDNN and cuBLAS against the plain ones in double: through NVIDIA's libraries on a GPU, and on the
// emulator through stand-ins that take exactly the calls we make (library_stand_ins/).
#include <cstdlib>

#include "kernels/cuda/conv_libraries.h"
#include "tests/cuda/block_data.h"
#include "tests/cuda/conv_data.h"

namespace flowsmith::core::testing {
namespace {

constexpr NetPrecision kPrecisions[] = {NetPrecision::kFp32, NetPrecision::kTf32};

/// Times the bounds of our own kernels. In fp32 a library may choose Winograd's algorithm, which costs about a digit of
/// the sum's rounding; in TF32 it may cut the bits that our kernels round, which doubles the error and makes it
/// one-sided.
constexpr double kSlack = 4;

#if !defined(FLOWSMITH_TEST_ON_GPU)

/// FLOWSMITH_LIBRARY_PATH while one exists.
class LibraryPath {
 public:
  explicit LibraryPath(const std::string& folders) {
    if (const char* before = std::getenv(kName)) before_ = before;
    setenv(kName, folders.c_str(), 1);
  }
  LibraryPath(const LibraryPath&) = delete;
  ~LibraryPath() { before_.empty() ? unsetenv(kName) : setenv(kName, before_.c_str(), 1); }

 private:
  static constexpr const char* kName = "FLOWSMITH_LIBRARY_PATH";
  std::string before_;
};

std::string stand_ins(const char* which) { return std::string(FLOWSMITH_STAND_INS) + "/" + which; }

/// What opening the libraries says: one line, or nothing if they are there.
std::string complaint() {
  try {
    cuda::open_conv_libraries<TestGpu>();
  } catch (const ConvLibraryError& error) {
    const std::string line = error.what();
    INFO(line);
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.find("--") == std::string::npos);
    return line;
  }
  return "";
}

#endif

/// Whether there are libraries to test: always on the emulator.
bool have_libraries() {
#if !defined(FLOWSMITH_TEST_ON_GPU)
  const LibraryPath path(stand_ins(emulator::checks_races() ? "race" : "plain"));
#endif
  try {
    cuda::conv_libraries<TestGpu>();
    return true;
  } catch (const GpuError& error) {
#if !defined(FLOWSMITH_TEST_ON_GPU)
    FAIL(error.what());
#endif
    WARN("not tested: " << error.what());
    return false;
  }
}

/// Both windows, with and without ELU-concat, with channels that no vector divides and that several tiles take.
constexpr ConvShape kShapes[] = {
    {1, 1, 1, 1, 1, 3, false},   {3, 7, 7, 2, 3, 3, true},    {1, 3, 1, 3, 20, 1, false},  {1, 28, 28, 1, 16, 3, false},
    {3, 9, 7, 32, 16, 3, true},  {1, 9, 28, 64, 2, 3, true},  {2, 3, 5, 40, 48, 3, true},  {1, 9, 9, 96, 96, 1, true},
    {3, 3, 3, 16, 15, 1, false}, {1, 2, 3, 128, 64, 3, true}, {1, 3, 2, 64, 70, 1, false},
};

TEST_CASE("Convolutions by cuDNN and cuBLAS agree with the plain ones", "[cudnn]") {
  if (!have_libraries()) return;
  for (const ConvShape& shape : kShapes) {
    const GpuConvData data(shape);
    for (const GradMode mode : {GradMode::kOverwrite, GradMode::kAccumulate}) {
      const Outputs want = data.run(Reference{}, mode);
      for (const NetPrecision precision : kPrecisions) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c_in, shape.c_out, shape.kernel, shape.concat_elu, int(precision));
        const Outputs got = run_schedules([&] { return data.run(precision, mode, ConvAlgorithm::kCudnn); });
        for (std::size_t i = 0; i < want.size(); ++i) {
          INFO("output " << i);
          CHECK(relative_error(got[i], want[i]) <= kSlack * conv_bound(precision));
        }
      }
    }
  }
}

#if !defined(FLOWSMITH_TEST_ON_GPU)
TEST_CASE("cuDNN and cuBLAS are told whether they may round to TF32", "[cudnn]") {
  if (!have_libraries()) return;
  for (const ConvShape& shape : {ConvShape{1, 5, 5, 16, 16, 3, false}, {1, 5, 5, 16, 16, 1, false}}) {
    const GpuConvData data(shape);
    const Outputs want = data.run(Reference{}, GradMode::kOverwrite);
    const Outputs exact = data.run(NetPrecision::kFp32, GradMode::kOverwrite, ConvAlgorithm::kCudnn);
    const Outputs rounded = data.run(NetPrecision::kTf32, GradMode::kOverwrite, ConvAlgorithm::kCudnn);
    for (int i : {0, 1, 2}) {
      CHECK(relative_error(exact[i], want[i]) < 1e-6);
      CHECK(relative_error(rounded[i], want[i]) > 1e-5);
    }
  }
}
#endif

TEST_CASE("The gated block by cuDNN and cuBLAS agrees with the plain one", "[cudnn]") {
  if (!have_libraries()) return;
  for (const GatedBlockShape& shape :
       {GatedBlockShape{3, 3, 5, 16, true}, {1, 7, 9, 20, false}, {1, 3, 3, 48, true}, {1, 1, 2, 70, true}}) {
    const GpuBlockData data(shape);
    const GradMode mode = shape.w % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
    const Outputs want = data.run(Reference{}, mode);
    for (const NetPrecision precision : kPrecisions) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, shape.concat_elu_input, int(precision));
      const auto run = [&](unsigned wanted, bool save) {
        return data.run(precision, mode, wanted, save, ConvAlgorithm::kCudnn);
      };
      const Outputs got = run_schedules([&] { return run(~0u, true); });
      for (std::size_t i = 0; i < want.size(); ++i) {
        INFO("output " << i);
        CHECK(relative_error(got[i], want[i]) <= kSlack * block_bound(precision, shape.c));
      }
      CHECK(same_bits(run(0, false)[0], got[0]));
      const Outputs nothing = run(0, true);
      for (std::size_t i = 4; i < nothing.size(); ++i) CHECK(nothing[i] == std::vector<double>(nothing[i].size(), 1));
    }
  }
}

TEST_CASE("cuDNN and cuBLAS compute only the gradients that were asked for", "[cudnn]") {
  if (!have_libraries()) return;
  for (const ConvShape& shape : {ConvShape{3, 5, 3, 20, 20, 3, true}, {3, 5, 3, 20, 20, 1, false}}) {
    check_single_gradients(GpuConvData(shape), test_stream(NetPrecision::kFp32, ConvAlgorithm::kCudnn));
  }
}

TEST_CASE("An empty batch does not reach cuDNN", "[cudnn]") {
  check_empty_batch(test_stream(NetPrecision::kFp32, ConvAlgorithm::kCudnn));
}

TEST_CASE("What cuDNN and cuBLAS do is captured and replayed", "[cudnn]") {
  if (!have_libraries()) return;
  const GatedBlockShape shape{2, 3, 5, 8, true};
  const GpuBlockData data(shape);
  const TestGpu gpu = test_stream(NetPrecision::kFp32, ConvAlgorithm::kCudnn);
  DeviceArray<float> x(data.x), y(data.x.size()), h(data.x.size()), vg(2 * data.x.size()), dx(data.x.size());
  DeviceArray<float> w3(data.weight3), b3(data.bias3), w1(data.weight1), b1(data.bias1), g(data.gamma), b(data.beta);
  DeviceArray<float> d3(data.weight3.size()), dy(data.dy);
  const auto work = [&] {
    const GatedBlockWeights<float> weights{w3.data(), b3.data(), w1.data(), b1.data(), g.data(), b.data()};
    gated_block_forward(y.data(), {h.data(), vg.data()}, x.data(), weights, shape, gpu);
    gated_block_backward(dx.grad(), {d3.grad(), {}, {}, {}, {}, {}}, dy.data(),
                         GatedBlockSaved<const float>{h.data(), vg.data()}, x.data(), weights, shape, gpu);
  };
  work();
  const Outputs want = outputs(y.host(), dx.host(), d3.host());
  // New maps under the same addresses: what the graph makes of them is what it made before only if it ran.
  const std::vector<float> zeros(data.x.size());
  const GpuGraph<TestGpu> graph(work);
  for (DeviceArray<float>* map : {&y, &h, &dx}) {
    GpuRuntime<TestGpu>::upload(map->data(), zeros.data(), zeros.size() * sizeof(float));
  }
  for (int i = 0; i < 2; ++i) {
    graph.launch();
    const Outputs got = outputs(y.host(), dx.host(), d3.host());
    for (std::size_t k = 0; k < want.size(); ++k) CHECK(same_bits(got[k], want[k]));
  }
}

TEST_CASE("cuDNN does not take bf16, and says so", "[cudnn]") {
  const GpuConvData data({1, 3, 3, 4, 4, 3, false});
  CHECK_THROWS_WITH(data.run(NetPrecision::kBf16, GradMode::kOverwrite, ConvAlgorithm::kCudnn),
                    Catch::Contains("networks in fp32 or tf32"));
}

#if !defined(FLOWSMITH_TEST_ON_GPU)
TEST_CASE("Libraries that are missing, broken or of another version are refused in one line", "[cudnn]") {
  {
    const LibraryPath nowhere("/nonexistent:" + stand_ins("none"));
    CHECK_THAT(complaint(),
               Catch::Contains("libcudnn.so.9") && Catch::Contains("was not found") && Catch::Contains("/nonexistent"));
  }
  {
    const LibraryPath old(stand_ins("old"));
    CHECK_THAT(complaint(),
               Catch::Contains(stand_ins("old")) && Catch::Contains("version 8") && Catch::Contains("cuDNN 9"));
  }
  {
    const LibraryPath broken(stand_ins("broken"));
    CHECK_THAT(complaint(), Catch::Contains("cannot be loaded") && Catch::Contains(stand_ins("broken")));
  }
  {
    const LibraryPath half(stand_ins("half"));
    CHECK_THAT(complaint(), Catch::Contains("libcublas.so.13 or libcublas.so.12") && Catch::Contains("was not found"));
  }
  const LibraryPath good(stand_ins("none") + "::" + stand_ins(emulator::checks_races() ? "race" : "plain"));
  CHECK(complaint().empty());
}
#endif

}  // namespace
}  // namespace flowsmith::core::testing
