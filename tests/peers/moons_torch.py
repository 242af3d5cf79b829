#!/usr/bin/env python3
"""The model `moons` in plain PyTorch: a yardstick for how well and how fast it trains.

  moons_torch.py [--epochs 20] [--seed 0] [--threads 2]     test NLL in nats after each epoch
  moons_torch.py --steps 300 [--warmup 50]                  times training steps alone

The settings are those of models/configs/moons.json: eight affine couplings, masks (1,0) and (0,1) in turn, one network
for the log-scale and one for the shift, 2-256-256-2 with ReLU, Glorot-uniform weights and zero biases, tanh on the
log-scale, a standard normal base; Adam with 1e-4, batches of 128 of 50,000 points with noise 0.05, no clipping,
float32.
"""
import argparse
import math
import os
import statistics
import time

POINTS, BATCH, NOISE = 50_000, 128, 0.05
COUPLINGS, HIDDEN, LR = 8, 256, 1e-4


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="time so many steps and print their median")
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--adam", choices=("foreach", "loop"), default="foreach", help="PyTorch's two forms of Adam")
    return parser.parse_args()


OPTIONS = options()
# Before libraries load. Threads that spin while they wait cost ten times as much where others want the cores too.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402


def moons(count, rng):
    """Points on two half circles, blurred; every second point is on the lower one."""
    angle = math.pi * rng.uniform(size=count)
    x, y = np.cos(angle), np.sin(angle)
    lower = np.arange(count) % 2 == 1
    points = np.stack([np.where(lower, 1 - x, x), np.where(lower, 0.5 - y, y)], 1)
    return torch.from_numpy(points + NOISE * rng.normal(size=(count, 2))).float()


def network():
    layers = [nn.Linear(2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2)]
    for layer in layers[::2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


class Moons(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_scales = nn.ModuleList([network() for _ in range(COUPLINGS)])
        self.shifts = nn.ModuleList([network() for _ in range(COUPLINGS)])
        self.register_buffer("masks", torch.tensor([[1.0, 0.0], [0.0, 1.0]]))

    def log_prob(self, z):
        log_det = z.new_zeros(len(z))
        for i, (log_scale, shift) in enumerate(zip(self.log_scales, self.shifts)):
            mask = self.masks[i % 2]
            seen = z * mask
            s = torch.tanh(log_scale(seen)) * (1 - mask)
            z = seen + (1 - mask) * (z * s.exp() + shift(seen))
            log_det = log_det + s.sum(1)
        return log_det - 0.5 * (z * z).sum(1) - math.log(2 * math.pi)


def trainer(flow):
    adam = torch.optim.Adam(flow.parameters(), lr=LR, foreach=OPTIONS.adam == "foreach")

    def step(batch):
        adam.zero_grad(set_to_none=True)
        loss = -flow.log_prob(batch).mean()
        loss.backward()
        adam.step()
        return loss.item()

    return step


def time_steps(flow, data):
    step, seconds = trainer(flow), []
    for i in range(OPTIONS.warmup + OPTIONS.steps):
        first = i % (POINTS // BATCH) * BATCH
        begin = time.perf_counter()
        step(data[first:first + BATCH])
        seconds.append(time.perf_counter() - begin)
    print(f"{1e3 * statistics.median(seconds[OPTIONS.warmup:]):.3f} ms per step, median of {OPTIONS.steps}")


def train(flow, data, test):
    step = trainer(flow)
    print("epoch  train NLL  test NLL  seconds per step")
    for epoch in range(1, OPTIONS.epochs + 1):
        order, losses, begin = torch.randperm(POINTS), [], time.perf_counter()
        for first in range(0, POINTS - BATCH + 1, BATCH):
            losses.append(step(data[order[first:first + BATCH]]))
        seconds = (time.perf_counter() - begin) / len(losses)
        with torch.no_grad():
            nll = -torch.cat([flow.log_prob(part) for part in test.split(1000)]).double().mean()
        print(f"{epoch:5}  {statistics.fmean(losses):9.4f}  {nll:8.4f}  {seconds:.5f}", flush=True)


def main():
    torch.manual_seed(OPTIONS.seed)
    torch.set_num_threads(OPTIONS.threads)
    rng = np.random.default_rng(OPTIONS.seed)
    flow, data, test = Moons(), moons(POINTS, rng), moons(POINTS, rng)
    if OPTIONS.steps > 0:
        time_steps(flow, data)
    else:
        train(flow, data, test)


main()
