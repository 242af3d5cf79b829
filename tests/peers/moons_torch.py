#!/usr/bin/env python3
"""The model `moons` in plain PyTorch: a yardstick for how well and how fast it trains.

  moons_torch.py [--epochs 20] [--seed 0] [--threads 2]     test NLL in nats after each epoch
  moons_torch.py --steps 300 [--warmup 50]                  times training steps alone

The model is torch_papers.py's. Batches of 128 of 50,000 points with noise 0.05, float32, and by default the settings of
a constant learning rate without clipping; those of models/configs/moons.json are
--lr 0.006 --lr-decay 0.75 --clip-norm 0.5.
"""
import argparse
import math
import os
import statistics
import time

POINTS, BATCH, NOISE = 50_000, 128, 0.05


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--lr-decay", type=float, default=1.0, help="the learning rate's factor after each epoch")
    parser.add_argument("--clip-norm", type=float, help="default: no clipping")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="time so many steps and print their median")
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--adam", choices=("foreach", "loop"), default="foreach", help="PyTorch's two forms of Adam")
    return parser.parse_args()


OPTIONS = options()
# Before libraries load.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402

import torch_papers  # noqa: E402


def moons(count, rng):
    """Points on two half circles, blurred; every second point is on the lower one."""
    angle = math.pi * rng.uniform(size=count)
    x, y = np.cos(angle), np.sin(angle)
    lower = np.arange(count) % 2 == 1
    points = np.stack([np.where(lower, 1 - x, x), np.where(lower, 0.5 - y, y)], 1)
    return torch.from_numpy(points + NOISE * rng.normal(size=(count, 2))).float()


def trainer(flow):
    adam = torch.optim.Adam(flow.parameters(), lr=OPTIONS.lr, foreach=OPTIONS.adam == "foreach")

    def step(batch):
        adam.zero_grad(set_to_none=True)
        loss = -flow.log_prob(batch, None).mean()
        loss.backward()
        if OPTIONS.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(flow.parameters(), OPTIONS.clip_norm)
        adam.step()
        return loss.item()

    return step, torch.optim.lr_scheduler.ExponentialLR(adam, OPTIONS.lr_decay)


def time_steps(flow, data):
    (step, _), seconds = trainer(flow), []
    for i in range(OPTIONS.warmup + OPTIONS.steps):
        first = i % (POINTS // BATCH) * BATCH
        begin = time.perf_counter()
        step(data[first:first + BATCH])
        seconds.append(time.perf_counter() - begin)
    print(f"{1e3 * statistics.median(seconds[OPTIONS.warmup:]):.3f} ms per step, median of {OPTIONS.steps}")


def train(flow, data, test):
    step, schedule = trainer(flow)
    print("epoch  train NLL  test NLL  seconds per step")
    for epoch in range(1, OPTIONS.epochs + 1):
        order, losses, begin = torch.randperm(POINTS), [], time.perf_counter()
        for first in range(0, POINTS - BATCH + 1, BATCH):
            losses.append(step(data[order[first:first + BATCH]]))
        schedule.step()
        seconds = (time.perf_counter() - begin) / len(losses)
        with torch.no_grad():
            nll = -torch.cat([flow.log_prob(part, None) for part in test.split(1000)]).double().mean()
        print(f"{epoch:5}  {statistics.fmean(losses):9.4f}  {nll:8.4f}  {seconds:.5f}", flush=True)


def main():
    torch.manual_seed(OPTIONS.seed)
    torch.set_num_threads(OPTIONS.threads)
    rng = np.random.default_rng(OPTIONS.seed)
    flow, data, test = torch_papers.build("moons"), moons(POINTS, rng), moons(POINTS, rng)
    if OPTIONS.steps > 0:
        time_steps(flow, data)
    else:
        train(flow, data, test)


main()
