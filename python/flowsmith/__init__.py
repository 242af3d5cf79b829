"""Normalizing flows: exact likelihoods, latents and samples of 8-bit images or rows of numbers.

    >>> import flowsmith
    >>> flow = flowsmith.Flow.load("best.safetensors")
    >>> flow.log_prob(images)                 # uint8, N x 28 x 28; nats
    >>> flow.sample(16, seed=7)               # uint8, 16 x 28 x 28 x 1

Arrays are NumPy arrays, or anything that NumPy takes: tensors of PyTorch and JAX on the CPU, and what has __dlpack__.
Arrays of the right type and layout are not copied. Results can be handed on by DLPack (`torch.from_dlpack(array)`).

Errors are ValueError (an argument, a configuration, data), OSError (a file), MemoryError, KeyboardInterrupt within a
second of Ctrl-C, and flowsmith.Error for the rest. The GIL is released while a flow computes, and several threads may
use one flow at once; a Trainer is for one thread at a time.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence, Union

import numpy as np

# Threads that wait for work sleep, as in the program flowsmith: OpenMP reads this once, when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from . import _core  # noqa: E402
from ._core import Error  # noqa: E402

__all__ = ["Error", "Flow", "Step", "Trainer", "configs", "train"]
__version__ = _core.version().split()[0]

Config = Union[str, Mapping[str, Any]]

_PASS = 64  # examples in one call of the library: between two of them Ctrl-C is heard


def _array(x: Any) -> np.ndarray:
    """x as NumPy has it, without a copy where that is possible."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "detach"):  # a tensor of PyTorch that may want a gradient
        x = x.detach()
    if not hasattr(x, "__array__") and hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def _config_text(config: Config) -> str:
    return config if isinstance(config, str) else json.dumps(config)


def _images(x: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Images as the library takes them: uint8, N x H x W x C, contiguous."""
    array = _array(x)
    h, w, c = shape
    if array.dtype != np.uint8:
        if array.dtype.kind not in "bui":
            raise ValueError(f"images are uint8 of 0 to 255, not {array.dtype}: scale them and round, "
                             "as in (255 * x).round().astype('uint8')")
        if array.size and (array.min() < 0 or array.max() > 255):
            raise ValueError("images are numbers of 0 to 255")
        array = array.astype(np.uint8)
    rest = array.shape[1:]
    if array.ndim == 0 or rest not in {(h, w, c), (c, h, w), (h * w * c,), *([(h, w)] if c == 1 else [])}:
        raise ValueError(f"the flow takes images of N x {h} x {w}" + (f" x {c}" if c > 1 else "") +
                         f", not {' x '.join(map(str, array.shape)) or 'a number'}")
    if rest == (c, h, w) != (h, w, c):  # as PyTorch has them
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array)


def _rows(x: Any, dims: int, what: str = "rows") -> np.ndarray:
    """Numbers as the library takes them: float64, N x ..., contiguous."""
    array = _array(x)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{what} are real numbers, not {array.dtype}")
    if array.ndim < 2 or math.prod(array.shape[1:]) != dims:
        raise ValueError(f"the flow takes {what} of N x {dims}, not {' x '.join(map(str, array.shape)) or 'a number'}")
    return np.ascontiguousarray(array, dtype=np.float64)


def _in_passes(n: int, size: int, call: Callable[[int, int], Any]) -> list:
    """call(begin, end) for pieces of n examples, at least one."""
    return [call(begin, min(begin + size, n)) for begin in range(0, max(n, 1), size)]


class _Configs:
    """The named models: `list(flowsmith.configs)`, `flowsmith.configs["moons"]` as a dict to change and train."""

    def __iter__(self) -> Iterator[str]:
        return iter(_core.config_names())

    def __len__(self) -> int:
        return len(_core.config_names())

    def __contains__(self, name: object) -> bool:
        return name in _core.config_names()

    def __getitem__(self, name: str) -> dict:
        if name not in self:
            raise KeyError(f"{name!r} is none of {', '.join(self)}")
        return json.loads(_core.config_text(name))

    def complete(self, config: Config, *, shape: Sequence[int] | None = None) -> dict:
        """The configuration with every default filled in, for data of `shape` (H, W, C) or (D,) if that is given."""
        text = _core.config_text(_config_text(config))
        if shape is not None:
            text = _core.config_for(text, *_height_width_channels(shape))
        return json.loads(text)

    def __repr__(self) -> str:
        return f"<flowsmith.configs: {', '.join(self)}>"


configs = _Configs()


def _height_width_channels(shape: Sequence[int]) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in shape)
    if len(shape) == 1:
        return (1, 1, shape[0])
    if len(shape) == 2:
        return (*shape, 1)
    if len(shape) == 3:
        return shape
    raise ValueError(f"a shape is (H, W, C), (H, W) or (D,), not {shape}")


class Flow:
    """A normalizing flow. Make one by Flow.load, Flow.from_config or flowsmith.train.

    It behaves as a distribution: log_prob(x), sample(shape), event_shape.
    """

    def __init__(self, core: _core.Flow, context: tuple[str, int, str]) -> None:
        self._core = core
        self._context = context  # device, threads, precision

    @classmethod
    def load(cls, path: Any, *, device: str = "cpu", threads: int = 0, precision: str = "fp32") -> Flow:
        """Reads a weight file. OSError if it is missing, damaged or none of Flowsmith's."""
        return cls(_core.Flow.load(str(path), device, threads, precision), (device, threads, precision))

    @classmethod
    def from_config(cls, config: Config, *, seed: int = 42, device: str = "cpu", threads: int = 0,
                    precision: str = "fp32") -> Flow:
        """A new flow with random weights, of a named model, a dict or a JSON text."""
        return cls(_core.Flow.from_config(_config_text(config), seed, device, threads, precision),
                   (device, threads, precision))

    def __reduce__(self) -> tuple:
        """Pickled as configuration and weights."""
        return _unpickled, (self._core.config, self.state_dict(), self._context)

    # --- likelihoods ---

    def log_prob(self, x: Any, *, samples: int = 1, seed: int = 42, first: int = 0) -> np.ndarray:
        """log p(x) in nats of each example: float64, N.

        Of images it is an estimate by `samples` draws of the dequantization noise, on average a lower bound
        (`flowsmith score` takes 8). Seed and number of an example, counted from `first`, decide its noise.
        """
        if not self.takes_images:
            rows = _rows(x, self.dims)
            return np.concatenate(_in_passes(len(rows), 64 * _PASS, lambda a, b: self._core.log_prob_rows(rows[a:b])))
        return self._score(self._core.log_prob_images, x, samples, seed, first)

    def bits_per_dim(self, x: Any, *, samples: int = 1, seed: int = 42, first: int = 0) -> np.ndarray:
        """-log2 p(x) / dims of each image: float64, N. ValueError where the flow takes numbers."""
        if not self.takes_images:
            raise ValueError("this flow takes numbers, whose densities have no bits per dimension: log_prob scores them")
        return self._score(self._core.bits_per_dim, x, samples, seed, first)

    def _score(self, score: Callable, x: Any, samples: int, seed: int, first: int) -> np.ndarray:
        images = _images(x, self._core.shape)
        size = max(8, _PASS // max(samples, 1))
        return np.concatenate(
            _in_passes(len(images), size, lambda a, b: score(images[a:b], samples, seed, first + a)))

    # --- latents ---

    def encode(self, x: Any, *, seed: int = 42, first: int = 0) -> dict[str, np.ndarray]:
        """x to its latents, by name: float64, N x H x W x C each. decode() gives every pixel back."""
        if self.takes_images:
            images = _images(x, self._core.shape)
            parts = _in_passes(len(images), _PASS,
                               lambda a, b: dict(self._core.encode_images(images[a:b], seed, first + a)))
        else:
            rows = _rows(x, self.dims)
            parts = _in_passes(len(rows), 64 * _PASS, lambda a, b: dict(self._core.encode_rows(rows[a:b])))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def decode(self, latents: Mapping[str, Any]) -> np.ndarray:
        """Latents, as encode() gives them, to uint8 images, N x H x W x C, or to float64 rows, N x D."""
        arrays, n = [], None
        for name, (h, w, c) in self._core.latents:
            if name not in latents:
                raise ValueError(f"latent {name!r} is missing: the flow has {', '.join(n for n, _ in self._core.latents)}")
            array = _rows(latents[name], h * w * c, f"latents {name}")
            if n is not None and len(array) != n:
                raise ValueError(f"latent {name!r} has {len(array)} examples where others have {n}")
            n = len(array)
            arrays.append((name, array))
        strangers = set(latents) - {name for name, _ in arrays}
        if strangers:
            raise ValueError(f"the flow has no latent {sorted(strangers)[0]!r}")
        decode = self._core.decode_images if self.takes_images else self._core.decode_rows
        return np.concatenate(_in_passes(n, _PASS, lambda a, b: decode([(name, z[a:b]) for name, z in arrays])))

    def sample(self, n: int | Sequence[int] = 1, *, temperature: float | Sequence[float] = 1.0, seed: int = 42,
               first: int = 0) -> np.ndarray:
        """n examples, or an array of examples of a shape: uint8, n x H x W x C, or float64, n x D.

        `temperature` is a factor on the deviations of the base, one for all latents or one for each, in the order of
        `latents`. Sample k of a seed, counted from `first`, is the same in any number of them.
        """
        shape = (int(n),) if np.ndim(n) == 0 else tuple(int(k) for k in n)
        if any(k < 0 for k in shape):
            raise ValueError(f"a number of samples cannot be negative: {shape}")
        latents = self._core.latents
        temperatures = [float(t) for t in np.broadcast_to(temperature, len(latents))] if np.ndim(temperature) == 0 else [
            float(t) for t in temperature]
        sample = self._core.sample_images if self.takes_images else self._core.sample_rows
        parts = _in_passes(math.prod(shape), _PASS if self.takes_images else 64 * _PASS,
                           lambda a, b: sample(b - a, temperatures, seed, first + a))
        return np.concatenate(parts).reshape(shape + parts[0].shape[1:])

    def transform(self, x: Any, *, inverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The layers as a function: (z, log |det dz/dx|) of x, or with `inverse` (x, log |det dx/dz|) of z.

        Float64, N x D and N. Base and dequantization take no part; of images x is what their dequantization gives.
        Where layers split, z is the latents of an example one after the other.
        """
        rows = _rows(x, self.dims)
        size = _PASS if self.takes_images else 64 * _PASS
        parts = _in_passes(len(rows), size, lambda a, b: self._core.transform(rows[a:b], inverse))
        return np.concatenate([z for z, _ in parts]), np.concatenate([logdet for _, logdet in parts])

    # --- weights ---

    def save(self, path: Any) -> None:
        """Writes a weight file (safetensors): whole or not at all."""
        self._core.save(str(path))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of parameters (float32) and of states such as running statistics (float64), by PyTorch's names."""
        return {name: values.astype(np.float32) if learned else values for name, values, learned in self._core.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes the values of arrays with these names and shapes. ValueError, and the flow as it was, if one is missing,
        strange or not finite."""
        self._core.set_state([(name, np.require(_array(values), np.float64, "C")) for name, values in state.items()])

    # --- what it is ---

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def config(self) -> dict:
        """The whole configuration."""
        return json.loads(self._core.config)

    @property
    def takes_images(self) -> bool:
        """Whether examples are 8-bit images; rows of numbers otherwise."""
        return self._core.takes_images

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of one example: (H, W, C), or (D,)."""
        return self._core.shape if self.takes_images else (self.dims,)

    @property
    def dims(self) -> int:
        """Numbers in one example."""
        return self._core.dims

    @property
    def latents(self) -> dict[str, tuple[int, int, int]]:
        """The shapes (H, W, C) of the latents, by name."""
        return dict(self._core.latents)

    @property
    def parameter_count(self) -> int:
        return self._core.parameter_count

    def __repr__(self) -> str:
        return self._core.summary.rstrip()


def _unpickled(config: str, state: dict, context: tuple[str, int, str]) -> Flow:
    device, threads, precision = context
    flow = Flow.from_config(config, device=device, threads=threads, precision=precision)
    flow.load_state_dict(state)
    return flow


class Step(NamedTuple):
    """One step of training."""

    step: int  # steps done, this one included
    loss: float  # mean over the batch before the update: bits per dimension of images, nats of numbers
    gradient_norm: float  # before clipping


class Trainer:
    """Training step by step: iterate over it, or call step().

        >>> trainer = flowsmith.Trainer("moons", points, epochs=10)
        >>> for step in trainer:
        ...     print(step.loss)
        >>> trainer.flow.save("moons.safetensors")

    `data` are uint8 images, N x H x W (x C), or rows of numbers, N x D; the model takes their shape. What is not given is
    as the configuration says. The same options give the same weights, bit for bit, on one kind of processor.
    """

    def __init__(self, config: Config, data: Any, *, epochs: int | None = None, batch_size: int | None = None,
                 lr: float | None = None, lr_decay: float | None = None, clip_norm: float | None = None, seed: int = 42,
                 recompute: bool = False, device: str = "cpu", threads: int = 0, precision: str = "fp32") -> None:
        array = _array(data)
        text = _core.config_text(_config_text(config))
        images = array.dtype == np.uint8
        if images and array.ndim in (3, 4):
            shape = _height_width_channels(array.shape[1:])
            channels = _core.config_shape(text)[2]
            if array.ndim == 4 and shape[2] not in (1, 3) and shape[0] in (1, 3):  # as PyTorch has them
                shape = (shape[1], shape[2], shape[0])
            text = _core.config_for(text, *shape)
        elif array.ndim == 2 and not images:
            text = _core.config_for(text, 1, 1, array.shape[1])
        shape = _core.config_shape(text)
        self._data = _images(array, shape) if images else _rows(array, math.prod(shape))  # stays where it is
        self._core = _core.Trainer(text, self._data, epochs, batch_size, lr, lr_decay, clip_norm, seed, recompute, device,
                                   threads, precision)
        self._flow = Flow(self._core.flow, (device, threads, precision))

    def step(self) -> Step:
        """One batch. flowsmith.Error, and weights as they were, where loss or gradient is not finite."""
        return Step(self._core.steps_done + 1, *self._core.step())

    def __iter__(self) -> Iterator[Step]:
        while not self.done:
            yield self.step()

    @property
    def flow(self) -> Flow:
        """The flow as it is now; it follows the steps."""
        return self._flow

    @property
    def done(self) -> bool:
        return self._core.done

    @property
    def steps_done(self) -> int:
        return self._core.steps_done

    @property
    def total_steps(self) -> int:
        return self._core.total_steps

    @property
    def steps_per_epoch(self) -> int:
        return self._core.steps_per_epoch

    @property
    def learning_rate(self) -> float:
        return self._core.learning_rate

    def checkpoint(self, path: Any) -> None:
        """Writes all that resume() needs; the file is a weight file too."""
        self._core.checkpoint(str(path))

    def resume(self, path: Any) -> None:
        """Goes on from a checkpoint of the same configuration, data size and batch size."""
        self._core.resume(str(path))

    def __repr__(self) -> str:
        return f"<Trainer at step {self.steps_done} of {self.total_steps}, {self.flow.name}>"


def train(config: Config, data: Any, *, callback: Callable[[Step], Any] | None = None, **options: Any) -> Flow:
    """Trains to the end and returns the flow. Options are those of Trainer.

    `callback` sees each Step; training ends early when it returns False.
    """
    trainer = Trainer(config, data, **options)
    for step in trainer:
        if callback is not None and callback(step) is False:
            break
    return trainer.flow
