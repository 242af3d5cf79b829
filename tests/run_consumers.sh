#!/usr/bin/env bash
# run_consumers.sh PREFIX: builds programs against the Flowsmith that is installed in PREFIX, as strangers would: the
# examples of the documentation, by find_package and by pkg-config, with each compiler that is here, as C++20 and C++23,
# with warnings that are errors; then runs them. PREFIX is moved first, for an installation may be.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 PREFIX" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mv "$1" "$work/prefix"
prefix=$work/prefix
cp -r "$root/docs/examples" "$work/examples"
cd "$work"
fail() { echo "run_consumers.sh: $*" >&2; exit 1; }

[ -z "$(grep -rlE 'hwy/|cuda_runtime|kernels/|models/' "$prefix"/include/flowsmith/*.h)" ] ||
  fail "a public header includes one that is not public"
if nm -C "$prefix"/lib/libflowsmith.a 2>/dev/null | grep -qiE ' T .*(emulator|gradient_suite)'; then
  fail "the library holds what is for tests"
fi

echo "== find_package"
for compiler in g++ clang++; do
  command -v $compiler >/dev/null || { echo "$compiler is not here: left out"; continue; }
  c=gcc
  [ $compiler = g++ ] || c=clang
  for standard in 20 23; do
    build=$work/build-$compiler-$standard
    cmake -S examples -B "$build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_CXX_COMPILER=$compiler -DCMAKE_C_COMPILER=$c -DCMAKE_CXX_STANDARD=$standard >"$work/log" 2>&1 &&
      cmake --build "$build" -j2 >>"$work/log" 2>&1 || { tail -n 30 "$work/log"; fail "$compiler, C++$standard"; }
    echo "$compiler, C++$standard: built"
  done
done

echo "== pkg-config"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
[ "$(pkg-config --modversion flowsmith)" = 1.0.0 ] || fail "pkg-config knows another version"
warnings=(-Wall -Wextra -Wpedantic -Werror)
for compiler in g++ clang++; do
  command -v $compiler >/dev/null || continue
  # shellcheck disable=SC2046
  $compiler -std=c++20 "${warnings[@]}" examples/early_stopping.cpp -o "stopping-$compiler" \
    $(pkg-config --cflags --libs flowsmith)
done
# shellcheck disable=SC2046
gcc -std=c11 "${warnings[@]}" examples/from_c.c -o from_c $(pkg-config --cflags --libs flowsmith) -lm
echo "built"

echo "== what they print"
built=$work/build-g++-20
weights=$prefix/share/flowsmith/weights/multiscale.safetensors
"$built/sample_png" "$weights" digits.png 4
"$prefix/bin/flowsmith" sample -n 3 --out three.png --zoom 1 --columns 1 >/dev/null  # weights are found beside it
mkdir pictures
"$built/sample_png" "$weights" pictures/one.png 1
"$built/score_folder" "$weights" pictures | tee scores
"$prefix/bin/flowsmith" score --images pictures --csv - | tee table
here=$(grep -oE '[0-9.]+ bits/dim' scores | cut -d ' ' -f 1)
there=$(tail -n 1 table | awk -F , '{printf "%.4f", $NF}')
[ "$here" = "$there" ] || fail "the example scores $here and flowsmith score $there"
"$built/own_bijector"
"$work/from_c"
cp "$built/from_c" from_cmake
[ "$(./from_c)" = "$(./from_cmake)" ] || fail "from_c prints other numbers"
./stopping-g++ | tail -n 2
(cd "$prefix" && MANPATH=$prefix/share/man man -w flowsmith flowsmith-train >/dev/null 2>&1) ||
  ! command -v man >/dev/null || fail "the manual pages are not found"

echo "== as part of another project"  # whose build tests/run_thread_sanitizer.sh makes
for how in add_subdirectory FetchContent; do
  mkdir "$how"
  {
    echo 'cmake_minimum_required(VERSION 3.25)'
    echo 'project(other LANGUAGES CXX)'
    if [ $how = add_subdirectory ]; then
      echo "add_subdirectory($root flowsmith)"
    else
      echo "include(FetchContent)"
      echo "FetchContent_Declare(flowsmith SOURCE_DIR $root)"
      echo "FetchContent_MakeAvailable(flowsmith)"
    fi
    echo "file(WRITE \${CMAKE_CURRENT_BINARY_DIR}/main.cpp \"int main() { return 0; }\")"
    echo "add_executable(other \${CMAKE_CURRENT_BINARY_DIR}/main.cpp)"
    echo "target_link_libraries(other PRIVATE flowsmith::flowsmith)"
  } >"$how/CMakeLists.txt"
  cmake -S "$how" -B "$how/build" -G Ninja -DFLOWSMITH_CUDA=OFF >"$work/log" 2>&1 || { cat "$work/log"; fail "$how"; }
  line=$(cd "$how/build" && ninja -t commands other | grep 'main.cpp.o -c')
  [[ $line == *-std=*20* && $line == *"-I$root"* ]] || fail "$how: headers or language do not reach the other: $line"
  [[ $line != *" -W"* && $line != *" -O"* && $line != *" -f"* ]] || fail "$how: our flags reach the other: $line"
  echo "$how: configured, without flags of ours"
done
