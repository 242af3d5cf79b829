"""The three MNIST flows stated in PyTorch: yardstick of the C++ engine and source of its fixtures.

Modules carry the names of the public tutorial's checkpoints, so that weights travel in both directions:
`flows.<i>.scaling_factor`, `flows.<i>.network.nn.<k>...`, and `flows.0.flows.<i>...` for the coupling
layers inside variational dequantization. Two editions of the tutorial differ in the conditioner:

  2024  a gated block opens with an ELU-concat; layer norm keeps `gamma`, `beta` of shape (1, C, 1, 1)
  2022  a gated block opens with its convolution; layer norm keeps `layer_norm.weight`, `.bias` of shape (C)

Nothing here draws noise by itself: callers pass the uniform noise `u` and the latents, so every number
can be replayed elsewhere. Maps are NCHW; log-likelihoods are in nats, one per image.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

MODELS = ("simple", "vardeq", "multiscale")
EDITIONS = ("2024", "2022")
PARAMETER_COUNTS = {
    ("simple", "2024"): 556_312, ("vardeq", "2024"): 628_388, ("multiscale", "2024"): 1_711_818,
    ("simple", "2022"): 335_128, ("vardeq", "2022"): 379_556, ("multiscale", "2022"): 1_062_090,
}
SIDE = 28             # MNIST images are 28 x 28
DIMS = SIDE * SIDE
ALPHA = 1e-5          # keeps the logit away from 0 and 1
GREY_LEVELS = 256


def per_image(x):
    """Sum over everything but the batch."""
    return x.flatten(1).sum(1)


def normal_log_density(z):
    return per_image(-0.5 * z * z - 0.5 * math.log(2 * math.pi))


def logit(v):
    """z = log(p / (1 - p)) with p = alpha/2 + (1 - alpha) v; also log|dz/dv| summed per image."""
    p = v * (1 - ALPHA) + 0.5 * ALPHA
    log_p, log_q = torch.log(p), torch.log(1 - p)
    return log_p - log_q, per_image(math.log(1 - ALPHA) - log_p - log_q)


def sigmoid(v):
    """u = sigmoid(v) and log|du/dv| per image. Not the inverse of `logit`: alpha is not undone."""
    return torch.sigmoid(v), per_image(-v - 2 * F.softplus(-v))


# ---------------------------------------------------------------------------------------- conditioner


class ConcatElu(nn.Module):
    def forward(self, x):
        return torch.cat((F.elu(x), F.elu(-x)), dim=1)


class ChannelNorm2024(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        return centred / torch.sqrt(variance + 1e-5) * self.gamma + self.beta


class ChannelNorm2022(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, x):
        return self.layer_norm(x.movedim(1, -1)).movedim(-1, 1)


class GatedBlock(nn.Module):
    """x + value * sigmoid(gate), both from a 3x3 and a 1x1 convolution."""

    def __init__(self, width, edition):
        super().__init__()
        if edition == "2024":
            body = [ConcatElu(), nn.Conv2d(2 * width, width, 3, padding=1)]
        else:
            body = [nn.Conv2d(width, width, 3, padding=1)]
        self.net = nn.Sequential(*body, ConcatElu(), nn.Conv2d(2 * width, 2 * width, 1))

    def forward(self, x):
        value, gate = self.net(x).chunk(2, dim=1)
        return x + value * torch.sigmoid(gate)


class Conditioner(nn.Module):
    """Input convolution, three normalised gated blocks, output convolution that starts at zero."""

    def __init__(self, channels_in, channels_out, width, edition):
        super().__init__()
        norm = ChannelNorm2024 if edition == "2024" else ChannelNorm2022
        blocks = [part for _ in range(3) for part in (GatedBlock(width, edition), norm(width))]
        last = nn.Conv2d(2 * width, channels_out, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.nn = nn.Sequential(nn.Conv2d(channels_in, width, 3, padding=1), *blocks, ConcatElu(), last)

    def forward(self, x):
        return self.nn(x)


# ---------------------------------------------------------------------------------------- bijectors


def checkerboard(invert):
    i = torch.arange(SIDE)
    odd = (i.view(-1, 1) + i.view(1, -1)) % 2 == 1
    return (odd ^ invert).float().view(1, 1, SIDE, SIDE)


def first_half(channels, invert):
    front = torch.arange(channels) < channels // 2
    return (front ^ invert).float().view(1, channels, 1, 1)


class Coupling(nn.Module):
    """z' = (z + t) exp(s) where mask = 0; s = f tanh(s_raw / f), f = exp(scaling_factor)."""

    def __init__(self, mask, channels, width, edition, context=0):
        super().__init__()
        self.scaling_factor = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mask", mask)
        self.network = Conditioner(channels + context, 2 * channels, width, edition)

    def scale_and_shift(self, z, context):
        seen = z * self.mask
        if context is not None:
            seen = torch.cat((seen, context), dim=1)
        s, t = self.network(seen).chunk(2, dim=1)
        bound = self.scaling_factor.exp().view(1, -1, 1, 1)
        free = 1 - self.mask
        return torch.tanh(s / bound) * bound * free, t * free

    def encode(self, z, context=None):
        s, t = self.scale_and_shift(z, context)
        return (z + t) * torch.exp(s), per_image(s)

    def decode(self, z, context=None):
        s, t = self.scale_and_shift(z, context)
        return z * torch.exp(-s) - t


class Dequantization(nn.Module):
    """z = logit((image + u') / 256); u' = u, or the end of a learned flow that starts at u."""

    def __init__(self, noise_flow=()):
        super().__init__()
        if noise_flow:
            self.flows = nn.ModuleList(noise_flow)

    def encode(self, image, u):
        logdet = torch.zeros(len(u), dtype=u.dtype, device=u.device)
        image = image.to(u.dtype)
        if hasattr(self, "flows"):
            context = image / 255 * 2 - 1
            u, logdet = logit(u)
            for flow in self.flows:
                u, change = flow.encode(u, context)
                logdet = logdet + change
            u, change = sigmoid(u)
            logdet = logdet + change
        z, change = logit((image + u) / GREY_LEVELS)
        return z, logdet + change - DIMS * math.log(GREY_LEVELS)

    def decode(self, z):
        return torch.floor(torch.sigmoid(z) * GREY_LEVELS).clamp(0, GREY_LEVELS - 1).to(torch.uint8)


class Squeeze(nn.Module):
    """Each 2x2 square of pixels becomes four channels: channel 4k + 2dy + dx."""

    def encode(self, z):
        return F.pixel_unshuffle(z, 2), 0.0

    def decode(self, z):
        return F.pixel_shuffle(z, 2)


class Split(nn.Module):
    """The second half of the channels leaves the flow and is scored under the prior."""

    def encode(self, z):
        kept, latent = z.chunk(2, dim=1)
        return kept, normal_log_density(latent)

    def decode(self, z, latent):
        return torch.cat((z, latent), dim=1)


# ---------------------------------------------------------------------------------------- models


class ImageFlow(nn.Module):
    def __init__(self, flows, latent_shape):
        super().__init__()
        self.flows = nn.ModuleList(flows)
        self.latent_shape = latent_shape

    def encode(self, images, u):
        """Final z, and log|det| plus the density of everything that was split off."""
        z, logdet = self.flows[0].encode(images, u)
        for flow in list(self.flows)[1:]:
            z, change = flow.encode(z)
            logdet = logdet + change
        return z, logdet

    def log_prob(self, images, u):
        z, logdet = self.encode(images, u)
        return logdet + normal_log_density(z)

    def decode(self, z, split_latents):
        """Images from the final z and, in the order of decoding, a function that gives the split latents."""
        for flow in reversed(list(self.flows)):
            z = flow.decode(z, split_latents(z.shape)) if isinstance(flow, Split) else flow.decode(z)
        return z

    def sample(self, count):
        device = next(self.parameters()).device
        return self.decode(torch.randn(count, *self.latent_shape, device=device),
                           lambda shape: torch.randn(shape, device=device))


def bits_per_dim(log_prob):
    return -log_prob / (DIMS * math.log(2))


def build(model, edition):
    """One of the tutorial's flows with PyTorch's default initialisation; raises KeyError for other names."""
    expected = PARAMETER_COUNTS[model, edition]

    def pixel_couplings(count, width, context=0):
        return [Coupling(checkerboard(i % 2 == 1), 1, width, edition, context) for i in range(count)]

    def channel_couplings(count, channels, width):
        return [Coupling(first_half(channels, i % 2 == 1), channels, width, edition) for i in range(count)]

    if model == "simple":
        flows = [Dequantization(), *pixel_couplings(8, 32)]
    elif model == "vardeq":
        flows = [Dequantization(pixel_couplings(4, 16, context=1)), *pixel_couplings(8, 32)]
    else:
        flows = [
            Dequantization(pixel_couplings(4, 16, context=1)),
            *pixel_couplings(2, 32), Squeeze(),
            *channel_couplings(2, 4, 48), Split(), Squeeze(),
            *channel_couplings(4, 8, 64),
        ]
    flow = ImageFlow(flows, (8, 7, 7) if model == "multiscale" else (1, SIDE, SIDE))
    count = sum(p.numel() for p in flow.parameters())
    assert count == expected, f"{model} {edition} has {count} parameters, the tutorial has {expected}"
    return flow
