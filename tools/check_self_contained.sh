#!/usr/bin/env bash
# check_self_contained.sh PROGRAM...: fails unless each program needs no shared library but glibc's.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 PROGRAM..." >&2; exit 2; }
# What the kernel adds, the loader, and the libraries of glibc.
glibc='^(linux-vdso|linux-gate|ld-linux[^/]*|ld64|libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil)\.so'
failed=0
for program in "$@"; do
  needed=$(LC_ALL=C ldd "$program") || { echo "$program: cannot tell what it needs" >&2; exit 2; }
  others=$(awk '{ sub(".*/", "", $1); print $1 }' <<<"$needed" | grep -vE "$glibc" | tr '\n' ' ') || true
  if [ -n "$others" ]; then
    echo "$program needs shared libraries that not every machine has: $others" >&2
    failed=1
  fi
done
exit $failed
