#!/bin/sh
# write_manuals.sh PROGRAM FOLDER: the manual page of the program and one for each of its tools.
set -eu
mkdir -p "$2"
"$1" --completions | cut -f 1 | while read -r tool; do
  "$1" "$tool" --manual >"$2/flowsmith-$tool.1"
done
"$1" --manual >"$2/flowsmith.1"
