#!/usr/bin/env python3
"""Flowsmith and PyTorch on the same machine, in turns, so that both meet the same weather.

  side_by_side.py [--bin build/bin/flowsmith bench] [--model multiscale ...] [--batch N] [--threads 2] [--rounds 7] [--repeats 5]

Each round runs `flowsmith bench` once and then asks one waiting PyTorch process for the same work at the batch that
flowsmith bench reports, with contiguous and with channels_last convolutions; only one side computes at a time, and the
median of --repeats measurements counts: in its first tenth of a second a program's threads may share one core. Prints a
markdown table of medians over the rounds; the ratio is against the faster of the two PyTorch layouts. The share of the
multiply-add peak, which flowsmith bench measures in between, counts the operations of plain convolutions.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import shlex
import subprocess
import sys
import tempfile
import time

import bench_torch

LAYOUTS = ("contiguous", "channels_last")
WITHOUT_CONVOLUTIONS = ("moons", "nice")  # layouts say nothing of them
WORK = ("train_step", "score", "sample")
EDITION = "2024"  # the edition of flowsmith bench's models
REST = 0.5  # seconds until PyTorch's threads, which spin after their work, leave both cores to ours
# As ./flow sets them. PyTorch keeps its own: waiting passively its small models would take twice as long and more.
OUR_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "2000"}


def run_ours(options, model):
    """Results of one flowsmith bench run, by kind of work."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "ours.json"
        command = [*shlex.split(options.bin), "--filter", f"^({'|'.join(WORK)})/{model}$", "--threads", str(options.threads),
                   "--repeats", str(options.repeats), "--json", str(path)]
        if options.batch is not None:
            command += ["--batch", str(options.batch)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **OUR_ENVIRONMENT})
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        results = {row["name"].split("/")[0]: row for row in json.loads(path.read_text())}
    missing = [what for what in WORK if what not in results]
    if missing:
        sys.exit(f"{options.bin} reported no {', '.join(missing)} for {model}")
    return results


def layouts_of(model):
    return LAYOUTS[:1] if model in WITHOUT_CONVOLUTIONS else LAYOUTS


def ask_torch(process, request):
    """The waiting process' answer. Exits if it has none."""
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        sys.exit("the PyTorch process ended; its message is above")
    answer = json.loads(answer)
    if "error" in answer:
        sys.exit(f"PyTorch: {answer['error']}")
    return answer


def milliseconds(seconds):
    return f"{statistics.median(seconds) * 1e3:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin/flowsmith bench")
    parser.add_argument("--model", nargs="+", default=list(bench_torch.MODELS), choices=bench_torch.MODELS)
    parser.add_argument("--batch", type=int, help="default: that of flowsmith bench, 128 in training and 64 otherwise")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch")
    options = parser.parse_args()

    server = pathlib.Path(__file__).with_name("bench_torch.py")
    process = subprocess.Popen([options.python, str(server), "--serve", "--threads", str(options.threads)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ours, theirs, peak = collections.defaultdict(list), collections.defaultdict(list), collections.defaultdict(list)
    batch = {}
    for turn in range(options.rounds):
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for model in options.model:
            time.sleep(REST)
            for what, row in run_ours(options, model).items():
                ours[model, what].append(row["median_s"])
                peak[model, what].append(row["share_of_peak"])
                batch[model, what] = row["batch"]
            for what in WORK:
                for layout in layouts_of(model):
                    request = {"model": model, "edition": EDITION, "layout": layout, "what": what,
                               "batch": batch[model, what], "repeats": options.repeats}
                    theirs[model, what, layout].append(ask_torch(process, request)["median_s"])
    process.stdin.close()
    process.wait()

    print("| model | what | batch | ours, ms | of peak | PyTorch, ms | PyTorch channels_last, ms | PyTorch / ours |")
    print("|---|---|---|---|---|---|---|---|")
    for (model, what), seconds in ours.items():
        columns = [theirs[model, what, layout] for layout in layouts_of(model)]
        ratio = min(map(statistics.median, columns)) / statistics.median(seconds)
        print(f"| {model} | {what} | {batch[model, what]} | {milliseconds(seconds)} | "
              f"{statistics.median(peak[model, what]):.0%} | "
              f"{' | '.join([*map(milliseconds, columns), '-'][:2])} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
