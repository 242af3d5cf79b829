#!/usr/bin/env bash
# run_thread_sanitizer.sh: the tests of flows in several threads under ThreadSanitizer, in a build of their own without
# tools, for the instruction set of this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
flags="-O1 -g1 -fsanitize=thread -march=native -DHWY_COMPILE_ONLY_STATIC"
cmake -S . -B build-tsan -G Ninja -DCMAKE_BUILD_TYPE=None -DFLOWSMITH_TOOLS=OFF -DFLOWSMITH_CUDA=OFF \
  -DFLOWSMITH_THREAD_TESTS=ON "-DCMAKE_CXX_FLAGS=$flags" >/dev/null
cmake --build build-tsan --target test_threads
TSAN_OPTIONS=halt_on_error=1 build-tsan/bin/test_threads
