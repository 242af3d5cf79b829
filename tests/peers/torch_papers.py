"""The papers' flows (models/configs: moons, nice, realnvp, glow) stated in PyTorch, with the names of our weight files.

As in torch_flows.py nothing draws noise by itself, maps are NCHW and log-likelihoods are in nats. A layer's encode()
gives z and log|det|, one number per example or one for all.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

from torch_flows import DIMS, GREY_LEVELS, SIDE, ImageFlow, Split, Squeeze, checkerboard, first_half, normal_log_density, \
    per_image

MODELS = ("moons", "nice", "realnvp", "glow")
PARAMETER_COUNTS = {"moons": 1_073_184, "nice": 22_295_920, "realnvp": 1_696_235, "glow": 476_224}
CLIP_NORMS = {"moons": 0.5, "nice": 100.0, "realnvp": 100.0, "glow": 100.0}
ALPHAS = {"nice": 1e-5, "realnvp": 0.05, "glow": 1e-5}


class Uniform(nn.Module):
    """z = logit(alpha/2 + (1 - alpha) (image + u) / 256), as an image or as one row of its pixels."""

    def __init__(self, alpha, as_row=False):
        super().__init__()
        self.alpha, self.as_row = alpha, as_row

    def encode(self, image, u):
        p = (image.to(u.dtype) + u) / GREY_LEVELS * (1 - self.alpha) + 0.5 * self.alpha
        log_p, log_q = torch.log(p), torch.log1p(-p)
        z = log_p - log_q
        logdet = per_image(math.log(1 - self.alpha) - log_p - log_q) - DIMS * math.log(GREY_LEVELS)
        return z.flatten(1) if self.as_row else z, logdet

    def decode(self, z):
        v = (torch.sigmoid(z) - 0.5 * self.alpha) / (1 - self.alpha)
        return torch.floor(v * GREY_LEVELS).clamp(0, GREY_LEVELS - 1).to(torch.uint8).view(-1, 1, SIDE, SIDE)


class Points(nn.Module):
    """In place of dequantization, for numbers."""

    def encode(self, x, u):
        return x, torch.zeros(len(x), dtype=x.dtype, device=x.device)

    def decode(self, z):
        return z


# ---------------------------------------------------------------------------------------- networks


def mlp(widths):
    """Linear layers with relu between them; only they have numbers."""
    return nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))


def run_mlp(layers, x):
    for layer in layers[:-1]:
        x = F.relu(layer(x))
    return layers[-1](x)


class WeightNormConv(nn.Module):
    def __init__(self, c_in, c_out, kernel, g=1.0):
        super().__init__()
        bound = 1 / math.sqrt(c_in * kernel * kernel)
        self.weight_v = nn.Parameter(torch.empty(c_out, c_in, kernel, kernel).uniform_(-bound, bound))
        self.weight_g = nn.Parameter(torch.full((c_out, 1, 1, 1), g))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.padding = kernel // 2

    def forward(self, x):
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class ResidualBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1, self.conv2 = WeightNormConv(width, width, 3), WeightNormConv(width, width, 3)

    def forward(self, x):
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class Resnet(nn.Module):
    def __init__(self, channels, width, blocks=2):
        super().__init__()
        self.first = WeightNormConv(channels, width, 3)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.norm = nn.BatchNorm2d(width)
        self.last = WeightNormConv(width, 2 * channels, 1, 0.0)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(F.relu(self.norm(x)))


class ScaledConv(nn.Module):
    """conv(x) exp(factor log_scale), by scaling the weight: that is the quicker way here too."""

    def __init__(self, c_in, c_out, kernel, factor, zero):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(c_out, c_in, kernel, kernel) if zero else
                                   0.05 * torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.log_scale = nn.Parameter(torch.zeros(c_out))
        self.factor, self.padding = factor, kernel // 2

    def forward(self, x):
        scale = torch.exp(self.factor * self.log_scale)
        return F.conv2d(x, self.weight * scale.view(-1, 1, 1, 1), self.bias * scale, padding=self.padding)


class GlowNet(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.first = ScaledConv(channels, width, 3, 1, False)
        self.middle = ScaledConv(width, width, 1, 1, False)
        self.last = ScaledConv(width, 2 * channels, 3, 3, True)

    def forward(self, x):
        return self.last(F.relu(self.middle(F.relu(self.first(x)))))


class GlowPriorNet(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = ScaledConv(channels, 2 * channels, 3, 3, True)

    def forward(self, x):
        return self.conv(x)


# ---------------------------------------------------------------------------------------- layers


class Affine(nn.Module):
    """Where mask = 0 z exp(s) + t, or (z + t) exp(s) with shift_first. bound: None, "tanh" or "learned_tanh"."""

    def __init__(self, mask, channels, network, bound, shift_first=False):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        if bound == "learned_tanh":
            self.scaling_factor = nn.Parameter(torch.zeros(channels))
        self.network, self.bound, self.shift_first = network, bound, shift_first

    def raw(self, seen):
        return self.network(seen).chunk(2, dim=1)

    def scale_and_shift(self, z):
        s, t = self.raw(z * self.mask)
        if self.bound == "tanh":
            s = torch.tanh(s)
        elif self.bound == "learned_tanh":
            factor = self.scaling_factor.exp().view(1, -1, 1, 1)
            s = factor * torch.tanh(s / factor)
        free = 1 - self.mask
        return s * free, t * free

    def encode(self, z):
        s, t = self.scale_and_shift(z)
        return ((z + t) * torch.exp(s) if self.shift_first else z * torch.exp(s) + t), per_image(s)

    def decode(self, z):
        s, t = self.scale_and_shift(z)
        return z * torch.exp(-s) - t if self.shift_first else (z - t) * torch.exp(-s)


class AffineMlp(Affine):
    """On vectors, with one network for the log-scale and one for the shift, and a tanh on the log-scale."""

    def __init__(self, mask, dims, hidden):
        super().__init__(mask, dims, nn.ModuleList(mlp([dims, *hidden, dims]) for _ in range(2)), "tanh")
        for layer in (layer for network in self.network for layer in network):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def raw(self, seen):
        return [run_mlp(network, seen) for network in self.network]


class Additive(nn.Module):
    def __init__(self, mask, dims, hidden):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.network = mlp([dims, *hidden, dims])
        nn.init.zeros_(self.network[-1].weight)
        nn.init.zeros_(self.network[-1].bias)

    def shift(self, z):
        return (1 - self.mask) * run_mlp(self.network, z * self.mask)

    def encode(self, z):
        return z + self.shift(z), 0.0

    def decode(self, z):
        return z - self.shift(z)


class ChannelAffine(nn.Module):
    """(z + bias) exp(log_scale): actnorm; without pixels, one channel for each element, a diagonal."""

    def __init__(self, shape, with_bias=True):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape[0]))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if with_bias else None
        self.view = (1, -1, *(1 for _ in shape[1:]))
        self.pixels = math.prod(shape[1:])

    def shift(self):
        return 0.0 if self.bias is None else self.bias.view(self.view)

    def encode(self, z):
        return (z + self.shift()) * torch.exp(self.log_scale).view(self.view), self.pixels * self.log_scale.sum()

    def decode(self, z):
        return z * torch.exp(-self.log_scale).view(self.view) - self.shift()


class FlowBatchNorm(ChannelAffine):
    """Batch norm as a layer of a flow: by the batch's statistics in training, by running ones otherwise."""

    def __init__(self, channels, side, eps=1e-5, momentum=0.1):
        super().__init__((channels, side, side))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps, self.momentum = eps, momentum

    def encode(self, z):
        var = z.var((0, 2, 3), unbiased=False) if self.training else self.running_var
        x = F.batch_norm(z, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps)
        z, logdet = super().encode(x)
        return z, logdet - 0.5 * self.pixels * torch.log(var + self.eps).sum()

    def decode(self, z):
        x = super().decode(z)
        return x * torch.sqrt(self.running_var + self.eps).view(self.view) + self.running_mean.view(self.view)


class InvertibleConv(nn.Module):
    """W = P L (U + diag(sign exp(log_scale))) on the channels of each pixel."""

    def __init__(self, channels, pixels):
        super().__init__()
        p, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels))[0])
        diagonal = upper.diagonal()
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(diagonal.abs().log())
        self.register_buffer("permutation", p.argmax(1).double())
        self.register_buffer("sign", diagonal.sign())
        self.register_buffer("eye", torch.eye(channels), persistent=False)
        self.pixels = pixels

    def weight(self):
        upper = self.upper.triu(1) + torch.diag(self.sign * torch.exp(self.log_scale))
        product = (self.lower.tril(-1) + self.eye) @ upper
        return torch.zeros_like(product).index_copy(0, self.permutation.long(), product)

    def encode(self, z):
        return F.conv2d(z, self.weight()[:, :, None, None]), self.pixels * self.log_scale.sum()

    def decode(self, z):
        return F.conv2d(z, torch.inverse(self.weight())[:, :, None, None])


class LearnedSplit(Split):
    """Glow's: a line in front of the split brings the half that leaves to N(0, 1)."""

    def __init__(self, channels):
        super().__init__()
        self.prior = Affine(first_half(channels, False), channels, GlowPriorNet(channels), None, shift_first=True)

    def encode(self, z):
        z, logdet = self.prior.encode(z)
        kept, density = super().encode(z)
        return kept, logdet + density

    def decode(self, z, latent):
        return self.prior.decode(super().decode(z, latent))


class PaperFlow(ImageFlow):
    """With a base behind the layers, if it is no standard normal."""

    def __init__(self, flows, latent_shape, base=None):
        super().__init__(flows, latent_shape)
        if base is not None:
            self.base = base

    def log_prob(self, images, u):
        z, logdet = self.encode(images, u)
        if hasattr(self, "base"):
            z, change = self.base.encode(z.movedim(1, -1).flatten(1))
            logdet = logdet + change
        return logdet + normal_log_density(z)

    def decode(self, z, split_latents):
        if hasattr(self, "base"):
            channels, side, _ = self.latent_shape
            z = self.base.decode(z.movedim(1, -1).flatten(1)).view(-1, side, side, channels).movedim(-1, 1).contiguous()
        return super().decode(z, split_latents)


# ---------------------------------------------------------------------------------------- models


def moons():
    masks = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    return PaperFlow([Points(), *(AffineMlp(masks[i % 2], 2, [256, 256]) for i in range(8))], (2,))


def nice():
    odd = (torch.arange(DIMS) % 2 == 1).float().view(1, -1)
    couplings = [Additive(odd if i % 2 == 0 else 1 - odd, DIMS, [1000] * 5) for i in range(4)]
    return PaperFlow([Uniform(ALPHAS["nice"], as_row=True), *couplings, ChannelAffine((DIMS,), with_bias=False)],
                     (DIMS,))


def realnvp():
    def couplings(count, channels, width, side, channel_masks):
        layers = []
        for i in range(count):
            inverted = i % 2 == 1
            if channel_masks:
                mask = first_half(channels, inverted)
            else:
                mask = checkerboard(inverted)[:, :, :side, :side]
            layers += [Affine(mask, channels, Resnet(channels, width), "learned_tanh"), FlowBatchNorm(channels, side)]
        return layers

    return PaperFlow([Uniform(ALPHAS["realnvp"]),
                      *couplings(3, 1, 32, 28, False), Squeeze(), *couplings(3, 4, 48, 14, True), Split(),
                      *couplings(3, 2, 48, 14, False), Squeeze(), *couplings(3, 8, 64, 7, True), Split(),
                      *couplings(4, 4, 64, 7, False)], (4, 7, 7))


def glow(steps=16, width=64):
    def level(channels, side):
        return [layer for _ in range(steps) for layer in
                (ChannelAffine((channels, side, side)), InvertibleConv(channels, side * side),
                 Affine(first_half(channels, False), channels, GlowNet(channels, width), "learned_tanh", True))]

    return PaperFlow([Uniform(ALPHAS["glow"]), Squeeze(), *level(4, 14), LearnedSplit(4), Squeeze(), *level(8, 7)],
                     (8, 7, 7), ChannelAffine((392,)))


def build(model):
    """Raises KeyError for other names."""
    expected = PARAMETER_COUNTS[model]
    flow = {"moons": moons, "nice": nice, "realnvp": realnvp, "glow": glow}[model]()
    count = sum(p.numel() for p in flow.parameters())
    assert count == expected, f"{model} has {count} parameters, ours has {expected}"
    return flow
