"""How the multiscale model launches the GPU kernels at a batch of 128, and the floor of each; for gpu_figures.py.

Threads, dynamic shared memory and grids come from the formulas of the launchers, repeated here with the name of their
file; constants are read from there. Shapes are those of models/flow.cpp and models/conditioner.cpp. Bytes are what
the comment that opens each .cu file counts: every input read once, every output written once.
"""
import pathlib
import re
import sys
from dataclasses import dataclass

CUDA = pathlib.Path(__file__).resolve().parent.parent / "kernels" / "cuda"
BATCH, PARAMETERS = 128, 1711818
PRECISIONS = ["fp32", "tf32", "bf16"]  # NetPrecision 0, 1, 2
BANDWIDTH, PEAK = 3.35e12, [67e12, 494.7e12, 989.4e12]  # H100 SXM by its data sheet, dense


def constant(file, name):
    """The value of `constexpr ... NAME = VALUE` in a file of kernels/cuda."""
    found = re.search(rf"\b{name} = (\d+)[,;]", (CUDA / file).read_text())
    return int(found[1]) if found else sys.exit(f"gpu_figures: no constant {name} in {file}: correct gpu_launches.py")


CONV_THREADS = constant("conv_weights.h", "kConvThreads")
STAGE_CHANNELS = constant("conv_weights.h", "kStageChannels")
STEP_WORDS = constant("warp_tile.h", "kStepWords")
TILE_PIXELS = constant("weight_gradient.cu", "kTilePixels")
WANTED_BLOCKS = constant("weight_gradient.cu", "kWantedBlocks")
BLOCK_THREADS = constant("grid.h", "kBlockThreads")
SUM_THREADS = constant("group_sum.cu", "kColumns") * constant("group_sum.cu", "kSlices")


def up(value, step):
    return -(-value // step) * step


@dataclass
class Launch:
    kernel: str  # {p}: the precision
    where: str
    times: int  # in a training step
    threads: int
    shared: list  # dynamic, by precision
    blocks: int
    bytes: float
    flops: float

    def floor(self, p):
        return max(self.bytes / BANDWIDTH, self.flops / PEAK[p])


class Columns:  # conv_weights.h, and BlockLayout in conv_tile.h
    def __init__(self, tiles, warps, halves):
        self.name = f"Columns<{tiles}, {warps}, {halves}>"
        self.all = halves * 8 * tiles * warps
        self.half = Columns(tiles, warps, 1) if halves == 2 else self
        self.pixels = 16 * 2 * (CONV_THREADS // 32 // warps)


def columns_for(channels, halves):  # with_columns in conv_tile.h, with_block_columns in gated_block_rows.h
    for limit, tiles, warps in ((8, 1, 1), (16, 2, 1), (32, 4, 1), (48, 3, 2)):
        if channels <= limit and (halves == 1 or limit > 8):
            return Columns(tiles, warps, halves)
    return Columns(4, 2, halves)


def per_word(p):
    return 2 if PRECISIONS[p] == "bf16" else 1


def window_rows(kernel, width, tile):  # ConvWindow::all_rows in conv_window.h
    radius = kernel // 2
    return up(tile + 2 * radius * (min(width, tile + 2 * radius) + 1), 8) + 8


def stages(p, columns, transposed):  # bytes of two WeightStages, conv_weights.h
    words = STAGE_CHANNELS // per_word(p)
    return 8 * (columns.all * (words + 4) if transposed else words * (up(columns.all + 8, 16) - 8))


def conv_shared(p, channels, halves, width, columns, stage_bytes):  # conv_input in conv_tile.h
    chunk = 64 // halves
    while True:
        padded = up(min(chunk, channels), STEP_WORDS * per_word(p))
        size = 4 * window_rows(3, width, columns.pixels) * (halves * padded // per_word(p) + 4) + stage_bytes
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
class Section:
    """Couplings of one shape: 3x3 convolution, three gated blocks, ELU-concat and 3x3 convolution."""
    couplings: int
    size: int
    c_in: int
    c: int
    c_out: int
    input_gradients: int  # couplings whose input has one: nobody asks for that of the noise

    def forward(self, where, times, c_in, halves, c_out):  # conv_forward.cu
        columns, weights = columns_for(c_out, 1), 9 * halves * c_in * c_out
        return self.conv(f"conv_forward_kernel<{{p}}, {columns.name}>", where, times, columns, False, c_in, halves,
                         weights, c_in + c_out)

    def backward(self, where, times, c_x, halves, c_out, accumulate=False):  # conv_backward_data.cu
        columns, weights = columns_for(c_x, halves), 9 * halves * c_x * c_out
        return self.conv(f"conv_backward_data_kernel<{{p}}, {columns.name}>", where, times, columns, True, c_out, 1,
                         weights, c_out + (halves + accumulate) * c_x)

    def conv(self, kernel, where, times, columns, transposed, channels, halves, weights, moved):
        pixels, shared = self.pixels(), [
            conv_shared(p, channels, halves, self.size, columns, stages(p, columns, transposed)) for p in range(3)]
        return Launch(kernel, where, times, CONV_THREADS, shared, -(-pixels // columns.pixels),
                      4 * (pixels * moved + weights), 2 * pixels * weights)

    def gradient(self, where, times, kernel, c_x, halves, c_out):  # weight_gradient.cu
        scale, channels, m = (1, 32, 3) if kernel == 3 else (2, 64, 1)
        tiles = -(-c_out // (8 * scale))
        n = -(-tiles // -(-tiles // 4)) * scale
        beside = -(-c_x // (channels // halves)) * -(-c_out // (8 * n))
        groups = min(-(-self.pixels() // TILE_PIXELS), max(1, WANTED_BLOCKS // beside))
        weights = kernel ** 2 * halves * c_x * c_out
        shared = [4 * (window_rows(kernel, self.size, TILE_PIXELS) * gradient_stride(p, channels) +
                       TILE_PIXELS * gradient_stride(p, 8 * n)) for p in range(3)]
        return Launch(f"weight_gradient_kernel<{{p}}, {kernel}, {n}>", where, times,
                      32 * kernel ** 2 * channels // 16 // m, shared, groups * beside,
                      4 * (self.pixels() * (c_x + c_out) + groups * weights), 2 * self.pixels() * weights)

    def gated(self, forward):  # gated_block_forward.cu, gated_block_backward.cu
        columns, pixels, c = columns_for(self.c, 2), self.pixels(), self.c
        w3, w1 = (18 * c * c if forward else 0), 4 * c * c
        shared = [own_shared(p, columns) + stages(p, columns, not forward) for p in range(3)]
        if forward:
            first = [conv_shared(p, c, 2, self.size, columns, stages(p, columns.half, False)) for p in range(3)]
            shared = [max(both) for both in zip(shared, first)]
        return Launch(f"gated_block_{'forward' if forward else 'backward'}_kernel<{{p}}, {columns.name}>",
                      f"{self.size}x{self.size}, {c}", 3 * self.couplings, CONV_THREADS, shared,
                      -(-pixels // columns.pixels), 4 * (pixels * c * (5 if forward else 9) + w3 + w1),
                      2 * pixels * (w3 + w1))

    def pixels(self):
        return BATCH * self.size ** 2

    def launches(self):
        at, c, n = f"{self.size}x{self.size}", self.c, self.couplings
        first, last = f"{at}, {self.c_in} to {c}", f"{at}, 2*{c} to {self.c_out}"
        conv3, conv1 = f"{at}, 2*{c} to {c}", f"{at}, 2*{c} to 2*{c}"
        return [self.forward(first, n, self.c_in, 1, c), self.gated(True), self.forward(last, n, c, 2, self.c_out),
                self.backward(last, n, c, 2, self.c_out), self.gradient(last, n, 3, c, 2, self.c_out),
                self.gated(False), self.backward(conv3, 3 * n, c, 2, c, True),
                self.gradient(conv1, 3 * n, 1, c, 2, 2 * c), self.gradient(conv3, 3 * n, 3, c, 2, c),
                self.backward(first, self.input_gradients, self.c_in, 1, c),
                self.gradient(first, n, 3, self.c_in, 1, c)]


SECTIONS = [Section(4, 28, 2, 16, 2, 3), Section(2, 28, 1, 32, 2, 2), Section(2, 14, 4, 48, 8, 2),
            Section(4, 7, 8, 64, 16, 4)]
ELEMENTS = BATCH * 28 * 28
TRAINING, SCORING, SAMPLING = "training", "scoring", "sampling"


@dataclass
class Pointwise:
    kernel: str  # {z}: the type of z's path, float in training and double elsewhere
    when: list
    where: str  # the largest of its launches
    elements: int
    path: float  # numbers of z's type that it moves per element
    other: float = 0  # bytes besides
    threads: int = BLOCK_THREADS

    def typed(self):
        """[(kernel, when, bytes)], one for each type in use"""
        for z, size, some in (("float", 4, [TRAINING]), ("double", 8, [SCORING, SAMPLING])):
            when = [w for w in some if w in self.when]
            if when:
                yield self.kernel.format(z=z), when, self.elements * (self.path * size + self.other)


BOTH = [TRAINING, SCORING]
POINTWISE = [
    Pointwise("dequantize_forward_kernel<{z}, DrawnNoise<{z}>>", BOTH, "28x28x1, in simple", ELEMENTS, 1, 1),
    Pointwise("logit_forward_kernel<{z}, DrawnNoise<{z}>>", BOTH, "28x28x1", ELEMENTS, 1),
    Pointwise("sigmoid_forward_kernel<{z}>", BOTH, "28x28x1", ELEMENTS, 2),
    Pointwise("sigmoid_backward_kernel<{z}>", [TRAINING], "28x28x1", ELEMENTS, 3),
    Pointwise("dequantize_forward_kernel<{z}, StoredNoise<{z}>>", BOTH, "28x28x1", ELEMENTS, 2, 1),
    Pointwise("dequantize_backward_kernel<{z}>", [TRAINING], "28x28x1", ELEMENTS, 3, 1),
    Pointwise("dequantize_inverse_kernel<{z}>", [SAMPLING], "28x28x1", ELEMENTS, 1, 1),
    Pointwise("conditioner_input_forward_kernel<{z}>", [*BOTH, SAMPLING], "28x28x(1+1)", ELEMENTS, 0.5, 9),
    Pointwise("conditioner_input_backward_kernel<{z}>", [TRAINING], "28x28x(1+1)", ELEMENTS, 1, 2),
    Pointwise("affine_coupling_kernel<0, {z}>", BOTH, "28x28x1", ELEMENTS, 2, 4),
    Pointwise("affine_coupling_kernel<1, {z}>", [SAMPLING], "28x28x1", ELEMENTS, 2, 4),
    Pointwise("affine_coupling_backward_kernel<{z}>", [TRAINING], "28x28x1", ELEMENTS, 2.5, 12),
    Pointwise("add_slices_kernel", [TRAINING], "one channel, 128 slices", BATCH, 0, 8),
    Pointwise("squeeze_forward_kernel<{z}>", BOTH, "28x28x1", ELEMENTS, 2),
    Pointwise("squeeze_inverse_kernel<{z}>", [TRAINING, SAMPLING], "28x28x1", ELEMENTS, 2),
    Pointwise("split_forward_kernel<{z}>", BOTH, "14x14x4", ELEMENTS, 1.5),
    Pointwise("split_inverse_kernel<{z}>", [SAMPLING], "14x14x4", ELEMENTS, 2),
    Pointwise("split_backward_kernel<{z}>", [TRAINING], "14x14x4", ELEMENTS, 2),
    Pointwise("gaussian_log_density_forward_kernel<{z}>", BOTH, "7x7x8", ELEMENTS // 2, 1),
    Pointwise("gaussian_log_density_backward_kernel<{z}>", [TRAINING], "7x7x8", ELEMENTS // 2, 2),
    Pointwise("normal_noise_kernel<{z}>", [SAMPLING], "7x7x8", ELEMENTS // 2, 1),
    Pointwise("mean_negative_log_prob_kernel", [TRAINING], "128 numbers", BATCH, 0, 8),
    Pointwise("mean_negative_log_prob_backward_kernel", [TRAINING], "128 numbers", BATCH, 0, 8),
    Pointwise("fill_kernel", [TRAINING], "one number", 1, 0, 8, constant("fill.cu", "kThreads")),
    Pointwise("group_sum_kernel", [TRAINING], "33 groups of 3x3, 2*64 to 64", 64 * (9 * 128 + 1), 0, 4 * (33 + 1),
              SUM_THREADS),
    Pointwise("squared_norm_kernel", [TRAINING], "all parameters", PARAMETERS, 0, 4),
    Pointwise("add_partials_kernel", [TRAINING], "418 numbers", 418, 0, 8),
    Pointwise("admit_step_kernel", [TRAINING], "one step", 1, 0, 24, 1),
    Pointwise("adam_step_kernel", [TRAINING], "all parameters", PARAMETERS, 0, 28),
]
