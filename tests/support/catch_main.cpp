#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#ifdef FLOWSMITH_SANITIZE
// Tests ask for more memory than there is, to see how the refusal looks: the allocator has to refuse, not abort.
// AddressSanitizer, a library, finds this by its name.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
  return "allocator_may_return_null=1";
}
#endif
