#!/usr/bin/env python3
"""Flowsmith and PyTorch on the same GPU, in turns, so that both meet the same clocks.

  gpu_side_by_side.py [--bin build/bin/flowsmith bench] [--nets fp32 tf32] [--model multiscale ...] [--rounds 5] [--minutes 3]

Each round runs `flowsmith bench` once and then asks one waiting PyTorch process for the same work: as it is, with
channels_last convolutions, and through torch.compile (mode reduce-overhead: CUDA graphs). Only one side computes at a
time. Prints a markdown table of medians over the rounds; the ratio is against the fastest of the three. In rows of
fp32 PyTorch may not use TF32 (float32_matmul_precision "highest", cudnn.allow_tf32 off); in rows of tf32 it may.

What takes longer than --minutes is left out: first compilations, then rounds. A signal ends it with the table so far.
Without a GPU, `--device cpu` or `--device emulated` (with PyTorch on the CPU) shows that everything works.
"""
import argparse
import collections
import json
import pathlib
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import bench_torch
from side_by_side import EDITION, WORK, ask_torch

MODELS = ("multiscale", "simple", "vardeq", "realnvp", "glow")  # what matters most comes first
PEERS = {"eager": {"layout": "contiguous"},
         "channels_last": {"layout": "channels_last"},
         "compiled": {"layout": "contiguous", "compile": True}}


class Comparison:
    def __init__(self, options):
        self.options, self.started = options, time.monotonic()
        self.ours, self.theirs = collections.defaultdict(list), collections.defaultdict(list)
        self.failed = set()  # what PyTorch cannot do, or has no time for
        self.row, self.version, self.rounds, self.longest_compilation = {}, "(none)", 0, 0.0
        device = "cuda" if options.device.startswith("cuda") else "cpu"
        server = pathlib.Path(__file__).with_name("bench_torch.py")
        self.torch = subprocess.Popen(
            [options.python, str(server), "--serve", "--device", device, "--threads", str(options.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds_left(self):
        return self.started + 60 * self.options.minutes - time.monotonic()

    def work(self):
        """Every kind of work of every model, in networks of one precision after the other."""
        return [(nets, model, what)
                for nets in self.options.nets for model in self.options.model for what in self.options.what]

    def batch(self, what):
        return self.options.batch if what == "train_step" else self.options.inference_batch

    def run_ours(self, nets):
        """Adds one measurement of each kind of work."""
        for batch in sorted({self.batch(what) for what in self.options.what}):
            kinds = [what for what in self.options.what if self.batch(what) == batch]
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "ours.json"
                command = [*shlex.split(self.options.bin), "--device", self.options.device, "--nets", nets,
                           "--filter", f"^({'|'.join(kinds)})/({'|'.join(self.options.model)})$",
                           "--batch", str(batch), "--repeats", "1", "--json", str(path)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
                for row in json.loads(path.read_text()):
                    key = nets, row["model"], row["name"]
                    self.ours[key].append(row["median_s"])
                    self.row[key] = row

    def ask(self, key, peer):
        """One measurement of one kind of work in PyTorch: seconds, or None if it could not do that."""
        nets, model, what = key
        if (key, peer) in self.failed:
            return None
        try:
            answer = ask_torch(self.torch, {"model": model, "edition": EDITION, "what": what, "batch": self.batch(what),
                                            "repeats": 1, "tf32": nets == "tf32", **PEERS[peer]})
        except (SystemExit, BrokenPipeError) as error:
            print(f"{' '.join(key)}, {peer}: {error}", file=sys.stderr, flush=True)
            self.failed.add((key, peer))
            return None
        self.version = answer["torch"]
        if peer == "compiled" and not answer["compiled"]:
            self.failed.add((key, peer))
            return None
        return answer["median_s"]

    def warm_up(self):
        """Builds all models in PyTorch, and compiles those for which there is time."""
        for key in self.work():
            for peer in ("eager", "channels_last"):
                self.ask(key, peer)
        for key in self.work():
            if not self.options.compile or self.seconds_left() < self.longest_compilation + self.options.reserve:
                self.failed.add((key, "compiled"))
                continue
            before = time.monotonic()
            worked = self.ask(key, "compiled") is not None
            seconds = time.monotonic() - before
            self.longest_compilation = max(self.longest_compilation, seconds)
            if worked:
                print(f"compiled {' '.join(key)} in {seconds:.0f} s", file=sys.stderr, flush=True)

    def run(self):
        self.warm_up()
        longest_round = 0.0
        for turn in range(self.options.rounds):
            if turn > 0 and self.seconds_left() < longest_round:
                print(f"no time for round {turn + 1}", file=sys.stderr, flush=True)
                return
            print(f"round {turn + 1} of {self.options.rounds}", file=sys.stderr, flush=True)
            before = time.monotonic()
            for nets in self.options.nets:
                self.run_ours(nets)
                for key in self.work():
                    for peer in PEERS:
                        seconds = self.ask(key, peer) if key[0] == nets else None
                        if seconds is not None:
                            self.theirs[key, peer].append(seconds)
            self.rounds = turn + 1
            longest_round = max(longest_round, time.monotonic() - before)

    def table(self):
        lines = [f"PyTorch {self.version}: TF32 off in rows of fp32 (precision \"highest\"), on in rows of tf32. "
                 f"Medians of {self.rounds} whole rounds.", "",
                 "| networks | model | what | batch | launches | ours, ms | PyTorch, ms | channels_last, ms "
                 "| compiled, ms | PyTorch / ours |", "|---|---|---|---|---|---|---|---|---|---|"]
        for key in self.work():
            if key not in self.ours:
                continue
            medians = {peer: statistics.median(self.theirs[key, peer]) for peer in PEERS if self.theirs[key, peer]}
            ours, nodes = statistics.median(self.ours[key]), self.row[key]["graph_nodes"]
            columns = [f"{medians[peer] * 1e3:.3f}" if peer in medians else "-" for peer in PEERS]
            ratio = f"{min(medians.values()) / ours:.2f}" if medians else "-"
            lines.append(f"| {' | '.join(key)} | {self.row[key]['batch']} | {'-' if nodes is None else round(nodes)} "
                         f"| {ours * 1e3:.3f} | {' | '.join(columns)} | {ratio} |")
        return "\n".join(lines) + "\n"

    def close(self):
        self.torch.kill()
        self.torch.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin/flowsmith bench", help="command with its first arguments")
    parser.add_argument("--device", default="cuda", help="of flowsmith bench")
    parser.add_argument("--nets", nargs="+", default=["fp32", "tf32"], choices=("fp32", "tf32"))
    parser.add_argument("--model", nargs="+", default=list(MODELS), choices=bench_torch.MODELS)
    parser.add_argument("--what", nargs="+", default=list(WORK), choices=WORK)
    parser.add_argument("--batch", type=int, default=128, help="of training steps")
    parser.add_argument("--inference-batch", type=int, default=64, help="of scoring and sampling")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10, help="for everything")
    parser.add_argument("--reserve", type=float, default=30, help="seconds of these that compilations must leave")
    parser.add_argument("--out", help="file for the table")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch on the host")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch")
    options = parser.parse_args()

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    comparison = Comparison(options)
    try:
        comparison.run()
    except KeyboardInterrupt:
        print("stopped: the table holds what was measured so far", file=sys.stderr)
    finally:
        comparison.close()
        print(comparison.table(), end="", flush=True)
        if options.out:
            pathlib.Path(options.out).write_text(comparison.table())
    if not any(comparison.theirs.values()):
        sys.exit("nothing was measured in PyTorch")


if __name__ == "__main__":
    main()
