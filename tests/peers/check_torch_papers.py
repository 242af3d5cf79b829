#!/usr/bin/env python3
"""Checks torch_papers.py: parameter counts, and that with weights of ours it computes what ours computes.

  check_torch_papers.py [--bin build/bin/flowsmith transform] [--jitter 0.02]

Both sides get the same random numbers through the layers of each model, base and dequantization left out, with every
parameter moved by a normal of that deviation. Prints the largest difference of z, relative to the largest z, and of the
log-determinant. Networks are float32 on both sides: deep flows multiply their rounding, the more the further weights are
from where they start.
"""
import argparse
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np
import torch

import files
import torch_flows
import torch_papers

BOUND = 1e-5  # the largest difference found was 2e-6, in the log-determinants of glow


def through_layers(flow, x):
    """z, the latents of splits in front, as rows of NHWC; and log|det| without the density of the latents."""
    latents, logdet, z = [], torch.zeros(len(x), dtype=x.dtype), x

    def row(value):
        return (value.movedim(1, -1) if value.dim() == 4 else value).flatten(1)

    for layer in list(flow.flows)[1:]:
        if isinstance(layer, torch_flows.Split):
            if hasattr(layer, "prior"):
                z, change = layer.prior.encode(z)
                logdet = logdet + change
            z, latent = z.chunk(2, dim=1)
            latents.append(row(latent))
        else:
            z, change = layer.encode(z)
            logdet = logdet + change
    return torch.cat([*latents, row(z)], 1), logdet


def check(model, options, folder):
    flow = torch_papers.build(model).eval()
    size = 2 if model == "moons" else torch_flows.DIMS
    x = np.random.default_rng(0).normal(size=(16, size))
    np.save(folder / "x.npy", x)
    paths = {name: str(folder / name) for name in ("x.npy", "z.npy", "logdet.npy", "w.safetensors")}
    subprocess.run([*shlex.split(options.bin), "--model", model, "--seed", "1", "--jitter", str(options.jitter),
                    "--input", paths["x.npy"], "--out", paths["z.npy"], "--logdet", paths["logdet.npy"],
                    "--save", paths["w.safetensors"]], check=True, stdout=subprocess.DEVNULL)
    tensors, _ = files.load_safetensors(paths["w.safetensors"])
    flow.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()
                          if not name.startswith("adam.")}, strict=True)
    given = torch.from_numpy(x).float()
    if model in ("realnvp", "glow"):
        given = given.view(-1, 1, torch_flows.SIDE, torch_flows.SIDE)
    with torch.no_grad():
        z, logdet = through_layers(flow, given)
    ours_z = torch.from_numpy(np.load(paths["z.npy"])).flatten(1)
    ours_logdet = torch.from_numpy(np.load(paths["logdet.npy"]))
    errors = [float((a.double() - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in
              ((z, ours_z), (logdet, ours_logdet))]
    count = sum(p.numel() for p in flow.parameters())
    print(f"{model:8} {count:10,} parameters  z {errors[0]:.1e}  log-determinant {errors[1]:.1e}")
    return max(errors) < BOUND


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin/flowsmith transform")
    parser.add_argument("--jitter", type=float, default=0.02)
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        right = [check(model, options, pathlib.Path(folder)) for model in torch_papers.MODELS]
    if not all(right):
        sys.exit("some model is not ours")


if __name__ == "__main__":
    main()
