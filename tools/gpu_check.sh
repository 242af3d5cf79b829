#!/usr/bin/env bash
# Checks the CUDA backend on a machine with a GPU and measures it; `--help` says how.
set -uo pipefail

usage() {
  cat <<'TEXT'
Usage: tools/gpu_check.sh [options]

On a machine that builds:

  tools/gpu_check.sh --pack     builds build-gpu, and packs what it takes elsewhere into build-gpu/packed.tar.xz

On a machine with a GPU, with the repository and that file, or build-gpu/bin as it is:

  tools/gpu_check.sh            correctness, compute-sanitizer, benchmarks, and PyTorch beside ours: 8 minutes at most
  tools/gpu_check.sh --quick    correctness only

It needs a driver, and python3 with numpy and PyTorch ($PYTHON, default python3) for the parity and PyTorch steps. Every
step has a time limit and may be stopped at any time; the table of what was done so far comes last. Logs and figures are
written to $OUT, or gpu_check_out/ if that is not set. Exit code 1 if a correctness step failed.

  --device DEVICE   cuda (default) or cuda:N; emulated rehearses all of it without a GPU, on less work
  --build FOLDER    default: build-gpu
  --minutes N       for everything (default: 8; 20 if emulated)
TEXT
}

fail() { echo "gpu_check: $*" >&2; exit 2; }

build=build-gpu device=cuda quick=0 pack=0 minutes=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --pack) pack=1 ;;
    --device | --build | --minutes)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case $1 in --device) device=$2 ;; --build) build=$2 ;; --minutes) minutes=$2 ;; esac
      shift ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option '$1': see --help" ;;
  esac
  shift
done
[[ -z $minutes || $minutes =~ ^[1-9][0-9]*$ ]] || fail "--minutes must be a whole number, 1 or more"
case $device in
  cuda) on_gpu=1 ;;
  cuda:*) on_gpu=1 CUDA_VISIBLE_DEVICES=${device#cuda:} device=cuda ;;
  emulated) on_gpu=0 ;;
  *) fail "unknown device '$device': choose cuda, cuda:N or emulated" ;;
esac
[ -n "$minutes" ] || minutes=$((on_gpu ? 8 : 20))
[ -z "${CUDA_VISIBLE_DEVICES:-}" ] || export CUDA_VISIBLE_DEVICES
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." || fail "cannot find the repository"
root=$PWD

# --- the build ---

programs=(flowsmith test_cuda_gpu)

pack_build() {
  if [ -z "${CUDACXX:-}" ] && ! command -v nvcc >/dev/null; then
    for candidate in /usr/local/cuda*/bin/nvcc; do
      [ -x "$candidate" ] && export CUDACXX=$candidate
    done
  fi
  cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DFLOWSMITH_CUDA=ON -DFLOWSMITH_TESTS=ON \
    "-DCMAKE_CUDA_ARCHITECTURES=90;80-virtual" || fail "the configuration failed"
  local target
  for target in flowsmith_program test_cuda_gpu; do
    cmake --build "$build" --target "$target" || fail "the build of $target failed"
  done
  # Only what is carried may stay in bin/.
  local kept=$build/kept
  rm -rf "$kept"
  mkdir -p "$kept"
  for target in "${programs[@]}"; do
    strip -o "$kept/$target" "$build/bin/$target" || fail "cannot strip $target"
  done
  tools/check_self_contained.sh "$kept"/* || fail "these programs would not run elsewhere"
  rm -rf "${build:?}/bin"
  mv "$kept" "$build/bin"
  # Every program holds the same kernels: a window larger than one of them (64 MiB) packs them once.
  XZ_OPT=-9 tar -C "$build" -cJf "$build/packed.tar.xz" bin || fail "cannot write $build/packed.tar.xz"
  du -sh "$build/bin" "$build/packed.tar.xz"
}

if [ $pack -eq 1 ]; then
  pack_build
  exit 0
fi

# --- steps and their table ---

python=${PYTHON:-python3}
[[ $build = /* ]] || build=$root/$build
bin=$build/bin packed=$build/packed.tar.xz
if [ -e "$packed" ] && [ ! "$bin/flowsmith" -nt "$packed" ]; then
  tar -xmJf "$packed" -C "$build" 2>/dev/null || "$python" -m tarfile -e "$packed" "$build" ||
    fail "cannot unpack $packed"
fi
[ -x "$bin/flowsmith" ] || fail "there is no $bin/flowsmith: run tools/gpu_check.sh --pack where it can be built"
out=${OUT:-gpu_check_out}
mkdir -p "$out" || fail "cannot make the folder $out"
rm -f "$out"/{table.txt,correctness.log,sanitizers.log,benchmarks.log,torch.log,bench.json,side_by_side.md}
work=$(mktemp -d) || fail "cannot make a folder for temporary files"
begun=$SECONDS
names=() verdicts=() seconds=() figures=()
failed=0
current=""   # name of the step in hand
child=""     # what it waits for
helpers=()   # what runs beside it
figure=""    # what it wants to say in the table
log=""       # where its output goes
step_end=0   # when it must be done, by SECONDS

print_table() {
  local i
  printf '\n%-34s %-7s %5s  %s\n' step verdict s figures
  for i in "${!names[@]}"; do
    printf '%-34s %-7s %5s  %s\n' "${names[i]}" "${verdicts[i]}" "${seconds[i]}" "${figures[i]}"
  done
  [ -z "$current" ] || printf '%-34s %-7s\n' "$current" STOPPED
}

# `timeout` passes the signal on, and kills what has not ended five seconds later.
stop() {
  local pid
  for pid in "$@"; do kill "$pid" 2>/dev/null; done
  for pid in "$@"; do wait "$pid" 2>/dev/null; done
}

finish() {
  trap '' INT TERM HUP
  trap - EXIT
  # shellcheck disable=SC2086  # no child is no word
  stop $child "${helpers[@]}"
  print_table | tee "$out/table.txt"
  echo "logs and figures: $out ($((SECONDS - begun)) s)"
  rm -rf "$work"
  exit $failed
}
trap finish EXIT
trap 'failed=1; finish' INT TERM HUP

# limited COMMAND...: runs it until the end of the step; 124 if that came first. Its output goes to the step's log.
limited() {
  local left=$((step_end - SECONDS)) status
  [ "$left" -gt 0 ] || return 124
  echo "--- $*" >>"$log"
  timeout --kill-after=5 "$left" "$@" >>"$log" 2>&1 &
  child=$!
  wait "$child"
  status=$?
  child=""
  return $status
}

# step NAME KIND LIMIT FUNCTION [ARGUMENTS]: KIND is correctness, sanitizers or benchmarks: which log, and whether a
# failure counts. The function returns 0, 77 for "cannot be done here", 124 for "no time", or anything else, and may set
# `figure`. Sanitizers, slow as they are, leave a third of the time to the benchmarks.
step() {
  local kind=$2 limit=$3 begin=$SECONDS status verdict left
  current=$1
  log=$out/$kind.log
  shift 3
  [ $on_gpu -eq 1 ] || limit=$((4 * limit))  # the emulator is slow, and so are busy machines
  left=$((begun + 60 * minutes - SECONDS))
  [ "$kind" != sanitizers ] || left=$((left - 20 * minutes))
  step_end=$((SECONDS + (limit < left ? limit : left)))
  figure=""
  echo "=== $current" >>"$log"
  if [ "$left" -le 0 ]; then
    status=124 figure="no time left for it"
  else
    "$@"
    status=$?
  fi
  case $status in
    0) verdict=PASS ;;
    77) verdict=SKIP ;;
    124 | 137) verdict=TIME ;;
    *) verdict=FAIL ;;
  esac
  if [ $verdict = FAIL ] || { [ $verdict = TIME ] && [ "$kind" = correctness ]; }; then
    [ "$kind" = benchmarks ] || failed=1
    tail -n 20 "$log" | cut -c 1-300 >&2
  fi
  [ -n "$figure" ] || [ $verdict = PASS ] || [ $verdict = SKIP ] ||
    figure="status $status: $(grep . "$log" | tail -n 1 | cut -c 1-100)"
  names+=("$current") verdicts+=("$verdict") seconds+=($((SECONDS - begin))) figures+=("$figure")
  printf '%-34s %-7s %5s  %s\n' "$current" "$verdict" $((SECONDS - begin)) "$figure"
  current=""
}

# --- the programs ---

# cuDNN and cuBLAS come with PyTorch's packages.
nvidia_libraries=$("$python" - 2>/dev/null <<'PYTHON'
import glob, os, sysconfig
print(":".join(sorted(glob.glob(os.path.join(sysconfig.get_paths()["purelib"], "nvidia", "*", "lib")))))
PYTHON
)
ours=(env "LD_LIBRARY_PATH=$nvidia_libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" OMP_WAIT_POLICY=passive)

has_numpy=0 has_torch=0
"$python" -c "import numpy" 2>/dev/null && has_numpy=1
"$python" -c "import torch" 2>/dev/null && has_torch=1

# Training data and sizes: a GPU takes MNIST and the real model; the emulator something that ends.
if [ $on_gpu -eq 1 ]; then
  data=mnist train=(--model multiscale) steps=200 snapshot=0.15
else
  data=$work/tiny train=(--model simple --batch-size 10) steps=5 snapshot=0.01
  [ $has_numpy -eq 1 ] || fail "a rehearsal needs a python3 with numpy: set PYTHON to one"
  "$python" tests/peers/tiny_dataset.py "$data"
fi

describe_machine() {
  [ $on_gpu -eq 1 ] || return 77
  figure=$(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,temperature.gpu --format=csv,noheader | head -n 1)
  nvidia-smi >>"$log" 2>&1
}

run_kernel_tests() {
  [ $on_gpu -eq 1 ] || return 77  # these are the tests of the GPU build
  # The list of kernels is a test of the sources, which lie elsewhere where the tests were compiled.
  limited "${ours[@]}" "$bin/test_cuda_gpu" --durations yes '~docs/kernels.md*'
  local status=$?
  figure=$(grep -E '^(All tests passed|test cases:|assertions:)' "$log" | tail -n 2 | tr '\n' ' ')
  return $status
}

run_gradcheck() {
  local filter="$device f32" status  # the finite differences of the host need no GPU
  limited "${ours[@]}" "$bin/flowsmith" gradcheck --device "$device" --filter "$filter"
  status=$?
  figure=$(tail -n 1 "$log" | cut -c 1-100)
  return $status
}

# check_parity NETS: only fp32 has bounds.
check_parity() {
  [ $on_gpu -eq 1 ] || [ "$1" = fp32 ] || return 77
  [ $has_torch -eq 1 ] || { figure="no PyTorch for $python"; return 77; }
  local which=() status before
  [ "$1" = fp32 ] || which=(tests/fixtures/parity_multiscale_2024.safetensors)
  [ $on_gpu -eq 1 ] || which=(--steps 1 tests/fixtures/parity_multiscale_2024.safetensors)
  before=$(wc -l <"$log")
  limited "$python" tests/peers/check_parity.py --bin "${ours[*]} $bin/flowsmith parity" --device "$device" --nets "$1" \
    "${which[@]}"
  status=$?
  figure=$(tail -n "+$((before + 1))" "$log" | grep -E "^[a-z]+ +20[0-9]+ $1 " | sort -k 5 | tail -n 1 | cut -c 1-100)
  return $status
}

# train_into FOLDER [OPTIONS]: a run of $steps steps.
train_into() {
  local folder=$1
  shift
  limited "${ours[@]}" "$bin/flowsmith" train --device "$device" --data "$data" "${train[@]}" --max-steps "$steps" \
    --out "$work/$folder" "$@"
}

same_weights() {
  cmp "$work/$1/last.safetensors" "$work/$2/last.safetensors" >>"$log" 2>&1 || return 1
  figure="$steps steps, last.safetensors bit-equal"
}

train_twice() { train_into first && train_into second && same_weights first second; }
train_without_graph() { train_into eager --no-graph && same_weights first eager; }

# cuDNN computes the convolutions, once captured in a graph and once not.
train_by_cudnn() {
  train_into cudnn --conv cudnn
  local status=$?
  if grep -q 'convolutions by cuDNN need lib' "$log"; then
    figure="no cuDNN 9 and cuBLAS here"
    return 77
  fi
  [ $status -eq 0 ] || return $status
  train_into cudnn_eager --conv cudnn --no-graph && same_weights cudnn cudnn_eager
}

rows_of() { wc -l 2>/dev/null <"$work/$1/metrics.csv" || echo 0; }

train_killed() {
  local killed_at resumed_at
  "${ours[@]}" "$bin/flowsmith" train --device "$device" --data "$data" "${train[@]}" --max-steps "$steps" \
    --out "$work/killed" --snapshot-seconds "$snapshot" >>"$log" 2>&1 &
  child=$!
  # Three quarters of the steps and the header; by then there are checkpoints.
  while [ "$(rows_of killed)" -le $((steps * 3 / 4)) ] && [ $SECONDS -lt $step_end ] && kill -0 "$child" 2>/dev/null; do
    sleep 0.02
  done
  kill -9 "$child" 2>/dev/null
  wait "$child" 2>/dev/null
  child=""
  killed_at=$(($(rows_of killed) - 1))
  train_into killed --resume || return
  same_weights first killed || return
  resumed_at=$(grep -oE '^resuming at step [0-9]+' "$log" | grep -oE '[0-9]+$' | tail -n 1)
  figure="$figure, killed at step $killed_at, resumed at ${resumed_at:-0}"
  [ "${resumed_at:-0}" -gt 0 ] && [ "$killed_at" -lt "$steps" ]
}

round_trip() {
  [ $has_numpy -eq 1 ] || { figure="no numpy for $python"; return 77; }
  local weights=$work/first/best.safetensors
  limited env PYTHONPATH=tests/peers "$python" -c "
import sys
import numpy, files, tiny_dataset
images = files.mnist_images('t10k')[:512] if sys.argv[2] == '1' else tiny_dataset.images(12, 1)
numpy.save(sys.argv[1], images)" "$work/images.npy" $on_gpu &&
    limited "${ours[@]}" "$bin/flowsmith" encode --device "$device" --weights "$weights" --images "$work/images.npy" \
      --out "$work/latents.safetensors" &&
    limited "${ours[@]}" "$bin/flowsmith" decode --device "$device" --weights "$weights" \
      --latents "$work/latents.safetensors" --out "$work/decoded.npy" &&
    limited "$python" -c "
import sys, numpy
a, b = map(numpy.load, sys.argv[1:])
print(*a.shape, 'pixels,', int((a != b).sum()), 'differ')
sys.exit(a.shape != b.shape or bool((a != b).any()))" "$work/images.npy" "$work/decoded.npy"
  local status=$?
  figure=$(grep 'pixels, .* differ' "$log" | tail -n 1)
  return $status
}

# sanitize TOOL COMMAND...: FAIL also if it reported something before its time was over.
sanitize() {
  local tool=$1 status before
  shift
  [ $on_gpu -eq 1 ] || return 77
  local sanitizer
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
    { figure="no compute-sanitizer here"; return 77; }
  before=$(wc -l <"$log")
  limited "${ours[@]}" "$sanitizer" --tool "$tool" --error-exitcode 9 --print-limit 20 "$@"
  status=$?
  figure=$(tail -n "+$((before + 1))" "$log" | grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' | tail -n 1 | sed 's/^=* *//')
  if tail -n "+$((before + 1))" "$log" | grep -q 'Device not supported'; then
    figure="compute-sanitizer does not support this device"
    return 77
  fi
  if [ $status -eq 124 ]; then
    figure="nothing found before its time was over"
    if tail -n "+$((before + 1))" "$log" | grep -qE '^=+ +(Invalid|Uninitialized|Error|ERROR|Race|Hazard|Program hit)'; then
      figure="found something; see the log"
      return 9
    fi
  fi
  return $status
}

# What cuDNN's own kernels do with memory is not ours to mend, and a test that asks for more memory than there is gets an
# error on purpose, which memcheck reports.
sanitize_tests() {
  sanitize "$1" "$bin/test_cuda_gpu" --durations yes "~[cudnn]~docs/kernels.md*~memory that is not there*" "${@:2}"
}

sanitize_training() {
  rm -rf "$work/sanitized"
  [ -d "$work/tiny" ] || "$python" tests/peers/tiny_dataset.py "$work/tiny" || return 77
  sanitize "$1" "$bin/flowsmith" train --device "$device" --data "$work/tiny" --model multiscale --batch-size 10 \
    --max-steps 3 --out "$work/sanitized" --nets "$2"
}

# bench NETS: table to the log, results to bench_NETS.json.
bench() {
  local which=() status
  [ $on_gpu -eq 1 ] || which=(--batch 1 --filter '^(squeeze|split|coupling_forward|adam)/|^conv3x3_last_forward/7x7')
  limited "${ours[@]}" "$bin/flowsmith" bench --device "$device" --nets "$1" --repeats 3 --json "$work/bench_$1.json" \
    "${which[@]}"
  status=$?
  figure=$("$python" - "$work/bench_$1.json" 2>/dev/null <<'PYTHON'
import json, sys
rows = json.load(open(sys.argv[1]))
models = [r for r in rows if r["name"] in ("train_step", "score", "sample")] or rows[:3]
print(", ".join(f"{r['name']}/{r['model']} {r['median_s'] * 1e3:.3g}" for r in models if r["model"] != "vardeq") + " ms")
PYTHON
  )
  return $status
}

# All results of bench in one file: {"fp32": [...], ...}.
join_bench_files() {
  "$python" - "$out/bench.json" "$work" 2>/dev/null <<'PYTHON'
import json, pathlib, sys
found = {p.stem[len("bench_"):]: json.loads(p.read_text()) for p in pathlib.Path(sys.argv[2]).glob("bench_*.json")
         if p.stat().st_size}
pathlib.Path(sys.argv[1]).write_text(json.dumps(found, indent=1))
PYTHON
}

# PyTorch compiles for minutes. What it compiled it keeps in files, so this can be done while the GPU is being tested.
compile_torch_models() {
  local model tf32 limit=$((40 * minutes))
  export TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton
  for model in multiscale simple vardeq; do
    for tf32 in "" --tf32; do
      TORCHINDUCTOR_COMPILE_THREADS=4 timeout --kill-after=5 "$limit" nice "$python" tests/peers/bench_torch.py \
        --device "$device" --compile ${tf32:+"$tf32"} --model $model --repeats 1 >>"$out/torch.log" 2>&1 &
      helpers+=("$!")
    done
  done
}

# The GPU is measured alone.
await_helpers() {
  local pid done=0 all=${#helpers[@]}
  for pid in "${helpers[@]}"; do
    while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $step_end ]; do sleep 0.5; done
    kill -0 "$pid" 2>/dev/null || done=$((done + 1))
  done
  stop "${helpers[@]}"
  helpers=()
  figure="$done of $all ended by themselves"
}

beside_torch() {
  [ $has_torch -eq 1 ] || { figure="no PyTorch for $python"; return 77; }
  local table=$out/side_by_side.md options status
  options=(--out "$table" --minutes "$(awk "BEGIN {print ($step_end - $SECONDS - 10) / 60}")")
  [ $on_gpu -eq 1 ] ||
    options+=(--nets fp32 --model multiscale --what sample --inference-batch 1 --batch 1 --rounds 1)
  limited "$python" tests/peers/gpu_side_by_side.py --device "$device" --bin "${ours[*]} $bin/flowsmith bench" "${options[@]}"
  status=$?
  figure="$(grep -cE '^[|] (fp32|tf32)' "$table" 2>/dev/null) rows in side_by_side.md"
  return $status
}

# --- in this order ---

step "the machine" correctness 15 describe_machine
[ $quick -eq 1 ] || [ $on_gpu -eq 0 ] || [ $has_torch -eq 0 ] || compile_torch_models
step "tests of the kernels" correctness 90 run_kernel_tests
step "gradcheck" correctness 60 run_gradcheck
step "parity with PyTorch's fixtures" correctness 90 check_parity fp32
step "training, twice" correctness 90 train_twice
step "training, without a graph" correctness 60 train_without_graph
step "training, killed and resumed" correctness 60 train_killed
step "encode and decode" correctness 30 round_trip
if [ $quick -eq 0 ]; then
  for tool in memcheck racecheck initcheck; do
    step "$tool, tests" sanitizers 40 sanitize_tests $tool
    step "$tool, three training steps" sanitizers 20 sanitize_training $tool fp32
  done
  for nets in tf32 bf16; do
    step "parity in $nets, no bounds" benchmarks 20 check_parity $nets
  done
  step "training by cuDNN, graph or not" benchmarks 30 train_by_cudnn
  step "torch.compile, beside the above" benchmarks 30 await_helpers
  for nets in fp32 tf32 bf16; do
    step "benchmarks in $nets" benchmarks 45 bench $nets
  done
  join_bench_files
  step "beside PyTorch" benchmarks 150 beside_torch
  [ ! -s "$out/side_by_side.md" ] || { echo; cat "$out/side_by_side.md"; }
fi
