#!/usr/bin/env bash
# run_thread_sanitizer.sh: the tests of flows in several threads under ThreadSanitizer, in a build of their own, for the
# instruction set of this machine. The library is a subproject there, so this is also the test of add_subdirectory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
flags="-O1 -g1 -fsanitize=thread -march=native -DHWY_COMPILE_ONLY_STATIC"
cmake -S tests/threads -B build-tsan -G Ninja -DCMAKE_BUILD_TYPE=None -DFLOWSMITH_CUDA=OFF "-DCMAKE_CXX_FLAGS=$flags" \
  >/dev/null
cmake --build build-tsan --target test_threads | tail -n 1
TSAN_OPTIONS=halt_on_error=1 build-tsan/test_threads
