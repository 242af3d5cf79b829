#!/usr/bin/env python3
"""Replays the fixtures with `flowsmith parity` on a device and holds the results against PyTorch's: exit status 1 over a bound.

  check_parity.py --bin build/bin/flowsmith parity --device cpu [--nets fp32] [--steps 5] [FIXTURE ...]

A fixture holds no initial weights; they are made again (make_fixtures.py). Steps after the first --steps are left out,
and with them the trained weights. Prints the relative errors of each fixture; networks in tf32 and bf16 have no bound.
"""
import argparse
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np

import files
import make_fixtures
import torch_flows

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
# Float32 rounding moves PyTorch itself by up to 5e-7, single trained tensors by 3e-6 (tests/fixtures/README.md), and the
# host's kernels stay within four times that. A GPU sums in another order and has an exp and a tanh of its own: five
# times more. A formula that is wrong shows at 1e-2, an update that is 1% wrong at 5e-4.
BOUNDS = {"log_prob": 1e-5, "loss": 1e-5, "grad_norm": 1e-5, "z.final": 1e-5, "weights": 5e-5, "norms": 1e-5}


def relative(actual, expected):
    """L2 distance; NaN if either side holds one, which no bound accepts."""
    a, b = np.asarray(actual, np.float64).ravel(), np.asarray(expected, np.float64).ravel()
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def replay(options, fixture, metadata, folder):
    """What `flowsmith parity` makes of the fixture's first steps."""
    edition = "2024" if metadata["edition"] == "jax" else metadata["edition"]  # the same names and shapes
    weights = make_fixtures.initial_weights(torch_flows.build(metadata["model"], edition))
    inputs = {name: fixture[name][:options.steps] for name in ("images", "noise")}
    kept = {key: metadata[key] for key in ("model", "edition", "lr", "clip_norm")}
    files.save_safetensors(folder / "in.safetensors", {**inputs, **weights}, kept)
    command = [*shlex.split(options.bin), "--device", options.device, "--nets", options.nets,
               str(folder / "in.safetensors"), str(folder / "out.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return files.load_safetensors(folder / "out.safetensors")[0]


def errors_of(result, fixture):
    """Relative error by group: the worst tensor of the trained weights, and the worst of their norms."""
    steps = len(result["loss"])
    errors = {name: relative(result[name], fixture[name][:steps]) for name in ("log_prob", "loss", "grad_norm")}
    errors["z.final"] = relative(result["z.final"], fixture["z.final"])
    if steps == len(fixture["loss"]):
        names = [name[len("after."):] for name in fixture if name.startswith("after.")]
        trained = {name: result[name].astype(np.float64).ravel() for name in names}
        # np.max, not max: a NaN must not get lost.
        errors["weights"] = np.max([relative(trained[n][::make_fixtures.STRIDE], fixture[f"after.{n}"]) for n in names])
        errors["norms"] = np.max([relative(np.linalg.norm(trained[n]), fixture[f"norm.{n}"]) for n in names])
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixture", nargs="*", type=pathlib.Path, help="default: all")
    parser.add_argument("--bin", default="build/bin/flowsmith parity", help="command with its first arguments")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--nets", default="fp32", choices=("fp32", "tf32", "bf16"))
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    failed = False
    for path in options.fixture or sorted(FIXTURES.glob("parity_*.safetensors")):
        fixture, metadata = files.load_safetensors(path)
        with tempfile.TemporaryDirectory() as folder:
            errors = errors_of(replay(options, fixture, metadata, pathlib.Path(folder)), fixture)
        bad = [name for name, error in errors.items() if options.nets == "fp32" and not error <= BOUNDS[name]]
        failed |= bool(bad)
        print(f"{metadata['model']:10} {metadata['edition']} {options.nets}  "
              + "  ".join(f"{name} {error:.1e}" for name, error in errors.items())
              + (f"  OVER THE BOUND: {', '.join(f'{name} {BOUNDS[name]:.0e}' for name in bad)}" if bad else "  ok"),
              flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
