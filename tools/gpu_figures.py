#!/usr/bin/env python3
"""What the compiler says of the GPU kernels, beside their floors: gpu_figures.py [--build FOLDER] [--log FILE]

Compiles the kernels of FOLDER (default: build, which CMake has configured with an nvcc) for sm_90 once more with
-Xptxas -v, in a few minutes, and prints Markdown tables. --log keeps what ptxas said in FILE, or takes it from there if
the file exists. Needs nvcc and c++filt, and no GPU. Registers, spills and static shared memory are what ptxas says;
where the other numbers come from stands in gpu_launches.py.
"""
import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

from gpu_launches import BANDWIDTH, PEAK, POINTWISE, PRECISIONS, SECTIONS, up

ROOT = pathlib.Path(__file__).resolve().parent.parent
MULTIPROCESSORS = 132  # of an H100 SXM
# Compute capability 9.0, by the CUDA programming guide and the occupancy calculator.
REGISTERS, REGISTER_UNIT, WARPS, BLOCKS = 65536, 256, 64, 32
SHARED, SHARED_OF_BLOCK, SHARED_RESERVED, SHARED_UNIT = 228 * 1024, 227 * 1024, 1024, 128


def fail(message):
    sys.exit(f"gpu_figures: {message}")


# --- what ptxas says ---

@dataclass
class Figures:
    registers: int
    spill: int  # bytes stored and loaded
    stack: int
    shared: int  # static


def compile_kernels(build):
    commands = build / "compile_commands.json"
    if not commands.exists():
        fail(f"there is no {commands}: configure the build first, with an nvcc")
    said = ""
    for entry in json.loads(commands.read_text()):
        words = shlex.split(entry["command"])
        if not entry["file"].endswith(".cu") or "-forward-unknown-to-host-compiler" not in words:
            continue  # the emulator's copy
        words = [w for w in words if not w.startswith("--generate-code")]
        words[words.index("-c")] = "-cubin"
        words[words.index("-o") + 1] = "/dev/null"
        words += ["-gencode=arch=compute_90,code=sm_90", "-Xptxas", "-v"]
        print(f"compiling {entry['file']}", file=sys.stderr)
        done = subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True)
        if done.returncode != 0:
            fail(f"nvcc could not compile {entry['file']}: {done.stderr.strip()}")
        said += done.stderr
    return said or fail(f"{commands} compiles nothing by nvcc: configure with -DFLOWSMITH_CUDA=ON")


def read_figures(log):
    """{name without namespaces: Figures}"""
    text = subprocess.run(["c++filt"], input=log, capture_output=True, text=True, check=True).stdout
    for noise in ("flowsmith::", "cuda::", "(anonymous namespace)::", "(NetPrecision)", "(Direction)"):
        text = text.replace(noise, "")
    pattern = (r"Compiling entry function '(?:void )?([^(]+)\(.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
               r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)")
    figures = {}
    for name, stack, stores, loads, registers, rest in re.findall(pattern, text, re.DOTALL):
        shared = re.search(r"(\d+) bytes smem", rest)
        figures[name.replace(" >", ">")] = Figures(int(registers), int(stores) + int(loads), int(stack),
                                                   int(shared[1]) if shared else 0)
    return figures


def resident(figures, threads, dynamic):
    """Blocks that a multiprocessor holds, and what limits them."""
    warps = up(threads, 32) // 32
    by_registers = REGISTERS // up(figures.registers * 32, REGISTER_UNIT) // 4 * 4 // warps  # four partitions
    block = figures.shared + dynamic
    if block > SHARED_OF_BLOCK:
        fail(f"a block of {block} bytes of shared memory does not run")
    by_shared = SHARED // up(block + SHARED_RESERVED, SHARED_UNIT)
    return min((min(WARPS // warps, BLOCKS), "threads"), (by_registers, "registers"), (by_shared, "shared"),
               key=lambda limit: limit[0])


# --- tables ---

def figures_of(figures, kernel):
    if kernel not in figures:
        fail(f"ptxas compiled no {kernel}: the launchers have changed, correct gpu_launches.py")
    return figures[kernel]


def joined(values):
    """One value if all are the same."""
    values = [str(v) for v in values]
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def spill_text(f):
    return f"{f.spill}" if f.spill == f.stack == 0 else f"{f.spill} ({f.stack})"


def products_table(figures):
    print("| kernel, columns | works on | per step | threads | registers | spilled | shared KiB | blocks per SM "
          "| warps per SM | limit | blocks | waves | MB | GFLOP | floor, us |")
    print("|---" * 15 + "|")
    launches, total = [l for s in SECTIONS for l in s.launches()], [0.0] * 3
    for launch in launches:
        each = [figures_of(figures, launch.kernel.format(p=p)) for p in range(3)]
        held = [resident(f, launch.threads, d) for f, d in zip(each, launch.shared)]
        name = re.sub("_kernel|{p}, |Columns<|(?<=>)>", "", launch.kernel)
        floors = [launch.floor(p) * 1e6 for p in range(3)]
        total = [t + launch.times * f for t, f in zip(total, floors)]
        print(f"| `{name}` | {launch.where} | {launch.times} | {launch.threads} | {joined(f.registers for f in each)} "
              f"| {joined(map(spill_text, each))} "
              f"| {joined(f'{(f.shared + d) / 1024:.1f}' for f, d in zip(each, launch.shared))} "
              f"| {joined(n for n, _ in held)} | {joined(n * launch.threads // 32 for n, _ in held)} "
              f"| {joined(why for _, why in held)} | {launch.blocks} "
              f"| {joined(f'{launch.blocks / (MULTIPROCESSORS * n):.2f}' for n, _ in held)} "
              f"| {launch.bytes / 1e6:.1f} | {launch.flops / 1e9:.2f} | {joined(f'{f:.1f}' for f in floors)} |")
    print(f"\nAll of a training step: {joined(f'{t:.0f}' for t in total)} us, "
          f"{sum(l.flops * l.times for l in launches) / 1e9:.0f} GFLOP, "
          f"{sum(l.bytes * l.times for l in launches) / 1e9:.2f} GB, {sum(l.times for l in launches)} launches.\n")


def pointwise_table(figures):
    print("| kernel | when | works on, at most | threads | registers | spilled | shared KiB | blocks per SM "
          "| warps per SM | limit | MB | floor, us |")
    print("|---" * 12 + "|")
    for entry in POINTWISE:
        for kernel, when, moved in entry.typed():
            f = figures_of(figures, kernel)
            blocks, why = resident(f, entry.threads, 0)
            print(f"| `{kernel.replace('_kernel', '')}` | {', '.join(when)} | {entry.where} | {entry.threads} "
                  f"| {f.registers} | {spill_text(f)} | {f.shared / 1024:.1f} | {blocks} "
                  f"| {blocks * up(entry.threads, 32) // 32} | {why} | {moved / 1e6:.2f} "
                  f"| {moved / BANDWIDTH * 1e6:.2f} |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--log", type=pathlib.Path)
    options = parser.parse_args()
    if options.log and options.log.exists():
        said = options.log.read_text()
    else:
        said = compile_kernels(options.build)
        if options.log:
            options.log.write_text(said)
    figures = read_figures(said)
    print(f"Values with slashes are {' / '.join(PRECISIONS)}. Floors: {BANDWIDTH / 1e12} TB/s, "
          f"{' / '.join(f'{p / 1e12:g}' for p in PEAK)} TFLOP/s, an H100 SXM by its data sheet.\n")
    products_table(figures)
    pointwise_table(figures)
    spilling = sorted(name for name, f in figures.items() if f.spill or f.stack)
    print(f"{len(figures)} kernels compiled; with spills or a stack frame:", ", ".join(
        f"`{name}` {spill_text(figures[name])}" for name in spilling) or "none")


if __name__ == "__main__":
    main()
