"""How the named models launch the products among the GPU kernels at a batch of 128, and the floor of each; for
gpu_figures.py, beside gpu_pointwise.py.

Threads, dynamic shared memory and grids come from the formulas of the launchers, repeated here with the name of their
file; constants are read from there. Shapes are those of models/configs/ and models/conditioners/. Bytes are what the
comment that opens each .cu file counts: every input read once, every output written once.
"""
import pathlib
import re
import sys
from dataclasses import dataclass

CUDA = pathlib.Path(__file__).resolve().parent.parent / "kernels" / "cuda"
BATCH = 128
PRECISIONS = ["fp32", "tf32", "bf16"]  # NetPrecision 0, 1, 2
# Of an H100 SXM by its data sheet, tensor cores dense.
BANDWIDTH, PEAK, PEAK_DOUBLE, MULTIPROCESSORS = 3.35e12, [67e12, 494.7e12, 989.4e12], 34e12, 132


def constant(file, name):
    """The value of `constexpr ... NAME = VALUE` in a file of kernels/cuda."""
    found = re.search(rf"\b{name} = (\d+)[,;]", (CUDA / file).read_text())
    return int(found[1]) if found else sys.exit(f"gpu_figures: no constant {name} in {file}: correct gpu_launches.py")


STEP_WORDS = constant("warp_tile.h", "kStepWords")
TILE_PIXELS = constant("weight_gradient.cu", "kTilePixels")
WANTED_BLOCKS = constant("weight_gradient.cu", "kWantedBlocks")


def up(value, step):
    return -(-value // step) * step


@dataclass
class Launch:
    kernel: str  # {p}: the precision, {m}: Columns::kM
    where: str
    times: int  # in a training step
    threads: list  # by precision
    shared: list  # dynamic, by precision
    blocks: int
    bytes: float
    flops: float
    m: tuple = (0, 0, 0)  # by precision

    def name(self, p):
        return self.kernel.format(p=p, m=self.m[p])

    def floor(self, p):
        return max(self.bytes / BANDWIDTH, self.flops / PEAK[p])


class Columns:  # conv_weights.h, and BlockLayout in conv_tile.h
    def __init__(self, tiles, warps, halves, tensor_m):
        self.name = f"Columns<{tiles}, {warps}, {halves}, {{m}}>"
        self.m = (2, tensor_m, tensor_m)
        self.threads = [256 // m for m in self.m]
        self.all = halves * 8 * tiles * warps
        self.half = Columns(tiles, warps, 1, tensor_m) if halves == 2 else self
        self.pixels = 128 // warps


def columns_for(channels, halves, narrow=2):  # with_columns in conv_tile.h, with_block_columns in gated_block_rows.h
    for limit, tiles, warps, m in ((8, 1, 1, narrow), (16, 2, 1, narrow), (32, 4, 1, narrow), (48, 3, 2, 2)):
        if channels <= limit and (halves == 1 or limit > 8):
            return Columns(tiles, warps, halves, m)
    return Columns(4, 2, halves, 1)


def per_word(p):
    return 2 if PRECISIONS[p] == "bf16" else 1


def window_rows(kernel, width, tile):  # ConvWindow::all_rows in conv_window.h
    radius = kernel // 2
    return up(tile + 2 * radius * (min(width, tile + 2 * radius) + 1), 8) + 8


def stage_channels(p, columns, transposed):  # WeightStage::kStageChannels in conv_weights.h
    return 64 if columns.m[p] == 1 and not transposed else 32


def stages(p, columns, transposed):  # WeightStage::kBothBytes in conv_weights.h
    words = stage_channels(p, columns, transposed) // per_word(p)
    return 8 * (columns.all * (words + 4) if transposed else words * (up(columns.all + 8, 16) - 8))


def conv_shared(p, kernel, channels, halves, width, columns, transposed):  # conv_input in conv_tile.h
    chunk, stage_bytes = 2 * stage_channels(p, columns, transposed) // halves, stages(p, columns, transposed)
    while True:
        padded = up(min(chunk, channels), STEP_WORDS * per_word(p))
        size = 4 * window_rows(kernel, width, columns.pixels) * (halves * padded // per_word(p) + 4) + stage_bytes
        if size <= 96 * 1024 or chunk <= 8:
            return size
        chunk //= 2


def own_shared(p, columns):  # OwnTile in gated_block_rows.h
    return 4 * columns.pixels * (columns.all // per_word(p) + 4)


def gradient_stride(p, channels):  # row_stride in weight_gradient.cu
    if per_word(p) == 2:
        return channels // 2 + (0 if channels // 2 % 8 == 4 else 4)
    return channels + (0 if channels % 16 == 8 else 8)


@dataclass
class Conv:
    """A convolution in a training step. A dense layer is one of 1x1 on maps of one pixel."""
    size: int  # of the map, on each side
    c_x: int  # channels of x; with two halves the products see their ELU-concat, twice as many
    c_out: int
    kernel: int = 3
    halves: int = 1

    def forward(self, times):  # conv_forward.cu
        columns = columns_for(self.c_out, 1)
        return self.conv("forward", times, columns, self.c_out, self.c_x, self.halves, False, self.c_x + self.c_out)

    def backward(self, times, accumulate=False):  # conv_backward_data.cu
        columns = columns_for(self.c_x, self.halves)
        return self.conv("backward_data", times, columns, self.c_x, self.c_out, 1, True,
                         self.c_out + (self.halves + accumulate) * self.c_x)

    def conv(self, name, times, columns, made, summed, halves, transposed, moved):
        """The product that makes so many channels out of `summed` ones, or twice as many with two halves."""
        shared = [conv_shared(p, self.kernel, summed, halves, self.size, columns, transposed) for p in range(3)]
        return Launch(f"conv_{name}_kernel<{{p}}, {columns.name}>", self.where(), times, columns.threads, shared,
                      -(-self.pixels() // columns.pixels) * -(-made // columns.half.all),
                      4 * (self.pixels() * moved + self.weights()), 2 * self.pixels() * self.weights(), columns.m)

    def gradient(self, times):  # weight_gradient.cu
        scale, channels, m = (1, 32, 3) if self.kernel == 3 else (2, 64, 1)
        tiles = -(-self.c_out // (8 * scale))
        n = -(-tiles // -(-tiles // 4)) * scale
        beside = -(-self.c_x // (channels // self.halves)) * -(-self.c_out // (8 * n))
        groups = min(-(-self.pixels() // TILE_PIXELS), max(1, WANTED_BLOCKS // beside))
        shared = [4 * (window_rows(self.kernel, self.size, TILE_PIXELS) * gradient_stride(p, channels) +
                       TILE_PIXELS * gradient_stride(p, 8 * n)) for p in range(3)]
        return Launch(f"weight_gradient_kernel<{{p}}, {self.kernel}, {n}>", self.where(), times,
                      3 * [32 * self.kernel ** 2 * channels // 16 // m], shared, groups * beside,
                      4 * (self.pixels() * (self.c_x + self.c_out) + groups * self.weights()),
                      2 * self.pixels() * self.weights())

    def all(self, times, input_gradients=None):
        """`input_gradients`: how many have one for their input, where not all have."""
        data = times if input_gradients is None else input_gradients
        return [self.forward(times), self.backward(data), self.gradient(times)]

    def weights(self):
        return self.kernel ** 2 * self.halves * self.c_x * self.c_out

    def pixels(self):
        return BATCH * self.size ** 2

    def where(self):
        channels = f"{'2*' * (self.halves - 1)}{self.c_x} to {self.c_out}"
        if self.size == 1:
            return channels
        return f"{self.size}x{self.size}, {channels}{', 1x1' if self.kernel == 1 else ''}"


def gated(size, c, times, forward):  # gated_block_forward.cu, gated_block_backward.cu
    columns, pixels = columns_for(c, 2, narrow=2 if forward else 1), BATCH * size ** 2
    w3, w1 = (18 * c * c if forward else 0), 4 * c * c
    shared = [own_shared(p, columns) + stages(p, columns, not forward) for p in range(3)]
    if forward:
        first = [conv_shared(p, 3, c, 2, size, columns.half, False) for p in range(3)]
        shared = [max(both) for both in zip(shared, first)]
    return Launch(f"gated_block_{'forward' if forward else 'backward'}_kernel<{{p}}, {columns.name}>",
                  f"{size}x{size}, {c}", times, columns.threads, shared, -(-pixels // columns.pixels),
                  4 * (pixels * c * (5 if forward else 9) + w3 + w1), 2 * pixels * (w3 + w1), columns.m)


def gated_resnets(n, size, c_in, c, c_out, input_gradients):
    """Conditioners of n couplings: 3x3 convolution, three gated blocks, ELU-concat and 3x3 convolution."""
    first, last = Conv(size, c_in, c), Conv(size, c, c_out, halves=2)
    conv3, conv1 = Conv(size, c, c, halves=2), Conv(size, c, 2 * c, kernel=1, halves=2)
    return [first.forward(n), gated(size, c, 3 * n, True), last.forward(n), last.backward(n), last.gradient(n),
            gated(size, c, 3 * n, False), conv3.backward(3 * n, True), conv1.gradient(3 * n), conv3.gradient(3 * n),
            first.backward(input_gradients), first.gradient(n)]


def resnets(n, size, c_in, c, input_gradients=None):
    """3x3 convolution, two blocks of two, 1x1 convolution."""
    return [*Conv(size, c_in, c).all(n, input_gradients), *Conv(size, c, c).all(4 * n),
            *Conv(size, c, 2 * c_in, kernel=1).all(n)]


def glow_nets(n, size, c_in, c):
    return [*Conv(size, c_in, c).all(n), *Conv(size, c, c, kernel=1).all(n), *Conv(size, c, 2 * c_in).all(n)]


def dense(n, c_in, c_out, input_gradients=None):  # dense.cu
    return Conv(1, c_in, c_out, kernel=1).all(n, input_gradients)


# Nobody asks for the gradient of the input of a flow's first coupling, which is the data, or noise.
PRODUCTS = {
    "multiscale": [*gated_resnets(4, 28, 2, 16, 2, 3), *gated_resnets(2, 28, 1, 32, 2, 2),
                   *gated_resnets(2, 14, 4, 48, 8, 2), *gated_resnets(4, 7, 8, 64, 16, 4)],
    "realnvp": [*resnets(3, 28, 1, 32, 2), *resnets(3, 14, 4, 48), *resnets(3, 14, 2, 48), *resnets(3, 7, 8, 64),
                *resnets(4, 7, 4, 64)],
    "glow": [*glow_nets(16, 14, 4, 64), *Conv(14, 4, 8).all(1), *glow_nets(16, 7, 8, 64)],
    "nice": [*dense(4, 784, 1000, 3), *dense(16, 1000, 1000), *dense(4, 1000, 784)],
    "moons": [*dense(16, 2, 256, 14), *dense(16, 256, 256), *dense(16, 256, 2)],
}
