// The tests of the CUDA kernels. After a whole run on the emulator, every __global__ function of the tree must have
// been launched by one of them; a kernel without a test fails here.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/cuda/kernel_names.h"

#if !defined(FLOWSMITH_TEST_ON_GPU)
#include "kernels/cuda/emulator/emulator.h"
#endif

int main(int argc, char** argv) {
  const int failures = Catch::Session().run(argc, argv);
#if !defined(FLOWSMITH_TEST_ON_GPU)
  const bool everything_ran = argc == 1;
  if (everything_ran && failures == 0) {
    int missing = 0;
    for (const std::string& name : flowsmith::core::kernel_names()) {
      if (flowsmith::core::emulator::launched_kernels().contains(name)) continue;
      std::fprintf(stderr, "no test launches the kernel %s\n", name.c_str());
      ++missing;
    }
    return missing == 0 ? 0 : 1;
  }
#endif
  return failures == 0 ? 0 : 1;
}
