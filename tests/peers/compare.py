#!/usr/bin/env python3
"""Relative L2 distance of two `flowsmith parity` outputs: compare.py ACTUAL EXPECTED. Exit status 1 over a bound.

Rounding in float32 alone stays below 1e-6 for five steps of the fixtures' models (tests/fixtures/README.md). The
bounds leave room for other summation orders and fast exp/tanh; a wrong formula shows at 1e-2 and more.
"""
import sys

import numpy as np

import files

BOUNDS = {"log_prob": 2e-5, "loss": 2e-5, "z.final": 2e-5, "grad_norm": 2e-3, "weights": 2e-3}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    (actual, _), (expected, _) = (files.load_safetensors(path) for path in sys.argv[1:])
    expected = {name: value for name, value in expected.items() if not name.endswith(".mask")}
    missing = sorted(set(expected) - set(actual))
    shapes = [n for n in expected if n in actual and actual[n].shape != expected[n].shape]
    if missing or shapes:
        sys.exit(f"{sys.argv[1]}: missing {missing}, other shape {shapes}")

    failed = False
    for group, bound in BOUNDS.items():
        names = [n for n in expected if (n == group if group != "weights" else n not in BOUNDS)]
        a, b = (np.concatenate([side[n].astype(np.float64).ravel() for n in names]) for side in (actual, expected))
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        bad = not error <= bound  # also true for NaN
        failed |= bad
        print(f"{group:10} {error:.2e}  (bound {bound:.0e}){'  FAILED' if bad else ''}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
