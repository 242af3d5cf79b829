#!/usr/bin/env python3
"""What the compiler says of the GPU kernels, beside their floors: gpu_figures.py [--build FOLDER] [--log FILE]

Compiles the kernels of FOLDER (default: build, which CMake has configured with an nvcc) for sm_90 once more with
-Xptxas -v, in a few minutes, and prints docs/gpu_figures.md from "## Products" on. --log keeps what ptxas said in FILE,
or takes it from there if the file exists. Needs nvcc and c++filt, and no GPU. Registers, spills and static shared
memory are what ptxas says; where the other numbers come from stands in gpu_launches.py (products) and gpu_pointwise.py
(all others). A kernel that was compiled and stands in neither, or stands there and was not compiled, ends the tool with
its name.
"""
import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass

from gpu_launches import BANDWIDTH, MULTIPROCESSORS, PEAK, PEAK_DOUBLE, PRECISIONS, PRODUCTS, up
from gpu_pointwise import POINTWISE

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
    pattern = (r"Compiling entry function '(?:void )?([^('\n]+).*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
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


# --- text and tables ---

PRODUCTS_TEXT = f"""
Of a training step at a batch of 128. Values with slashes are {' / '.join(PRECISIONS)}. Floors: {BANDWIDTH / 1e12} TB/s,
{' / '.join(f'{p / 1e12:g}' for p in PEAK)} TFLOP/s, an H100 SXM by its data sheet. "Columns" are the template
arguments: tiles of a warp, warps beside each other, halves; of a weight gradient the window and the tiles. 2*C is an
ELU-concat of C channels. What works on no map is a dense layer. Spilled: bytes stored and loaded (bytes of stack frame,
where there is one). Blocks and warps are those that a multiprocessor holds at a time; a wave is as many blocks as all
{MULTIPROCESSORS} hold. MB are inputs read once and outputs written once, the partial sums of weight gradients among
them; the floor is the larger of bytes and operations.
"""
POINTWISE_TEXT = f"""
The path of z is float in training and double elsewhere, also in training with --recompute. Where no model is named in
front of a shape, it is multiscale's. MFLOP are given where the kernel's file speaks of their number; the floor is the
larger of bytes and operations, these at {PEAK_DOUBLE / 1e12:g} TFLOP/s in double and {PEAK[0] / 1e12:g} in float,
by the multiprocessors that have a block.
"""


def paragraph(text, end="\n"):
    print(textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False), end="\n" + end)


def figures_of(figures, kernel):
    if kernel not in figures:
        fail(f"ptxas compiled no {kernel}: the launchers have changed, correct gpu_launches.py or gpu_pointwise.py")
    return figures[kernel]


def joined(values):
    """One value if all are the same."""
    values = [str(v) for v in values]
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def spill_text(f):
    return f"{f.spill}" if f.spill == f.stack == 0 else f"{f.spill} ({f.stack})"


def products_table(figures, launches):
    print("| kernel, columns | works on | per step | threads | registers | spilled | shared KiB | blocks per SM "
          "| warps per SM | limit | blocks | waves | MB | GFLOP | floor, us |")
    print("|---" * 15 + "|")
    total = [0.0] * 3
    for launch in launches:
        each = [figures_of(figures, launch.name(p)) for p in range(3)]
        held = [resident(*of) for of in zip(each, launch.threads, launch.shared)]
        name = re.sub("_kernel|{p}, |Columns<|, {m}|(?<=>)>", "", launch.kernel)
        floors = [launch.floor(p) * 1e6 for p in range(3)]
        total = [t + launch.times * f for t, f in zip(total, floors)]
        print(f"| `{name}` | {launch.where} | {launch.times} | {joined(launch.threads)} | {joined(f.registers for f in each)} "
              f"| {joined(map(spill_text, each))} "
              f"| {joined(f'{(f.shared + d) / 1024:.1f}' for f, d in zip(each, launch.shared))} "
              f"| {joined(n for n, _ in held)} | {joined(n * t // 32 for (n, _), t in zip(held, launch.threads))} "
              f"| {joined(why for _, why in held)} | {launch.blocks} "
              f"| {joined(f'{launch.blocks / (MULTIPROCESSORS * n):.2f}' for n, _ in held)} "
              f"| {launch.bytes / 1e6:.1f} | {launch.flops / 1e9:.2f} | {joined(f'{f:.1f}' for f in floors)} |")
    print(f"\nAll of a training step: {joined(f'{t:.0f}' for t in total)} us, "
          f"{sum(l.flops * l.times for l in launches) / 1e9:.0f} GFLOP, "
          f"{sum(l.bytes * l.times for l in launches) / 1e9:.2f} GB, {sum(l.times for l in launches)} launches.\n")


def pointwise_table(figures, entries):
    print("| kernel | when | works on, at most | threads | registers | spilled | shared KiB | blocks per SM "
          "| warps per SM | limit | blocks | MB | MFLOP | floor, us |")
    print("|---" * 14 + "|")
    for entry in entries:
        flops = f"{entry.elements * entry.flops / 1e6:.2f}" if entry.flops else ""
        for kernel, when, size in entry.typed():
            f = figures_of(figures, kernel)
            dynamic = entry.shared[0] * size + entry.shared[1]
            held, why = resident(f, entry.threads, dynamic)
            print(f"| `{kernel.replace('_kernel', '')}` | {', '.join(when)} | {entry.where} | {entry.threads} "
                  f"| {f.registers} | {spill_text(f)} | {(f.shared + dynamic) / 1024:.1f} | {held} "
                  f"| {held * up(entry.threads, 32) // 32} | {why} | {entry.blocks} | {entry.bytes(size) / 1e6:.2f} "
                  f"| {flops} | {entry.floor(size) * 1e6:.2f} |")
    print()


def listed_kernels():
    """All that the tables name, each instantiation."""
    return ({launch.name(p) for launches in PRODUCTS.values() for launch in launches for p in range(3)} |
            {kernel for entries in POINTWISE.values() for entry in entries for kernel, _, _ in entry.typed()})


def without_arguments(kernel):
    return kernel.split("<")[0]


def unlisted(figures):
    """Compiled instantiations that no table names. Fails where it names none of a kernel."""
    listed = listed_kernels()
    known = {without_arguments(kernel) for kernel in listed}
    for kernel in sorted(figures):
        if without_arguments(kernel) not in known:
            fail(f"{kernel} was compiled and stands in no table: add it to gpu_launches.py or gpu_pointwise.py")
    return sorted(set(figures) - listed)


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
    others = unlisted(figures)
    print("## Products\n")
    paragraph(PRODUCTS_TEXT)
    for model, launches in PRODUCTS.items():
        print(f"### {model}\n")
        products_table(figures, launches)
    print("## Everything else\n")
    paragraph(POINTWISE_TEXT)
    for title, entries in POINTWISE.items():
        print(f"### {title}\n")
        pointwise_table(figures, entries)
    print("## All kernels\n")
    spilling = sorted(name for name, f in figures.items() if f.spill or f.stack)
    listed = ", ".join(f"`{name.replace('_kernel', '')}` {spill_text(figures[name])}" for name in spilling)
    paragraph(f"{len(figures)} kernels compiled; with spills or a stack frame: {listed or 'none'}.")
    listed = ", ".join(f"`{name.replace('_kernel', '')}`" for name in others)
    paragraph(f"Compiled, but what launches them is in no table: {listed or 'none'}.", end="")


if __name__ == "__main__":
    main()
