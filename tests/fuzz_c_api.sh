#!/usr/bin/env bash
# fuzz_c_api.sh [SECONDS]: libFuzzer, with AddressSanitizer, on the arguments of the C functions (tests/api/fuzz_c_api.cpp);
# ten minutes unless said otherwise. Needs clang. What it finds lies in build-fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
flags="-O1 -g1 -fsanitize=fuzzer-no-link,address,undefined -march=native -DHWY_COMPILE_ONLY_STATIC"
cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=None -DFLOWSMITH_TOOLS=OFF -DFLOWSMITH_CUDA=OFF \
  -DCMAKE_CXX_COMPILER=clang++ "-DCMAKE_CXX_FLAGS=$flags" >/dev/null
cmake --build build-fuzz --target flowsmith
clang++ -std=c++20 $flags -fsanitize=fuzzer,address,undefined -I. tests/api/fuzz_c_api.cpp \
  build-fuzz/flowsmith/libflowsmith.a -fopenmp -lpthread -ldl -o build-fuzz/fuzz_c_api
mkdir -p build-fuzz/corpus
cd build-fuzz
./fuzz_c_api -max_total_time="${1:-600}" -max_len=2000 -print_final_stats=1 corpus
