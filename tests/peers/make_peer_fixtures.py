#!/usr/bin/env python3
"""Layers of nflows, normflows and zuko with random parameters, as fixtures for tests/models/test_peers.cpp.

  make_peer_fixtures.py [--out tests/fixtures] [--only NAME]

Each case is one of their transforms, run in double, beside a configuration of ours that says the same, and their
parameters in our terms. How to install the libraries stands in README.md, what a fixture holds in
tests/fixtures/README.md.

Directions differ: nflows and zuko transform data into latents, as we do; normflows' forward makes data out of latents.
A bijection is a bijection, so single layers of normflows are run in whichever direction has our formula, and its whole
flows from data to latents.
"""
import argparse
import json
import math
import pathlib
import warnings

import nflows.flows
import nflows.nn.nets
import nflows.transforms
import normflows
import numpy as np
import torch
import zuko
from nflows.distributions.normal import DiagonalNormal, StandardNormal
from torch.nn import functional as F

from files import save_safetensors

EXAMPLES = 6
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


# --- random parameters ---

class Dice:
    """Numbers that are floats already: what a fixture stores is what the library was given."""

    def __init__(self, name):
        self.rng = np.random.default_rng(list(name.encode()))

    def uniform(self, shape, low=-0.7, high=0.7):
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def normal(self, shape, deviation=1.5):
        return torch.from_numpy(deviation * self.rng.normal(size=shape))

    def fill(self, module):
        """Every parameter of a module, which becomes double."""
        module.double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.from_numpy(self.uniform(tuple(parameter.shape)).astype(float)))
        for part in module.modules():  # normflows' actnorms would take their values from the first batch
            if hasattr(part, "data_dep_init_done"):
                part.data_dep_init_done = torch.tensor(1.0)
        return module


def array(tensor):
    """A copy: running statistics of theirs change in place."""
    return np.array(tensor.detach().double())


# --- their networks in our terms ---

def linears(module):
    return [part for part in module.modules() if type(part).__name__ == "Linear"]  # PyTorch's or zuko's


def dense(prefix, layers):
    """Our names for the layers of an MLP."""
    weights = {}
    for i, (weight, bias) in enumerate(layers):
        weights[f"{prefix}{i}.weight"], weights[f"{prefix}{i}.bias"] = weight, bias
    return weights


def layers_of(module, sign=1):
    """(weight, bias) of each layer; with sign = -1 the network's output is negated."""
    layers = [(array(layer.weight), array(layer.bias)) for layer in linears(module)]
    layers[-1] = (sign * layers[-1][0], sign * layers[-1][1])
    return layers


def widen(dice, layers, seen, outputs, rows):
    """Their network sees the elements `seen` alone and predicts the rows `rows` of ours alone. Ours sees zeros in place
    of the others and nobody reads its other rows, so what our weights are there must not matter: they are random."""
    (first, first_bias), *middle, (last, last_bias) = layers
    wide = dice.uniform((first.shape[0], outputs["dims"])).astype(float)
    wide[:, seen] = first
    tall, tall_bias = dice.uniform((outputs["rows"], last.shape[1])).astype(float), dice.uniform(outputs["rows"])
    tall_bias = tall_bias.astype(float)
    tall[rows], tall_bias[rows] = last, last_bias
    return [(wide, first_bias), *middle, (tall, tall_bias)]


def scale_and_bias(prefix, scale, shift, factor=1):
    """x * scale + shift as (x + bias) * exp(factor * log_scale)."""
    return {f"{prefix}log_scale": np.log(scale) / factor, f"{prefix}bias": shift / scale}


class WithoutContext(torch.nn.Module):
    """nflows hands every network a context; its MLP takes none."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs, context=None):
        return self.network(inputs)


def nflows_mlp(hidden, activation):
    def make(inputs, outputs):
        return WithoutContext(nflows.nn.nets.MLP([inputs], [outputs], hidden, activation=activation))
    return make


# --- configurations ---

def vector(dims, layers, base="standard_normal"):
    return {"data": {"type": "vector", "dims": dims}, "layers": layers, "base": base}


def image(height, width, channels, layers, base="standard_normal"):
    return {"data": {"type": "map", "height": height, "width": width, "channels": channels}, "layers": layers,
            "base": base}


def coupling(mask, transformer, hidden, activation="relu", networks="one"):
    return {"type": "coupling", "mask": mask, "transformer": transformer,
            "conditioner": {"type": "mlp", "hidden": hidden, "activation": activation, "networks": networks}}


# --- running them ---

def nchw(x):
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def nhwc(z):
    return z.permute(0, 2, 3, 1) if z.dim() == 4 else z


def per_example(logdet, n):
    return logdet.expand(n) if logdet.dim() == 0 else logdet


def standard_normal(z):
    return StandardNormal([z[0].numel()]).log_prob(z.flatten(1))


def run(dice, config, forward, inverse, log_density=standard_normal):
    """The tensors of a fixture: both directions on points of their own, log p(x) by the base."""
    data = config["data"]
    shape = (data["dims"],) if data["type"] == "vector" else (data["height"], data["width"], data["channels"])
    tensors = {}
    with torch.no_grad():
        x = dice.normal((EXAMPLES, *shape))
        z, logdet = forward(nchw(x))
        logdet = per_example(logdet, EXAMPLES)
        tensors.update({"x": x, "z": nhwc(z), "logdet": logdet, "log_prob": logdet + log_density(z)})
        if inverse is not None:
            start = dice.normal(tuple(z.shape))
            end, logdet = inverse(start)
            tensors.update({"inverse.z": nhwc(start), "inverse.x": nhwc(end),
                            "inverse.logdet": per_example(logdet, EXAMPLES)})
    return {name: np.ascontiguousarray(array(value).reshape(EXAMPLES, *value.shape[1:]))
            for name, value in tensors.items()}


# --- couplings ---

@case
def additive_nflows(dice):
    transformed = [1, 0, 1, 1, 0]
    seen, rows = [1, 4], [0, 2, 3]
    theirs = dice.fill(nflows.transforms.AdditiveCouplingTransform(transformed, nflows_mlp([7, 6], torch.tanh)))
    config = vector(5, [coupling([1 - t for t in transformed], "additive", [7, 6], "tanh")])
    layers = widen(dice, layers_of(theirs), seen, {"dims": 5, "rows": 5}, rows)
    return config, dense("flows.1.network.", layers), run(dice, config, theirs.forward, theirs.inverse)


@case
def affine_normflows(dice):
    """z exp(s) + t, a network for each."""
    mask = [1.0, 0.0, 0.0, 1.0]
    shift, log_scale = normflows.nets.MLP([4, 8, 7, 4]), normflows.nets.MLP([4, 8, 7, 4])
    theirs = dice.fill(normflows.flows.MaskedAffineFlow(torch.tensor(mask), shift, log_scale))
    config = vector(4, [coupling([1, 0, 0, 1], {"type": "affine", "bound": "none"}, [8, 7], networks="separate")])
    weights = {**dense("flows.1.network.0.", layers_of(log_scale)), **dense("flows.1.network.1.", layers_of(shift))}
    return config, weights, run(dice, config, theirs.forward, theirs.inverse)


@case
def affine_tanh_shift_first_normflows(dice):
    """Their inverse, (z - t) exp(-tanh(s)), is ours with both networks negated."""
    mask = [0.0, 1.0, 0.0, 1.0, 1.0]
    shift, log_scale = normflows.nets.MLP([5, 6, 5]), normflows.nets.MLP([5, 6, 5], output_fn="tanh")
    theirs = dice.fill(normflows.flows.MaskedAffineFlow(torch.tensor(mask), shift, log_scale))
    transformer = {"type": "affine", "bound": "tanh", "order": "shift_first"}
    config = vector(5, [coupling([0, 1, 0, 1, 1], transformer, [6], networks="separate")])
    weights = {**dense("flows.1.network.0.", layers_of(log_scale, -1)),
               **dense("flows.1.network.1.", layers_of(shift, -1))}
    return config, weights, run(dice, config, theirs.inverse, theirs.forward)


@case
def affine_sigmoid_normflows(dice):
    """z sigmoid(s + 2) + t: ours has 2 sigmoid(s + 2), so a diagonal layer halves what comes out of it."""
    network = normflows.nets.MLP([3, 9, 6], leaky=0.01)
    theirs = dice.fill(normflows.flows.AffineCouplingBlock(network, scale_map="sigmoid_inv"))
    transformer = {"type": "affine", "bound": "sigmoid", "sigmoid_shift": 2.0}
    config = vector(6, [coupling("channel", transformer, [9], "leaky_relu"), "diagonal"])
    (first, (last, bias)) = layers_of(network)
    last[0::2] *= 2  # the shift, which theirs has in turn with the log-scale
    bias[0::2] *= 2
    layers = widen(dice, [first, (last, bias)], [0, 1, 2], {"dims": 6, "rows": 12}, [9, 3, 10, 4, 11, 5])
    weights = dense("flows.1.network.", layers)
    weights["flows.2.log_scale"] = np.repeat([0, -math.log(2)], 3)
    return config, weights, run(dice, config, theirs.forward, theirs.inverse)


@case
def affine_learned_tanh_zuko(dice):
    """zuko's coupling around PyTorch's affine transform: its own bounds the log-scale by another formula."""
    network = dice.fill(zuko.nn.MLP(2, 6, hidden_features=[8], activation=torch.nn.ELU))
    factor = dice.uniform(5)  # log f of each element; theirs are elements 1, 2 and 4

    def transform(seen):
        raw, shift = network(seen).split(3, dim=-1)
        f = torch.from_numpy(factor[[1, 2, 4]].astype(float)).exp()
        affine = torch.distributions.AffineTransform(shift, (f * torch.tanh(raw / f)).exp())
        return torch.distributions.transforms.IndependentTransform(affine, 1)

    theirs = zuko.transforms.CouplingTransform(transform, torch.tensor([True, False, False, True, False]))
    transformer = {"type": "affine", "bound": "learned_tanh"}
    config = vector(5, [coupling([1, 0, 0, 1, 0], transformer, [8], "elu")])
    layers = widen(dice, layers_of(network), [0, 3], {"dims": 5, "rows": 10}, [1, 2, 4, 6, 7, 9])
    weights = {**dense("flows.1.network.", layers), "flows.1.scaling_factor": factor}

    def directed(transform):
        def apply(x):
            y = transform(x)
            return y, transform.log_abs_det_jacobian(x, y)
        return apply
    return config, weights, run(dice, config, directed(theirs), directed(theirs.inv))


# --- scales, matrices ---

@case
def actnorm_nflows(dice):
    theirs = dice.fill(nflows.transforms.ActNorm(5)).eval()
    config = vector(5, ["actnorm"])
    weights = scale_and_bias("flows.1.", array(theirs.scale), array(theirs.shift))
    return config, weights, run(dice, config, theirs.forward, theirs.inverse)


@case
def actnorm_normflows(dice):
    """Of the channels of a map, with Glow's factor 3 on our log-scale."""
    theirs = dice.fill(normflows.flows.ActNorm((3, 1, 1)))
    config = image(2, 3, 3, [{"type": "actnorm", "factor": 3}])
    weights = scale_and_bias("flows.1.", np.exp(array(theirs.s).ravel()), array(theirs.t).ravel(), factor=3)
    return config, weights, run(dice, config, theirs.forward, theirs.inverse)


def shuffled(conv, order):
    """Gives an LU-decomposed 1x1 convolution a permutation, P[order[i]][i] = 1, that is not its own inverse, and signs
    of both kinds: both are fixed when it is made."""
    size = len(order)
    conv.P.copy_(torch.from_numpy(np.eye(size)[np.argsort(order)]))
    conv.sign_S.copy_(torch.tensor([1.0, -1.0] * size)[:size])
    return conv


def plu(prefix, conv):
    """normflows' parameters of an LU-decomposed 1x1 convolution are ours; P is a matrix."""
    return {f"{prefix}lower": array(conv.L), f"{prefix}upper": array(conv.U), f"{prefix}log_scale": array(conv.log_S),
            f"{prefix}permutation": array(conv.P).argmax(axis=0).astype(float), f"{prefix}sign": array(conv.sign_S)}


@case
def conv1x1_plu_normflows(dice):
    theirs = shuffled(dice.fill(normflows.flows.Invertible1x1Conv(5, use_lu=True)), [2, 4, 1, 0, 3])
    config = image(2, 2, 5, [{"type": "invertible_conv", "form": "plu"}])
    return config, plu("flows.1.", theirs), run(dice, config, theirs.inverse, theirs.forward)


@case
def conv1x1_normflows(dice):
    theirs = dice.fill(normflows.flows.Invertible1x1Conv(4, use_lu=False))
    config = image(3, 2, 4, [{"type": "invertible_conv", "form": "plain"}])
    return config, {"flows.1.weight": array(theirs.W)}, run(dice, config, theirs.inverse, theirs.forward)


@case
def conv1x1_nflows(dice):
    """L U P x + bias; an actnorm adds the bias, which ours has not."""
    theirs = dice.fill(nflows.transforms.OneByOneConvolution(4))
    theirs.permutation._permutation.copy_(torch.tensor([2, 0, 3, 1]))
    config = image(2, 3, 4, [{"type": "invertible_conv", "form": "plain"}, "actnorm"])
    permutation = np.eye(4)[theirs.permutation._permutation.numpy()]
    weights = {"flows.1.weight": array(theirs.weight()) @ permutation, "flows.2.log_scale": np.zeros(4),
               "flows.2.bias": array(theirs.bias)}
    return config, weights, run(dice, config, theirs.forward, theirs.inverse)


def lu_nflows_weights(prefix, theirs):
    """L U without a permutation; the diagonal of U is softplus(...) + eps in theirs."""
    lower, upper = (array(factor) for factor in theirs._create_lower_upper())
    size = len(lower)
    return {f"{prefix}lower": lower, f"{prefix}upper": upper, f"{prefix}log_scale": np.log(np.diag(upper)),
            f"{prefix}permutation": np.arange(size, dtype=float), f"{prefix}sign": np.ones(size)}


@case
def lu_nflows(dice):
    """L U x + bias; an actnorm adds the bias."""
    theirs = dice.fill(nflows.transforms.LULinear(6))
    config = vector(6, ["invertible_conv", "actnorm"])
    weights = {**lu_nflows_weights("flows.1.", theirs), "flows.2.log_scale": np.zeros(6),
               "flows.2.bias": array(theirs.bias)}
    return config, weights, run(dice, config, theirs.forward, theirs.inverse)


@case
def lu_zuko(dice):
    """L U x, where L has the diagonal, of both signs, and U has ones."""
    matrix = dice.uniform((5, 5)).astype(float)
    matrix += np.diag(0.5 * np.sign(np.diag(matrix)))  # away from singular: floats are no match for a large condition
    theirs = zuko.transforms.LULinearTransform(torch.from_numpy(matrix))
    config = vector(5, ["invertible_conv"])
    diagonal = np.diag(matrix)
    weights = {"flows.1.lower": np.tril(matrix, -1) / diagonal, "flows.1.log_scale": np.log(np.abs(diagonal)),
               "flows.1.upper": np.triu(matrix, 1) * diagonal[:, None], "flows.1.sign": np.sign(diagonal),
               "flows.1.permutation": np.arange(5, dtype=float)}

    def forward(x):
        z = theirs(x)
        return z, theirs.log_abs_det_jacobian(x, z)

    def inverse(z):
        x = theirs.inv(z)
        return x, -theirs.log_abs_det_jacobian(x, z)
    return config, weights, run(dice, config, forward, inverse)


# --- batch norm ---

def batch_norm_of(dice, features):
    theirs = dice.fill(nflows.transforms.BatchNorm(features))
    theirs.running_mean.copy_(torch.from_numpy(dice.uniform(features)))
    theirs.running_var.copy_(torch.from_numpy(dice.uniform(features, 0.2, 3)))
    return theirs


def batch_norm_weights(prefix, theirs):
    return {f"{prefix}running_mean": array(theirs.running_mean), f"{prefix}running_var": array(theirs.running_var),
            **scale_and_bias(prefix, array(theirs.weight), array(theirs.bias))}


@case
def batch_norm_nflows(dice):
    theirs = batch_norm_of(dice, 5).eval()
    config = vector(5, [{"type": "batch_norm", "eps": theirs.eps}])
    return config, batch_norm_weights("flows.1.", theirs), run(dice, config, theirs.forward, theirs.inverse)


# Both libraries divide by the unbiased variance v m/(m-1) of a batch of m, we by its variance v:
#   v m/(m-1) + eps = (v + eps (m-1)/m) m/(m-1)
# so theirs is ours with a smaller eps, and a scale of sqrt((m-1)/m) behind it.
BESSEL = (EXAMPLES - 1) / EXAMPLES


@case
def batch_norm_training_nflows(dice):
    theirs = batch_norm_of(dice, 4).train()
    config = vector(4, [{"type": "batch_norm", "eps": theirs.eps * BESSEL, "momentum": theirs.momentum}])
    weights = batch_norm_weights("flows.1.", theirs)
    weights.update(scale_and_bias("flows.1.", array(theirs.weight) * math.sqrt(BESSEL), array(theirs.bias)))
    tensors = run(dice, config, theirs.forward, None)
    tensors.update({"after.running_mean": array(theirs.running_mean), "after.running_var": array(theirs.running_var)})
    return config, weights, tensors


@case
def batch_norm_training_normflows(dice):
    theirs = normflows.flows.BatchNorm(eps=1e-3).double()
    config = vector(3, [{"type": "batch_norm", "eps": 1e-3 * BESSEL}])
    weights = {"flows.1.running_mean": np.zeros(3), "flows.1.running_var": np.ones(3),
               **scale_and_bias("flows.1.", np.full(3, math.sqrt(BESSEL)), np.zeros(3))}
    return config, weights, run(dice, config, theirs.forward, None)


# --- bases ---

def nothing(z):
    return z, torch.zeros(len(z), dtype=z.dtype)


def diagonal_normal_weights(mean, log_scale):
    return {"base.bias": -mean.ravel(), "base.log_scale": -log_scale.ravel()}


@case
def diagonal_normal_normflows(dice):
    """Of a map, with parameters for each element; our latents are (z - mean) / deviation."""
    theirs = dice.fill(normflows.distributions.DiagGaussian((2, 3, 2)))
    config = image(3, 2, 2, [], "diagonal_normal")
    mean, log_scale = (nhwc(value) for value in (theirs.loc, theirs.log_scale))
    tensors = run(dice, config, nothing, nothing, theirs.log_prob)
    return config, diagonal_normal_weights(array(mean), array(log_scale)), tensors


@case
def diagonal_normal_nflows(dice):
    theirs = dice.fill(DiagonalNormal([5]))
    config = vector(5, [], "diagonal_normal")
    return (config, diagonal_normal_weights(array(theirs.mean_), array(theirs.log_std_)),
            run(dice, config, nothing, nothing, theirs.log_prob))


def mixture_weights(theirs):
    return {"base.weight_logits": array(theirs.weight_scores)[0], "base.mean": array(theirs.loc)[0],
            "base.log_scale": array(theirs.log_scale)[0]}


@case
def mixture_normflows(dice):
    theirs = dice.fill(normflows.distributions.GaussianMixture(4, 3))
    config = vector(3, [], {"type": "mixture", "components": 4})
    return config, mixture_weights(theirs), run(dice, config, nothing, nothing, theirs.log_prob)


@case
def mixture_zuko(dice):
    theirs = dice.fill(zuko.mixtures.GMM(4, components=3, covariance_type="diagonal", epsilon=0.0))
    config = vector(4, [], {"type": "mixture", "components": 3})
    logits, mean, log_scale = (array(value) for value in theirs.phi)
    weights = {"base.weight_logits": logits, "base.mean": mean, "base.log_scale": log_scale}
    return config, weights, run(dice, config, nothing, nothing, lambda z: theirs().log_prob(z))


# --- whole flows ---

def glow_block(dice, channels, hidden):
    """normflows' step of Glow, and a function that gives its parameters as those of our layers `at` ... `at + 3`."""
    theirs = dice.fill(normflows.flows.GlowBlock(channels, hidden, init_zeros=False, net_actnorm=True))
    block, conv, actnorm = theirs.flows
    shuffled(conv, [2, 0, 3, 1])
    first, first_norm, _, middle, middle_norm, _, last = block.flows[1].param_map.net
    with torch.no_grad():  # scales of 1e-3 would be undone with a thousand times the rounding of the network
        last.weight.mul_(0.2)
    half = channels // 2

    def weights(at):
        found = plu(f"flows.{at + 1}.", conv)
        # From data to latents an actnorm of theirs is (x - t) exp(-s).
        found[f"flows.{at}.bias"] = -array(actnorm.t).ravel()
        found[f"flows.{at}.log_scale"] = -array(actnorm.s).ravel()
        network = f"flows.{at + 2}.network."
        for name, layer, norm in (("first", first, first_norm), ("middle", middle, middle_norm)):
            scale, shift = np.exp(array(norm.actNorm.s).ravel()), array(norm.actNorm.t).ravel()
            found.update(scale_and_bias(f"{network}{name}.", scale, shift))
            found[f"{network}{name}.weight"] = array(layer.weight)
        wide = dice.uniform((hidden, channels, 3, 3)).astype(float)  # zeros are what it meets in the other channels
        wide[:, :half] = array(first.weight)
        found[f"{network}first.weight"] = wide
        # Ours is [log-scales, shifts] of all channels, theirs a shift and a log-scale in turn. The shift is subtracted
        # in theirs. A factor exp(3 log_scale) that theirs has not is taken out of the weights.
        tall, bias = dice.uniform((2 * channels, hidden, 3, 3)).astype(float), dice.uniform(2 * channels).astype(float)
        log_scale = dice.uniform(2 * channels, -0.2, 0.2).astype(float)
        for k in range(half):
            for row, place, sign in ((half + k, 2 * k + 1, 1), (channels + half + k, 2 * k, -1)):
                factor = sign * math.exp(-3 * log_scale[row])
                tall[row] = factor * array(last.weight)[place]
                bias[row] = factor * array(last.bias)[place]
        found.update({f"{network}last.weight": tall, f"{network}last.bias": bias,
                      f"{network}last.log_scale": log_scale})
        # (z - t) sigmoid(s + 2), of which our coupling makes twice as much: a second actnorm halves it.
        found[f"flows.{at + 3}.log_scale"] = np.repeat([0, -math.log(2)], half)
        found[f"flows.{at + 3}.bias"] = np.zeros(channels)
        return found
    return theirs, weights


def glow_step(hidden):
    return ["actnorm", {"type": "invertible_conv", "form": "plu"},
            {"type": "coupling", "mask": "channel",
             "transformer": {"type": "affine", "bound": "sigmoid", "order": "shift_first", "sigmoid_shift": 2.0},
             "conditioner": {"type": "glow_cnn", "hidden": hidden}},
            "actnorm"]


@case
def glow_step_normflows(dice):
    theirs, weights = glow_block(dice, 4, 5)
    config = image(3, 2, 4, glow_step(5))
    return config, weights(1), run(dice, config, theirs.inverse, theirs.forward)


@case
def glow_normflows(dice):
    """A squeeze, two steps and a diagonal normal."""
    (second, second_weights), (first, first_weights) = glow_block(dice, 4, 4), glow_block(dice, 4, 3)
    base = dice.fill(normflows.distributions.DiagGaussian((4, 2, 2)))
    theirs = normflows.NormalizingFlow(base, [second, first, normflows.flows.Squeeze()])
    config = image(4, 4, 1, ["squeeze", *glow_step(3), *glow_step(4)], "diagonal_normal")
    weights = {**first_weights(2), **second_weights(6),
               **diagonal_normal_weights(array(nhwc(base.loc)), array(nhwc(base.log_scale)))}
    tensors = run(dice, config, theirs.inverse_and_log_det, theirs.forward_and_log_det, base.log_prob)
    with torch.no_grad():
        tensors["log_prob"] = array(theirs.log_prob(nchw(torch.from_numpy(tensors["x"]))))
    return config, weights, tensors


@case
def realnvp_normflows(dice):
    """Six couplings with masks in turn, an actnorm and a mixture."""
    flows, weights, layers = [], {}, []
    for i in range(6):
        mask = torch.tensor([1.0, 0.0] if i % 2 == 0 else [0.0, 1.0])
        shift, log_scale = normflows.nets.MLP([2, 8, 8, 2]), normflows.nets.MLP([2, 8, 8, 2], output_fn="tanh")
        flows.append(dice.fill(normflows.flows.MaskedAffineFlow(mask, shift, log_scale)))
        weights.update({**dense(f"flows.{i + 1}.network.0.", layers_of(log_scale, -1)),
                        **dense(f"flows.{i + 1}.network.1.", layers_of(shift, -1))})
    transformer = {"type": "affine", "bound": "tanh", "order": "shift_first"}
    layers = [{**coupling([1, 0], transformer, [8, 8], networks="separate"), "repeat": 6, "alternate": True}, "actnorm"]
    actnorm = dice.fill(normflows.flows.ActNorm((2,)))
    weights.update({"flows.7.bias": -array(actnorm.t)[0], "flows.7.log_scale": -array(actnorm.s)[0]})
    base = dice.fill(normflows.distributions.GaussianMixture(3, 2))
    weights.update(mixture_weights(base))
    theirs = normflows.NormalizingFlow(base, [actnorm, *flows[::-1]])
    config = vector(2, layers, {"type": "mixture", "components": 3})
    tensors = run(dice, config, theirs.inverse_and_log_det, theirs.forward_and_log_det, base.log_prob)
    with torch.no_grad():
        tensors["log_prob"] = array(theirs.log_prob(torch.from_numpy(tensors["x"])))
    return config, weights, tensors


@case
def stack_nflows(dice):
    """Batch norm, a permutation, a matrix, actnorm and two additive couplings in front of a diagonal normal."""
    transforms = nflows.transforms
    batch_norm, matrix = batch_norm_of(dice, 6).eval(), dice.fill(transforms.LULinear(6))
    actnorm = dice.fill(transforms.ActNorm(6)).eval()
    masks = [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]  # 1: transformed
    couplings = [dice.fill(transforms.AdditiveCouplingTransform(mask, nflows_mlp([9], F.relu))) for mask in masks]
    base = dice.fill(DiagonalNormal([6]))
    reverse = transforms.ReversePermutation(6)
    composed = transforms.CompositeTransform([batch_norm, reverse, matrix, actnorm, *couplings])
    theirs = nflows.flows.Flow(composed, base)
    config = vector(6, [{"type": "batch_norm", "eps": batch_norm.eps}, "permutation", "invertible_conv", "actnorm",
                        coupling(list(masks[1]), "additive", [9]), coupling(list(masks[0]), "additive", [9])],
                    "diagonal_normal")
    weights = {**batch_norm_weights("flows.1.", batch_norm), **lu_nflows_weights("flows.3.", matrix),
               **diagonal_normal_weights(array(base.mean_), array(base.log_std_))}
    # The matrix adds a bias: one shift with that of the actnorm.
    weights.update(scale_and_bias("flows.4.", array(actnorm.scale), array(actnorm.shift)))
    weights["flows.4.bias"] += array(matrix.bias)
    for i, (theirs_coupling, mask) in enumerate(zip(couplings, masks)):
        seen, rows = ([k for k in range(6) if mask[k] == side] for side in (0, 1))
        layers = widen(dice, layers_of(theirs_coupling), seen, {"dims": 6, "rows": 6}, rows)
        weights.update(dense(f"flows.{5 + i}.network.", layers))
    tensors = run(dice, config, composed.forward, composed.inverse, base.log_prob)
    with torch.no_grad():
        tensors["log_prob"] = array(theirs.log_prob(torch.from_numpy(tensors["x"])))
    return config, weights, tensors


STATES = ("permutation", "sign", "running_mean", "running_var")  # F64 in our files, parameters are F32


def typed(name, values):
    states = name.rsplit(".", 1)[-1] in STATES
    return np.asarray(values, np.float64 if states else np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "fixtures")
    parser.add_argument("--only", choices=sorted(CASES))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*is deprecated")  # what the libraries call
    for name, make in CASES.items():
        if options.only not in (None, name):
            continue
        config, weights, tensors = make(Dice(name))
        stored = {key: typed(key, value) for key, value in weights.items()}
        path = options.out / f"peer_{name}.safetensors"
        metadata = {"config": json.dumps(config), "data_initialized": "yes",
                    "statistics": "batch" if "training" in name else "running"}
        save_safetensors(path, {**tensors, **stored}, metadata)
        print(f"{path.name}: {path.stat().st_size} bytes, log p {tensors['log_prob'].mean():.2f}, "
              f"logdet {np.abs(tensors['logdet']).mean():.2f}")


if __name__ == "__main__":
    main()
