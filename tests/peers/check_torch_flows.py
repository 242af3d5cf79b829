#!/usr/bin/env python3
"""Checks torch_flows.py: parameter counts, round trip, and (with --checkpoint) the tutorial's own weights.

  python3 tests/peers/check_torch_flows.py --checkpoint MNISTFlow_simple.ckpt
"""
import argparse
import math

import torch

import files
import torch_flows


def check_round_trip(model, edition):
    """encode, then decode with the latents that were split off, in double: the images must come back."""
    flow = torch_flows.build(model, edition).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
        z, split_off = flow.flows[0].encode(images, torch.rand(3, 1, 28, 28, dtype=torch.float64))[0], []
        for layer in flow.flows[1:]:
            if isinstance(layer, torch_flows.Split):
                split_off.append(z.chunk(2, dim=1)[1])
            z = layer.encode(z)[0]
        back = flow.decode(z, lambda shape: split_off.pop())
    # The tutorial's decode leaves alpha in place, which moves a value by up to 256 * alpha / 2 = 0.00128 grey
    # levels: at most a few pixels of 2352 fall over an edge.
    wrong = int((back != images).sum())
    assert wrong <= 30 and int((back.int() - images.int()).abs().max()) <= 1, f"{model} {edition}: {wrong} wrong"
    print(f"{model} {edition}: parameters ok, round trip ok ({wrong} of {images.numel()} pixels off by one level)")


def score(flow, images, samples):
    rows = []
    with torch.no_grad():
        for _ in range(samples):
            rows.append(torch.cat([flow.log_prob(part, torch.rand(part.shape)) for part in images.split(64)]))
    log_prob = torch.logsumexp(torch.stack(rows), 0) - math.log(samples)
    return torch_flows.bits_per_dim(log_prob).mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="the tutorial's MNISTFlow_simple.ckpt")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    for model, edition in torch_flows.PARAMETER_COUNTS:
        check_round_trip(model, edition)
    if options.checkpoint:
        flow = torch_flows.build("simple", "2024")
        flow.load_state_dict(torch.load(options.checkpoint, map_location="cpu")["state_dict"], strict=True)
        images = torch.from_numpy(files.mnist_images("t10k")[:256].copy()).unsqueeze(1)
        one, four = score(flow, images, 1), score(flow, images, 4)
        print(f"tutorial weights, 256 test images: {one:.4f} bits/dim, {four:.4f} with 4 importance samples")
        assert abs(one - 1.0495) < 2e-3 and abs(four - 1.0389) < 2e-3


if __name__ == "__main__":
    main()
