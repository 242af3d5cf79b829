#!/usr/bin/env bash
# run_docs.sh: runs every ./flow command of README.md and docs/, one after the other in an empty folder, so that none of
# them becomes untrue. Training stops after its first step, benchmarks take one round of one image, and pictures of data
# 16 examples; what a command takes from the reader (images, arrays, a configuration of their own) is made here. Commands
# of Python are left out: they need PyTorch.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ln -s "$root/flow" flow

# The command as it is run here.
shortened() {
  case $1 in
    "./flow train"*) sed -E 's/ --max-minutes [0-9]+//; s/^(\.\/flow train)/\1 --max-steps 1 --no-report/' <<<"$1" ;;
    "./flow latents"* | "./flow ledger"* | "./flow dequant"* | "./flow health"* | "./flow plane"*) echo "$1 --limit 16" ;;
    "./flow report"*) echo "$1 --examples 16" ;;
    "./flow bench"*) sed -E 's/ --(batch|repeats) [0-9]+//g; s/$/ --batch 1 --repeats 1/' <<<"$1" ;;
    "./flow explore"*) echo "timeout --signal=INT --preserve-status 5 $1" ;;
    "./flow test") echo "./flow test --list" ;;
    "./flow install"*) echo "./flow install --prefix $work/prefix" ;;
    *) echo "$1" ;;
  esac
}

# The ./flow commands of code blocks, without the comments behind them, each once and in order.
commands() {
  sed -nE 's/^    (\.\/flow .*)$/\1/p' "$root/README.md" "$root"/docs/*.md | sed -E 's/ +#.*$//' | awk '!seen[$0]++'
}

run() {
  echo "+ $1"
  local log=$work/.log
  if ! bash -c "$1" >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "run_docs.sh: this command of the documentation failed: $1" >&2
    exit 1
  fi
}

# What readers bring.
run "./flow info --model realnvp --json > mine.json"
sed -n '/^```json/,/^```/p' "$root/docs/config.md" | sed '/^```/d' >rings.json
sed -n '/^```json/,/^```/p' "$root/docs/tutorial.md" | sed '/^```/d' >spirals.json
run "./flow train --model moons --max-steps 1"
run "./flow sample --weights runs/moons -n 100 --npy x.npy"
mkdir FOLDER_OF_PNG
# A white stroke on 28 x 28 pixels.
base64 -d >FOLDER_OF_PNG/one.png <<<"iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAAFUlEQVR42mNgGLzgPxCMSo5KDhYAAFcaR7n5p1JcAAAAAElFTkSuQmCC"

count=0
while read -r command; do
  run "$(shortened "$command")"
  count=$((count + 1))
done < <(commands)
[ $count -ge 20 ] || { echo "run_docs.sh: only $count commands found: the pattern no longer fits the pages" >&2; exit 1; }
echo "$count commands of the documentation run"
