// A libcudnn.so.9 that says it is 8.9.7: what no installation should have, and what must be refused.
#include <cstddef>

extern "C" std::size_t cudnnGetVersion() { return 8907; }
