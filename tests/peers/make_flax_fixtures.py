#!/usr/bin/env python3
"""Replays a few training steps of the tutorial's JAX edition and writes what the C++ engine must reproduce.

  make_flax_fixtures.py [--out DIR]     tests/fixtures/parity_{model}_jax.safetensors, with the images, noise, initial
                                        weights and contents of make_fixtures.py's; and tests/data/flax_small.msgpack
  make_flax_fixtures.py --checkpoint MODEL FILE
                                        those initial weights as Flax writes them

JAX gives losses and gradients, PyTorch's Adam and clipping take the steps.
"""
import argparse
import pathlib

import jax
import numpy as np
import torch
from flax.serialization import to_bytes

import files
import flax_flows
import torch_flows
from make_fixtures import (CLIP_NORM, LEARNING_RATE, STRIDE, flat, initial_weights, metadata, relative, replay_data)


def weights_of(model):
    return initial_weights(torch_flows.build(model, "2024"))


def train(model, weights, images, noise, dtype):
    flow = flax_flows.build(model)

    def objective(values, image, u):
        z, logdet = flow.apply({"params": flax_flows.to_flax(values)}, image, u)
        log_prob = logdet + flax_flows.normal_log_density(z)
        return torch_flows.bits_per_dim(log_prob).mean(), (log_prob, z)

    step_of = jax.jit(jax.value_and_grad(objective, has_aux=True))
    parameters = {n: torch.nn.Parameter(torch.from_numpy(v.astype(dtype))) for n, v in weights.items()}
    adam = torch.optim.Adam(parameters.values(), lr=LEARNING_RATE)
    log_probs, losses, norms = [], [], []
    for step, (image, u) in enumerate(zip(images, noise)):
        values = {n: p.detach().numpy() for n, p in parameters.items()}
        nhwc = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (image, u.astype(dtype))]
        (loss, (log_prob, z)), grads = step_of(values, *nhwc)
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(np.array(grads[name]))
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP_NORM).item())
        adam.step()
        log_probs.append(np.array(log_prob))
        losses.append(float(loss))
        if step == 0:
            first_z = np.ascontiguousarray(np.array(z).transpose(0, 3, 1, 2))
    result = {"log_prob": np.stack(log_probs), "loss": np.array(losses, dtype), "grad_norm": np.array(norms, dtype),
              "z.final": first_z}
    return result, {name: p.detach().numpy() for name, p in parameters.items()}


def write_fixture(model, folder):
    weights = weights_of(model)
    flax_flows.check_names(model, weights)
    images, noise = replay_data(steps=5, batch=4)
    result, after = train(model, weights, images, noise, np.float32)
    with jax.enable_x64(True):
        exact, exact_after = train(model, weights, images, noise, np.float64)
    tensors = {"images": images, "noise": noise, **result}
    for name, value in after.items():
        tensors[f"after.{name}"] = value.reshape(-1)[::STRIDE]
        tensors[f"norm.{name}"] = np.array([np.linalg.norm(value.astype(np.float64))])
    path = folder / f"parity_{model}_jax.safetensors"
    files.save_safetensors(path, tensors, {**metadata(model, "jax"), "stride": STRIDE})
    errors = [relative(result[key], exact[key]) for key in ("log_prob", "loss", "grad_norm", "z.final")]
    before = flat(weights)
    errors += [relative(flat(after), flat(exact_after)), relative(flat(after) - before, flat(exact_after) - before)]
    print(f"| {model} jax | " + " | ".join(f"{e:.1e}" for e in errors)
          + f" | {result['loss'][0]:.4f} -> {result['loss'][-1]:.4f} | {path.stat().st_size / 1000:.0f} |", flush=True)


def small_tree():
    """A training state of a flow that is none of ours: every kind of name, of type and of thing to pass over."""
    def coupling(start):
        numbers = iter(np.arange(start, start + 1000, dtype=np.float32))

        def array(*shape):
            return np.array([next(numbers) for _ in range(int(np.prod(shape)))], np.float32).reshape(shape)
        return {"scaling_factor": array(2), "network": {"nn": {
            "layers_0": {"kernel": array(3, 3, 1, 2), "bias": array(2)},
            "layers_1": {"Conv_0": {"kernel": array(1, 1, 2, 3), "bias": array(3).astype(np.float16)}},
            "layers_2": {"scale": array(2), "bias": array(2).astype(jax.numpy.bfloat16)}}}}
    params = {"flows_0": {"var_flows_1": coupling(0)}, "flows_12": coupling(500)}
    zeros = jax.tree_util.tree_map(np.zeros_like, params)
    return {"step": np.int32(7), "params": params, "opt_state": [{"mu": zeros, "count": np.array(7)}, {}],
            "ema_params": jax.tree_util.tree_map(lambda x: (-x).astype(x.dtype), params)}


def main():
    tests = pathlib.Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=tests / "fixtures")
    parser.add_argument("--checkpoint", nargs=2, metavar=("MODEL", "FILE"))
    options = parser.parse_args()
    if options.checkpoint:
        model, file = options.checkpoint
        pathlib.Path(file).write_bytes(to_bytes(flax_flows.to_flax(weights_of(model))))
        return
    (tests / "data" / "flax_small.msgpack").write_bytes(to_bytes(small_tree()))
    for model in torch_flows.MODELS:
        write_fixture(model, options.out)


if __name__ == "__main__":
    main()
