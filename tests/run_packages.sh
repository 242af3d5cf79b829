#!/usr/bin/env bash
# run_packages.sh BUILD: makes the Debian packages in BUILD, a build without tests and with BUILD_SHARED_LIBS=ON, and looks
# at them as a machine would on which nothing else of Flowsmith is: what they need, whether they run, and whether the C ABI
# is the one that tests/abi/ has on record. With --record that is written anew.
set -euo pipefail

record=
[ "${1-}" != --record ] || { record=1; shift; }
[ $# -eq 1 ] || { echo "usage: $0 [--record] BUILD" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "run_packages.sh: $*" >&2; exit 1; }

(cd "$build" && rm -f ./*.deb && cpack -G DEB >"$work/log" 2>&1) || { tail -n 20 "$work/log"; fail "cpack"; }
ls -l "$build"/*.deb
for package in "$build"/*.deb; do dpkg -x "$package" "$work/root"; done
library=$work/root/usr/lib/libflowsmith.so.1
[ -e "$library" ] || fail "the library is not in the package"

echo "== what the library shows"
shown=$(nm -D --defined-only -C "$library" | awk '{ $1 = $2 = ""; print }' |
  grep -vE '^ +(flowsmith_|flowsmith::|(typeinfo|typeinfo name|vtable) for flowsmith::|FLOWSMITH_1)' || true)
[ -z "$shown" ] || fail "the shared library shows more than the API: $shown"
! nm -D --defined-only -C "$library" | grep 'flowsmith::core' || fail "the shared library shows the layer below the API"
nm -D --defined-only "$library" | grep -c ' flowsmith_'

echo "== does it run, without compiler and source"
"$root/tools/check_self_contained.sh" "$work/root/usr/bin/flowsmith"
(cd "$work" && "$work/root/usr/bin/flowsmith" sample -n 2 --out two.png && "$work/root/usr/bin/flowsmith" --version)
ldd "$library" | grep 'not found' && fail "the library needs what is not here"

if command -v abidiff >/dev/null; then
  echo "== the C ABI"
  # What the build folder has is not stripped.
  types=(--headers-dir "$root/flowsmith" --no-corpus-path --no-show-locs --no-comp-dir-path)
  [ -z "$record" ] || abidw "${types[@]}" --suppressions "$root/tests/abi/c_only.suppr" --out-file "$root/tests/abi/flowsmith.abi" \
    "$build"/flowsmith/libflowsmith.so.1
  [ -z "$record" ] || sed -i "s#path='$root/#path='#" "$root/tests/abi/flowsmith.abi"
  abidiff --suppressions "$root/tests/abi/c_only.suppr" --headers-dir2 "$root/flowsmith" "$root/tests/abi/flowsmith.abi" \
    "$build"/flowsmith/libflowsmith.so.1 || fail "the C ABI is another: an addition needs --record, all else a new major version"
  echo "as on record"
else
  echo "abidiff is not here: the C ABI was not compared"
fi
