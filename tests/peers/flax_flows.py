"""The three MNIST flows of the tutorial's JAX edition stated in Flax: what its checkpoints compute.

Modules carry the names that Flax gives the tutorial's: `flows_<i>/scaling_factor`, `flows_<i>/network/nn/layers_<k>`,
`flows_0/var_flows_<i>` for the couplings inside variational dequantization. It differs from torch_flows.py's edition
2024 in four places: maps are NHWC; layer norms have Flax's epsilon of 1e-6; a squeeze puts channel k of pixel (dy, dx)
of a square at (2 dy + dx) C + k; and the sigmoid of variational dequantization takes the logit's alpha back.

Nothing here draws noise by itself: callers pass the uniform noise `u`, so every number can be replayed elsewhere.
"""
import math
from typing import Any, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

SIDE = 28
DIMS = SIDE * SIDE
ALPHA = 1e-5
GREY_LEVELS = 256


def per_image(x):
    return x.reshape(x.shape[0], -1).sum(1)


def normal_log_density(z):
    return per_image(-0.5 * z * z - 0.5 * math.log(2 * math.pi))


def logit(v):
    p = v * (1 - ALPHA) + 0.5 * ALPHA
    log_p, log_q = jnp.log(p), jnp.log(1 - p)
    return log_p - log_q, per_image(math.log(1 - ALPHA) - log_p - log_q)


def sigmoid(v):
    """The inverse of `logit`."""
    change = per_image(-v - 2 * jax.nn.softplus(-v) - math.log(1 - ALPHA))
    return (jax.nn.sigmoid(v) - 0.5 * ALPHA) / (1 - ALPHA), change


def concat_elu(x):
    return jnp.concatenate([jax.nn.elu(x), jax.nn.elu(-x)], axis=-1)


class GatedBlock(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        hidden = nn.Conv(self.width, (3, 3))(concat_elu(x))
        value, gate = jnp.split(nn.Conv(2 * self.width, (1, 1))(concat_elu(hidden)), 2, axis=-1)
        return x + value * jax.nn.sigmoid(gate)


class Conditioner(nn.Module):
    width: int
    outputs: int

    def setup(self):
        blocks = [part for _ in range(3) for part in (GatedBlock(self.width), nn.LayerNorm())]
        self.nn = nn.Sequential([nn.Conv(self.width, (3, 3)), *blocks, concat_elu, nn.Conv(self.outputs, (3, 3))])

    def __call__(self, x):
        return self.nn(x)


class Coupling(nn.Module):
    network: nn.Module
    mask: Any
    channels: int

    def setup(self):
        self.scaling_factor = self.param("scaling_factor", nn.initializers.zeros, (self.channels,))

    def __call__(self, z, context=None):
        seen = z * self.mask
        if context is not None:
            seen = jnp.concatenate([seen, context], axis=-1)
        s, t = jnp.split(self.network(seen), 2, axis=-1)
        bound, free = jnp.exp(self.scaling_factor), 1 - self.mask
        s = jnp.tanh(s / bound) * bound * free
        return (z + t * free) * jnp.exp(s), per_image(s)


class Dequantization(nn.Module):
    var_flows: Sequence[nn.Module] = ()

    def __call__(self, image, u):
        logdet = jnp.zeros(image.shape[0], u.dtype)
        image = image.astype(u.dtype)
        if self.var_flows:
            context = image / 255 * 2 - 1
            u, logdet = logit(u)
            for flow in self.var_flows:
                u, change = flow(u, context)
                logdet = logdet + change
            u, change = sigmoid(u)
            logdet = logdet + change
        z, change = logit((image + u) / GREY_LEVELS)
        return z, logdet + change - DIMS * math.log(GREY_LEVELS)


class Squeeze(nn.Module):
    def __call__(self, z):
        n, h, w, c = z.shape
        z = z.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
        return z.reshape(n, h // 2, w // 2, 4 * c), 0.0


class Split(nn.Module):
    def __call__(self, z):
        kept, latent = jnp.split(z, 2, axis=-1)
        return kept, normal_log_density(latent)


class ImageFlow(nn.Module):
    flows: Sequence[nn.Module]

    def __call__(self, images, u):
        """Images (n, 28, 28, 1). Final z (NHWC), and log|det| plus the density of everything that was split off."""
        z, logdet = self.flows[0](images, u)
        for flow in self.flows[1:]:
            z, change = flow(z)
            logdet = logdet + change
        return z, logdet


def checkerboard(invert):
    i = np.arange(SIDE)
    odd = (i[:, None] + i[None, :]) % 2 == 1
    return (odd ^ invert).astype(np.float32).reshape(1, SIDE, SIDE, 1)


def first_half(channels, invert):
    return ((np.arange(channels) < channels // 2) ^ invert).astype(np.float32).reshape(1, 1, 1, channels)


def build(model):
    def couplings(count, width, channels, mask):
        return [Coupling(Conditioner(width, 2 * channels), mask(i % 2 == 1), channels) for i in range(count)]

    def pixels(count, width):
        return couplings(count, width, 1, checkerboard)

    def halves(count, channels, width):
        return couplings(count, width, channels, lambda invert: first_half(channels, invert))

    if model == "simple":
        return ImageFlow([Dequantization(), *pixels(8, 32)])
    if model == "vardeq":
        return ImageFlow([Dequantization(pixels(4, 16)), *pixels(8, 32)])
    return ImageFlow([Dequantization(pixels(4, 16)), *pixels(2, 32), Squeeze(), *halves(2, 4, 48), Split(), Squeeze(),
                      *halves(4, 8, 64)])


def flax_name(name):
    """Where the parameter stands that the tutorial's PyTorch edition calls `name`."""
    parts = name.split(".")
    place = []
    while parts:
        part = parts.pop(0)
        if part == "flows":
            place.append(("var_flows_" if place else "flows_") + parts.pop(0))
        elif part == "nn":
            place += ["nn", "layers_" + parts.pop(0)]
        elif part == "net":
            place.append({"1": "Conv_0", "3": "Conv_1"}[parts.pop(0)])
        else:
            place.append({"weight": "kernel", "gamma": "scale", "beta": "bias"}.get(part, part))
    return "/".join(place)


def to_flax(weights):
    """The tree of parameters from those of the PyTorch edition by name: OIHW becomes HWIO."""
    flat = {}
    for name, value in weights.items():
        is_norm = name.endswith((".gamma", ".beta"))
        flat[flax_name(name)] = value.reshape(-1) if is_norm else (
            value.transpose(2, 3, 1, 0) if value.ndim == 4 else value)
    return traverse_util.unflatten_dict(flat, sep="/")


def check_names(model, weights):
    """Raises unless the tree has the names and shapes that Flax itself gives the parameters of the model."""
    images = jnp.zeros((1, SIDE, SIDE, 1), jnp.uint8)
    own = build(model).init(jax.random.PRNGKey(0), images, jnp.full(images.shape, 0.5))["params"]
    shapes = [{k: np.shape(v) for k, v in traverse_util.flatten_dict(tree, sep="/").items()}
              for tree in (own, to_flax(weights))]
    assert shapes[0] == shapes[1], sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[:8]
