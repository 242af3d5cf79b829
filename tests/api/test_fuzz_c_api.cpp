// The fuzz target of the C functions on random bytes, so that every build of the tests runs it; under AddressSanitizer too.
#include "tests/api/api_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

TEST_CASE("random arguments of the C functions end in a status", "[c]") {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    std::vector<std::uint8_t> bytes(2000);  // some ten calls
    for (std::uint8_t& byte : bytes) byte = std::uint8_t(random() >> 24);
    CHECK(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()) == 0);
  }
}
