#!/usr/bin/env python3
"""Times the flows in PyTorch on this machine.

  bench_torch.py --model multiscale --edition 2024 --batch 128 --threads 2 --repeats 10 \
                 --what train_step,score,sample --json out.json
  bench_torch.py --device cuda --compile   on a GPU, through torch.compile with CUDA graphs
  bench_torch.py --serve --threads 2       one JSON request a line in, one JSON result a line out

train_step  noise, log-likelihood, backward, clip to the model's norm, Adam  (--batch images)
score       log-likelihood of given images and fresh noise, no gradient      (--score-batch images)
sample      images from the prior                                            (--sample-batch images)

Images come from the host's memory, and scores and samples go back to it. Every measurement follows unmeasured calls.
Calls shorter than 20 ms are repeated until they fill that time, and only then a GPU is waited for.

`--layout channels_last` asks PyTorch for NHWC convolutions, which are the faster ones on many CPUs. `--tf32` lets a GPU
round the factors of products to TF32; without it they are float32. `--compile` runs the model through torch.compile in
mode reduce-overhead; where that fails, a message says why and the model runs as it is.

A request is {"model", "edition", "layout", "what", "batch", "repeats"}, and if wanted "compile" and "tf32"; a result
says in "compiled" whether compilation worked. What cannot be done is answered by {"error"}.
"""
import argparse
import json
import math
import statistics
import sys
import time

import torch

import files
import torch_flows
import torch_papers

MODELS = (*torch_flows.MODELS, *torch_papers.MODELS)

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
SHORTEST = 0.02     # seconds that a measurement fills
WARM_UP_CALLS = 4   # of a compiled model: compilation, a run, the capture of its graph, a replay
MOST_GRAPHS = 100   # compiled forms of one function: models, precisions, with and without gradients


def allow_many_graphs():
    """Beyond its limit torch.compile would quietly not compile."""
    for name in ("recompile_limit", "cache_size_limit"):  # of newer and of older versions
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, MOST_GRAPHS)


def reason_of(error):
    """Its message in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def graph_breaks():
    """Places so far where torch.compile gave up and left the work to Python."""
    return sum(torch._dynamo.utils.counters["graph_break"].values())


class Work:
    """One model, its optimizer, and the three kinds of work on it, compiled or not."""

    def __init__(self, name, edition, layout, device, compiled):
        torch.manual_seed(0)
        self.device, self.compiled = device, compiled
        paper = name in torch_papers.MODELS
        flow = torch_papers.build(name) if paper else torch_flows.build(name, edition)
        self.flow = flow.to(device, memory_format=LAYOUTS[layout])
        self.clip_norm = torch_papers.CLIP_NORMS[name] if paper else 1.0
        fused = {"fused": True} if device == "cuda" else {}
        self.adam = torch.optim.Adam(self.flow.parameters(), lr=1e-3, **fused)
        self.log_prob, self.decode = self.flow.log_prob, self.decode_all
        self.split_shapes = self.shapes_of_splits()
        if compiled:
            options = {"mode": "reduce-overhead", "dynamic": False}
            self.log_prob = torch.compile(self.log_prob, **options)
            self.decode = torch.compile(self.decode, **options)
            allow_many_graphs()

    @torch.no_grad()
    def shapes_of_splits(self):
        """Per image, in the order of decoding."""
        shapes = []

        def latent(shape):
            shapes.append(tuple(shape[1:]))
            return torch.zeros(shape, device=self.device)

        self.flow.decode(torch.zeros(1, *self.flow.latent_shape, device=self.device), latent)
        return shapes

    def decode_all(self, z, split_off):
        remaining = list(split_off)
        return self.flow.decode(z, lambda shape: remaining.pop(0))

    def begin_step(self):
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()

    def noisy(self, images):
        """The images on the device, and noise for them."""
        images = images.to(self.device, non_blocking=True)
        return images, torch.rand(images.shape, device=self.device)

    def train_step(self, images):
        self.begin_step()
        self.adam.zero_grad(set_to_none=True)
        loss = torch_flows.bits_per_dim(self.log_prob(*self.noisy(images))).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.flow.parameters(), self.clip_norm)
        self.adam.step()

    @torch.no_grad()
    def score(self, images):
        self.begin_step()
        return self.log_prob(*self.noisy(images)).cpu()

    @torch.no_grad()
    def sample(self, images):
        self.begin_step()
        latents = [torch.randn(len(images), *shape, device=self.device)
                   for shape in (self.flow.latent_shape, *self.split_shapes)]
        return self.decode(latents[0], latents[1:]).cpu()


class Bench:
    """Keeps the models it was asked for, so that repeated requests pay for building and compiling them once."""

    def __init__(self, device):
        self.device = device
        self.images = torch.from_numpy(files.mnist_images("train")[:4096].copy()).unsqueeze(1)
        self.points = 2 * torch.rand(4096, 2) - 1
        self.kept, self.warm, self.failed = {}, set(), set()
        if device == "cuda":
            torch.backends.cudnn.benchmark = True

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def set_precision(self, tf32):
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32

    def work(self, *key):
        if key not in self.kept:
            name, edition, layout, compiled, _ = key
            self.kept[key] = Work(name, edition, layout, self.device, compiled)
        return self.kept[key]

    def batch(self, model, size):
        data = self.points if model == "moons" else self.images
        images = data[torch.randperm(len(data))[:size]]
        return images.pin_memory() if self.device == "cuda" else images

    def time(self, call, images, calls):
        """Seconds of one of `calls` calls."""
        self.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            call(images)
        self.synchronize()
        return (time.perf_counter() - start) / calls

    def measure_one(self, model, edition, layout, what, batch, repeats, compiled, tf32):
        """Seconds of a call, once per repeat."""
        key = model, edition, layout, compiled, tf32
        work = self.work(*key)
        work.flow.train(what == "train_step")
        call, images = getattr(work, what), self.batch(model, batch)
        if compiled and (key, what, batch) not in self.warm:
            before = graph_breaks()
            for _ in range(WARM_UP_CALLS):
                call(images)
            if graph_breaks() > before:
                print(f"torch.compile cut {what}/{model} into several graphs", file=sys.stderr)
        self.warm.add((key, what, batch))
        call(images)
        calls = max(1, min(1000, math.ceil(SHORTEST / self.time(call, images, 1))))
        return [self.time(call, self.batch(model, batch), calls) for _ in range(repeats)]

    def measure(self, model, edition, layout, what, batch, repeats, compile=False, tf32=False):
        self.set_precision(tf32)
        request = [model, edition, layout, what, batch, repeats]
        compiled = compile and (model, what, tf32) not in self.failed
        try:
            seconds = self.measure_one(*request, compiled, tf32)
        except Exception as error:
            if not compiled:
                raise
            self.failed.add((model, what, tf32))
            print(f"torch.compile does not work for {what}/{model}: {reason_of(error)}; measured without it",
                  file=sys.stderr, flush=True)
            compiled = False
            seconds = self.measure_one(*request, compiled, tf32)
        return {"name": f"{what}/{model}", "model": model, "edition": edition, "layout": layout,
                "torch": torch.__version__, "device": self.device, "compiled": compiled, "tf32": tf32,
                "batch": batch, "threads": torch.get_num_threads(),
                "median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds)}

    def answer(self, request):
        try:
            return self.measure(**request)
        except Exception as error:
            return {"error": reason_of(error)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="multiscale", choices=MODELS)
    parser.add_argument("--edition", default="2024", choices=torch_flows.EDITIONS)
    parser.add_argument("--what", default="train_step,score,sample")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--score-batch", type=int, default=64)
    parser.add_argument("--sample-batch", type=int, default=64)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--layout", default="contiguous", choices=LAYOUTS)
    parser.add_argument("--json", help="file for the results")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no GPU here")
    torch.set_num_threads(options.threads)
    bench = Bench(options.device)
    if options.serve:
        for line in sys.stdin:
            print(json.dumps(bench.answer(json.loads(line))), flush=True)
        return
    batches = {"train_step": options.batch, "score": options.score_batch, "sample": options.sample_batch}
    results = []
    for what in options.what.split(","):
        result = bench.measure(options.model, options.edition, options.layout, what, batches[what], options.repeats,
                               options.compile, options.tf32)
        results.append(result)
        print(f"{result['name']:24} batch {result['batch']:4}  median {result['median_s'] * 1e3:8.2f} ms  "
              f"min {result['min_s'] * 1e3:8.2f}  max {result['max_s'] * 1e3:8.2f}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
