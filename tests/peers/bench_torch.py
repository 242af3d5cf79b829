#!/usr/bin/env python3
"""Times the flows in PyTorch on this machine.

  bench_torch.py --model multiscale --edition 2024 --batch 128 --threads 2 --repeats 10 \
                 --what train_step,score,sample --json out.json
  bench_torch.py --serve --threads 2       one JSON request a line in, one JSON result a line out

train_step  noise, log-likelihood, backward, clip to norm 1, Adam          (--batch images)
score       log-likelihood of given images and fresh noise, no gradient    (--score-batch images)
sample      images from the prior                                          (--sample-batch images)

Every measurement follows one unmeasured call. `--layout channels_last` asks PyTorch for NHWC convolutions, which
are the faster ones on many CPUs. A request is {"model", "edition", "layout", "what", "batch", "repeats"}.
"""
import argparse
import json
import statistics
import sys
import time

import torch

import files
import torch_flows


LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Bench:
    """Keeps the models it was asked for, so that repeated requests pay for building them once."""

    def __init__(self):
        self.images = torch.from_numpy(files.mnist_images("train")[:4096].copy()).unsqueeze(1)
        self.kept = {}

    def model(self, *key):
        if key not in self.kept:
            name, edition, layout = key
            torch.manual_seed(0)
            flow = torch_flows.build(name, edition).to(memory_format=LAYOUTS[layout])
            self.kept[key] = flow, torch.optim.Adam(flow.parameters(), lr=1e-3)
        return self.kept[key]

    def train_step(self, flow, adam, images):
        loss = torch_flows.bits_per_dim(flow.log_prob(images, torch.rand(images.shape))).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        adam.step()

    @torch.no_grad()
    def score(self, flow, adam, images):
        flow.log_prob(images, torch.rand(images.shape))

    @torch.no_grad()
    def sample(self, flow, adam, images):
        flow.sample(len(images))

    def measure(self, model, edition, layout, what, batch, repeats):
        flow, adam = self.model(model, edition, layout)
        work, seconds = getattr(self, what), []
        for _ in range(repeats + 1):
            images = self.images[torch.randperm(len(self.images))[:batch]]
            start = time.perf_counter()
            work(flow, adam, images)
            seconds.append(time.perf_counter() - start)
        measured = seconds[1:]
        return {"name": f"{what}/{model}", "model": model, "edition": edition, "layout": layout,
                "batch": batch, "threads": torch.get_num_threads(),
                "median_s": statistics.median(measured), "min_s": min(measured), "max_s": max(measured)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="multiscale", choices=torch_flows.MODELS)
    parser.add_argument("--edition", default="2024", choices=torch_flows.EDITIONS)
    parser.add_argument("--what", default="train_step,score,sample")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--score-batch", type=int, default=64)
    parser.add_argument("--sample-batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--layout", default="contiguous", choices=LAYOUTS)
    parser.add_argument("--json", help="file for the results")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench = Bench()
    if options.serve:
        for line in sys.stdin:
            print(json.dumps(bench.measure(**json.loads(line))), flush=True)
        return
    batches = {"train_step": options.batch, "score": options.score_batch, "sample": options.sample_batch}
    results = []
    for what in options.what.split(","):
        result = bench.measure(options.model, options.edition, options.layout, what, batches[what], options.repeats)
        results.append(result)
        print(f"{result['name']:24} batch {result['batch']:4}  median {result['median_s'] * 1e3:8.1f} ms  "
              f"min {result['min_s'] * 1e3:8.1f}  max {result['max_s'] * 1e3:8.1f}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
