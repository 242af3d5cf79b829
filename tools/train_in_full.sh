#!/usr/bin/env bash
# Trains the three models in full, in as many pieces as it takes; `--help` says how.
set -uo pipefail

usage() {
  cat <<'TEXT'
Usage: tools/train_in_full.sh [options] [-- options of flowsmith train]

Trains multiscale, then simple, then vardeq with flowsmith train's defaults (edition 2024, 200 epochs), scores those that are
finished on the test set with 8 importance samples, and draws samples. What is there already goes on from its last step,
to the same weights as in one piece. A call may be stopped at any time, by Ctrl-C, TERM or --minutes.

What a later call, perhaps on another machine, has to know is packed into $OUT, or train_in_full_out/ if that is not
set: state.tar.gz.00, .01, ... with the run folders (checkpoint, best weights, metrics, scores, samples), the command
lines and the machines; and report.txt.

It needs the programs that tools/gpu_check.sh --pack makes, packed or not. Exit code 0: all is done; 3: there is more to
do, call again; 1: a program failed; 2: wrong options.

  --minutes N       for everything, packing included (default: no limit)
  --from FOLDER     begin with what an earlier call left in its $OUT
  --runs FOLDER     the run folders (default: runs/in_full)
  --out FOLDER      instead of $OUT
  --models LIST     default: multiscale,simple,vardeq
  --device DEVICE   cuda (default), cuda:N, cpu or emulated
  --epochs N        default: 200
  --data FOLDER     default: mnist
  --build FOLDER    default: build-gpu
TEXT
}

fail() { echo "train_in_full: $*" >&2; exit 2; }

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd) || fail "cannot find the repository"
build=$root/build-gpu runs=$root/runs/in_full out=${OUT:-train_in_full_out} from="" minutes=""
device=cuda epochs=200 data=mnist models=multiscale,simple,vardeq more=()
while [ $# -gt 0 ]; do
  case $1 in
    --minutes | --from | --runs | --out | --models | --device | --epochs | --data | --build)
      [ $# -ge 2 ] || fail "$1 needs a value"
      printf -v "${1#--}" %s "$2"
      shift ;;
    --) shift; more=("$@"); break ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option '$1': see --help" ;;
  esac
  shift
done
[[ -z $minutes || $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--minutes must be a number"
[[ $models =~ ^(multiscale|simple|vardeq)(,(multiscale|simple|vardeq))*$ ]] ||
  fail "--models is a list like multiscale,simple,vardeq"
IFS=, read -ra models <<<"$models"

# --- the programs, and what an earlier call left ---

bin=$build/bin packed=$build/packed.tar.xz
if [ -e "$packed" ] && [ ! "$bin/flowsmith" -nt "$packed" ]; then
  tar -xmJf "$packed" -C "$build" 2>/dev/null || python3 -m tarfile -e "$packed" "$build" ||
    fail "cannot unpack $packed"
fi
[ -x "$bin/flowsmith" ] || fail "there is no $bin/flowsmith: run tools/gpu_check.sh --pack where it can be built"
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
mkdir -p "$runs" "$out" || fail "cannot make the folders $runs and $out"
if [ -n "$from" ]; then
  for folder in "$runs"/*/; do
    [ ! -e "$folder/config.json" ] || fail "$folder holds a run: go on with it without --from, or name other --runs"
  done
  [ -e "$from/state.tar.gz.00" ] || fail "there is no $from/state.tar.gz.00: --from is the \$OUT of an earlier call"
  cat "$from"/state.tar.gz.* | tar -xzf - -C "$runs" || fail "cannot unpack $from/state.tar.gz.*"
fi

# --- time and signals ---

milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# Training ends early enough for its checkpoint and for packing. It is told by a signal, not by --max-minutes: that
# would keep a fifth of the time for closing scores, and could take weights from the middle of an epoch for the best,
# which a run in one piece does not.
end=""
if [ -n "$minutes" ]; then
  budget=$(awk "BEGIN {printf \"%d\", $minutes * 60000}")
  reserve=$((budget / 10))
  end=$(($(milliseconds) + budget - (reserve < 20000 ? reserve : 20000)))
fi
stopping=0
trap 'stopping=1' INT TERM HUP

time_is_over() { [ $stopping -eq 1 ] || { [ -n "$end" ] && [ "$(milliseconds)" -ge "$end" ]; }; }

# run LOG COMMAND...: 3 if it was stopped. It gets one TERM, in a session of its own, so that Ctrl-C is no second one:
# at the first flowsmith train finishes its step, a second kills it.
run() {
  local log=$1 child kill_at=""
  shift
  time_is_over && return 3
  echo "$(date -u +%FT%TZ) $*" | tee -a "$runs/commands.txt"
  setsid "$@" >>"$log" 2>&1 &
  child=$!
  while kill -0 $child 2>/dev/null; do
    if [ -n "$kill_at" ]; then
      [ "$(milliseconds)" -lt "$kill_at" ] || kill -9 $child 2>/dev/null
    elif time_is_over; then
      kill $child 2>/dev/null
      kill_at=$(($(milliseconds) + 60000))
    fi
    sleep 0.1
  done
  wait $child
  local status=$?
  [ -z "$kill_at" ] || return 3
  [ $status -eq 0 ] || { tail -n 3 "$log" >&2; return 1; }
}

# --- a model ---

train() {
  local folder=$runs/$1 resume=() status
  [ ! -e "$folder/finished" ] || return 0
  [ ! -e "$folder/config.json" ] || resume=(--resume)
  mkdir -p "$folder/samples"  # a run that came in parts has none
  run "$folder/train.log" "$bin/flowsmith" train --model "$1" --device "$device" --data "$data" --epochs "$epochs" \
    --out "$folder" "${resume[@]}" "${more[@]}"
  status=$?
  # A signal may come when it was done anyway.
  if [ $status -ne 1 ] && tail -n 20 "$folder/train.log" 2>/dev/null | grep -q '^done at step'; then
    touch "$folder/finished"
    return 0
  fi
  return $status
}

score() {
  local folder=$runs/$1
  [ -e "$folder/eval.json" ] || run "$folder/eval.log" "$bin/flowsmith" eval --weights "$folder/best.safetensors" \
    --device "$device" --data "$data" --importance-samples 8 --json "$folder/eval.json" || return
  [ -e "$folder/samples.png" ] || run "$folder/eval.log" "$bin/flowsmith" sample --weights "$folder/best.safetensors" \
    --device "$device" --out "$folder/samples.png"
}

# --- what is kept ---

describe_machine() {
  local commit
  commit=$(git -C "$root" rev-parse HEAD 2>/dev/null) || commit=unknown
  [ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || commit="$commit with changes"
  echo "$(date -u +%FT%TZ) commit $commit, device $device," \
    "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || uname -m)" >>"$runs/machines.txt"
}

report() {
  local model folder
  for model in "${models[@]}"; do
    folder=$runs/$model
    if [ -e "$folder/eval.json" ]; then
      awk -v model="$model" -F '[:,]' '/"bits_per_dim"/ {bits = $2} /"standard_error"/ {error = $2}
        END {printf "%s: finished, test %.4f +- %.4f bits/dim\n", model, bits, error}' "$folder/eval.json"
    elif [ -e "$folder/metrics.csv" ]; then
      echo "$model: step $(tail -n 1 "$folder/metrics.csv" | sed -E 's/^([0-9]+),([0-9]+),.*/\1, epoch \2/') of $epochs"
    else
      echo "$model: not begun"
    fi
  done
}

# In parts, because what carries files between machines often bounds their size.
keep() {
  report | tee "$out/report.txt"
  rm -f "$out"/state.new.*
  (cd "$runs" && find . -type f ! -name '*.tmp*' ! -path './*/samples/step_*' ! -name 'events.out.*' -print0 |
    tar --null --files-from - -czf -) | split -b 15M -d - "$out/state.new." || return 1
  rm -f "$out"/state.tar.gz.*
  local part
  for part in "$out"/state.new.*; do mv "$part" "$out/state.tar.gz.${part##*.}"; done
  echo "kept in $out; go on with tools/train_in_full.sh, elsewhere with --from"
}

describe_machine
status=0
for model in "${models[@]}"; do
  train "$model" && score "$model"
  status=$?
  [ $status -eq 0 ] || break
done
trap "" INT TERM HUP  # a second Ctrl-C is not for tar
keep || { echo "train_in_full: cannot write to $out" >&2; exit 1; }
exit $status
