#!/usr/bin/env python3
"""Replays a few training steps in PyTorch and writes what the C++ engine must reproduce.

  make_fixtures.py [--out DIR]                                small fixtures of all six models, and a table of how
                                                              far float32 PyTorch itself is from float64
  make_fixtures.py --full MODEL EDITION IN OUT [--steps S] [--batch B]
                                                              a complete input for `flowsmith parity` and the expected
                                                              output, with every weight (see compare.py)

Image number i of the replay is training image i; its noise is Philox's training stream with draw = step. The
initial weights come from Philox too (initial_weights below), so a small fixture need not hold them.
"""
import argparse
import math
import pathlib

import numpy as np
import torch

import files
import philox
import torch_flows

SEED = 1234
LEARNING_RATE = 1e-3
CLIP_NORM = 1.0
STRIDE = 97  # a small fixture keeps every 97th element of a trained parameter


def initial_weights(flow):
    """Deterministic weights by name, float32, from formulas simple enough to repeat in any language.

    For element e of the parameter with index p in state_dict order (buffers not counted), C-order of the
    file's shape: r = 2u - 1 with u from philox.uniform(SEED, WEIGHTS, draw=p, image=0), then

      gamma, layer_norm.weight                      1 + 0.1 r
      beta, layer_norm.bias, scaling_factor         0.1 r
      last convolution of a network                 0.02 r        (not zero: couplings must do something)
      other convolutions, weight and bias           r / sqrt(fan_in), fan_in = c_in * kh * kw

    The bound is computed in double and rounded to float32; every other operation rounds to float32.
    """
    last, fan_in = set(), {}
    for name, module in flow.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_in[name] = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
        if isinstance(module, torch_flows.Conditioner):
            last.add(f"{name}.nn.{len(module.nn) - 1}")
    weights = {}
    for index, (name, parameter) in enumerate(flow.named_parameters()):
        owner, _, kind = name.rpartition(".")
        u = philox.uniform(SEED, philox.WEIGHTS, index, 0, parameter.numel())
        r = np.float32(2) * u - np.float32(1)
        if owner in fan_in:
            value = r * np.float32(0.02 if owner in last else 1 / math.sqrt(fan_in[owner]))
        elif kind == "gamma" or name.endswith("layer_norm.weight"):
            value = np.float32(1) + np.float32(0.1) * r
        else:
            value = np.float32(0.1) * r
        weights[name] = value.reshape(tuple(parameter.shape))
    return weights


def replay_data(steps, batch):
    """Images uint8 and noise float32, both (steps, batch, 1, 28, 28)."""
    images = files.mnist_images("train")[:steps * batch].reshape(steps, batch, 1, 28, 28)
    noise = [philox.uniform(SEED, philox.TRAINING, step, step * batch + i, torch_flows.DIMS)
             for step in range(steps) for i in range(batch)]
    return images, np.stack(noise).reshape(images.shape)


def train(model, edition, weights, images, noise, dtype):
    """Adam steps as a PyTorch user writes them. Returns the trajectory and the trained weights as numpy."""
    flow = torch_flows.build(model, edition).to(dtype)
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name]))
    adam = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
    log_probs, losses, norms = [], [], []
    for step, (image, u) in enumerate(zip(images, noise)):
        z, logdet = flow.encode(torch.from_numpy(image.copy()), torch.from_numpy(u).to(dtype))
        log_prob = logdet + torch_flows.normal_log_density(z)
        loss = torch_flows.bits_per_dim(log_prob).mean()
        adam.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(flow.parameters(), CLIP_NORM).item())
        adam.step()
        log_probs.append(log_prob.detach().numpy())
        losses.append(loss.item())
        if step == 0:
            first_z = z.detach().numpy()
    kind = log_probs[0].dtype
    result = {"log_prob": np.stack(log_probs), "loss": np.array(losses, kind),
              "grad_norm": np.array(norms, kind), "z.final": first_z}
    return result, {name: p.detach().numpy() for name, p in flow.named_parameters()}


def metadata(model, edition):
    return {"model": model, "edition": edition, "lr": LEARNING_RATE, "clip_norm": CLIP_NORM, "seed": SEED}


def relative(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def flat(tensors):
    return np.concatenate([np.asarray(t, np.float64).ravel() for t in tensors.values()])


def write_small(model, edition, folder):
    """Writes one committed fixture; prints a row of the README's table: float32 against float64."""
    weights = initial_weights(torch_flows.build(model, edition))
    images, noise = replay_data(steps=5, batch=4)
    result, after = train(model, edition, weights, images, noise, torch.float32)
    exact, exact_after = train(model, edition, weights, images, noise, torch.float64)

    tensors = {"images": images, "noise": noise, **result}
    for name, value in after.items():
        tensors[f"after.{name}"] = value.reshape(-1)[::STRIDE]
        tensors[f"norm.{name}"] = np.array([np.linalg.norm(value.astype(np.float64))])
    path = folder / f"parity_{model}_{edition}.safetensors"
    files.save_safetensors(path, tensors, {**metadata(model, edition), "stride": STRIDE})

    errors = [relative(result[key], exact[key]) for key in ("log_prob", "loss", "grad_norm", "z.final")]
    before = flat(weights)
    errors.append(relative(flat(after), flat(exact_after)))
    errors.append(relative(flat(after) - before, flat(exact_after) - before))
    errors.append(max(relative(after[n].reshape(-1)[::STRIDE], exact_after[n].reshape(-1)[::STRIDE]) for n in after))
    errors.append(max(abs(np.linalg.norm(after[n].astype(np.float64)) / np.linalg.norm(exact_after[n]) - 1)
                      for n in after))
    print(f"| {model} {edition} | " + " | ".join(f"{e:.1e}" for e in errors)
          + f" | {result['loss'][0]:.4f} -> {result['loss'][-1]:.4f} | {path.stat().st_size / 1000:.0f} |", flush=True)


def write_full(model, edition, in_path, out_path, steps, batch):
    weights = initial_weights(torch_flows.build(model, edition))
    images, noise = replay_data(steps, batch)
    result, after = train(model, edition, weights, images, noise, torch.float32)
    files.save_safetensors(in_path, {"images": images, "noise": noise, **weights}, metadata(model, edition))
    files.save_safetensors(out_path, {**result, **after}, metadata(model, edition))
    print(f"{model} {edition}: {steps} steps of {batch} images, loss {result['loss'][0]:.4f} -> "
          f"{result['loss'][-1]:.4f}; wrote {in_path} and {out_path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "fixtures")
    parser.add_argument("--full", nargs=4, metavar=("MODEL", "EDITION", "IN", "OUT"))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.full:
        write_full(*options.full, options.steps, options.batch)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    print("| model | log_prob | loss | grad_norm | z.final | weights | update | worst after.* | worst norm.* "
          "| loss of steps 1 -> 5 | kB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for model in torch_flows.MODELS:
        for edition in torch_flows.EDITIONS:
            write_small(model, edition, options.out)


if __name__ == "__main__":
    main()
