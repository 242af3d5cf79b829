"""All GPU kernels but the products, at a batch of 128: where each works on most, and its bytes and operations; for
gpu_figures.py.

Of the named models that with the largest launch is taken; where none is named, the multiscale model. Bytes per element
are those of the comment that opens each .cu file, and so are operations where it speaks of their number; functions such
as exp are not counted. Threads, dynamic shared memory and blocks are the launchers' formulas.
"""
from dataclasses import dataclass

from gpu_launches import BANDWIDTH, BATCH, MULTIPROCESSORS, PEAK, PEAK_DOUBLE, constant

THREADS = constant("grid.h", "kBlockThreads")
SUM_COLUMNS = constant("group_sum.cu", "kColumns")
FEW, MANY = 8 * SUM_COLUMNS, 32 * SUM_COLUMNS  # threads for up to 64 groups, and for more
PEAK_THREADS = constant("peak.h", "kPeakThreads")
NORM_BLOCK = constant("optimizer.cu", "kNormBlock")
WARP = constant("block_reduce.h", "kWarpThreads")
PIXEL_WARPS = THREADS // WARP  # a warp per pixel

TRAINING, SCORING, SAMPLING = "training", "scoring", "sampling"
BOTH, ALL = [TRAINING, SCORING], [TRAINING, SCORING, SAMPLING]
RECOMPUTE, CUDNN, BENCH = "training with --recompute", "--conv cudnn", "flow bench"
NO_LAYER = "an op that no layer uses"


# --- blocks ---

def flat(items):  # grid.h
    return -(-items // THREADS)


def image_grid(items, images=BATCH):  # grid.h
    return images * max(1, min(4096, flat(items)))


def slices(pixels, channels, images=BATCH):  # ChannelSlices in channel_sums.h: (slices of all images, blocks)
    columns = min(channels, THREADS)
    count = images * -(-pixels // max(THREADS // columns * 16, pixels // 1024))
    return count, count * -(-channels // columns)


def pixel_tiles(pixels, channels):  # pixel_tiles.h: (blocks, elements of a block)
    tile = max(1, 4 * THREADS // channels)
    return -(-BATCH * pixels // tile), tile * channels


def group_sums(size):  # group_sum.cu
    return -(-size // SUM_COLUMNS)


# --- entries ---

@dataclass
class Pointwise:
    kernel: str  # {z}: the type of z's path, float in training and double elsewhere
    when: list
    where: str  # the largest of its launches
    elements: int
    path: float  # numbers of z's type that it moves per element
    other: float = 0  # bytes besides
    blocks: int = BATCH
    flops: float = 0  # per element
    in_double: bool = True  # operations, whatever the path
    shared: tuple = (0, 0)  # dynamic: numbers of z's type, bytes besides
    threads: int = THREADS

    def typed(self):
        """[(kernel, when, bytes of z's type)], one for each type in use"""
        if "{z}" not in self.kernel:
            return [(self.kernel, self.when, 8 if "double" in self.kernel else 4)]
        later = [w for w in self.when if w != TRAINING]
        trains = TRAINING in self.when
        rows = [("float", [TRAINING], 4)] if trains else []
        rows.append(("double", later + [RECOMPUTE] * trains, 8))
        return [(self.kernel.format(z=z), when, size) for z, when, size in rows]

    def bytes(self, size):
        return self.elements * (self.path * size + self.other)

    def floor(self, size):
        """Operations by the multiprocessors that have a block."""
        peak = PEAK_DOUBLE if self.in_double or size == 8 else PEAK[0]
        busy = min(self.blocks, MULTIPROCESSORS) / MULTIPROCESSORS
        return max(self.bytes(size) / BANDWIDTH, self.elements * self.flops / (peak * busy))


PIXELS = 28 * 28
ELEMENTS = BATCH * PIXELS  # of z where it is whole: 28x28x1, 14x14x4, 784 numbers
HIDDEN = 32 * ELEMENTS  # realnvp's first maps
IN_REALNVP = "realnvp, 28x28x32"
PARAMETERS, NICE_PARAMETERS = 1711818, 22295920

DEQUANTIZATION = [
    Pointwise("dequantize_forward_kernel<{z}, DrawnNoise<{z}>>", BOTH, "28x28x1, in simple", ELEMENTS, 1, 1, flops=10,
              in_double=False),
    Pointwise("logit_forward_kernel<{z}, DrawnNoise<{z}>>", BOTH, "28x28x1", ELEMENTS, 1),
    Pointwise("sigmoid_forward_kernel<{z}>", BOTH, "28x28x1", ELEMENTS, 2),
    Pointwise("sigmoid_backward_kernel<{z}>", [TRAINING], "28x28x1", ELEMENTS, 3, blocks=image_grid(PIXELS // 4)),
    Pointwise("dequantize_forward_kernel<{z}, StoredNoise<{z}>>", BOTH, "28x28x1", ELEMENTS, 2, 1, flops=10,
              in_double=False),
    Pointwise("dequantize_backward_kernel<{z}>", [TRAINING], "28x28x1", ELEMENTS, 3, 1, image_grid(PIXELS // 4)),
    Pointwise("dequantize_inverse_kernel<{z}>", [SAMPLING], "28x28x1", ELEMENTS, 1, 1, flat(ELEMENTS // 4)),
]

# moons sends 2 numbers through nets of its own for s and t.
COUPLINGS = [
    Pointwise("conditioner_input_forward_kernel<{z}>", ALL, "28x28x(1+1)", ELEMENTS, 0.5, 9, image_grid(2 * PIXELS)),
    Pointwise("conditioner_input_backward_kernel<{z}>", [TRAINING], "28x28x(1+1)", ELEMENTS, 1, 2, image_grid(PIXELS)),
    Pointwise("affine_coupling_kernel<0, {z}>", BOTH, "28x28x1", ELEMENTS, 2, 4, flops=3, in_double=False),
    Pointwise("affine_coupling_kernel<1, {z}>", [SAMPLING, RECOMPUTE], "28x28x1", ELEMENTS, 2, 4, flops=3),
    Pointwise("affine_coupling_backward_kernel<{z}>", [TRAINING], "28x28x1", ELEMENTS, 2.5, 12, slices(PIXELS, 1)[1]),
    Pointwise("additive_coupling_kernel<0, {z}>", BOTH, "nice, 784", ELEMENTS, 2, 2, image_grid(PIXELS), 0.5, False),
    Pointwise("additive_coupling_kernel<1, {z}>", [SAMPLING, RECOMPUTE], "nice, 784", ELEMENTS, 2, 2,
              image_grid(PIXELS), 0.5),
    Pointwise("additive_coupling_backward_kernel<{z}>", [TRAINING], "nice, 784", ELEMENTS, 2, 4, image_grid(PIXELS)),
    Pointwise("concat_channels_forward_kernel", ALL, "moons, 2 and 2", 4 * BATCH, 0, 8, image_grid(4)),
    Pointwise("concat_channels_backward_kernel", [TRAINING], "moons, 2 of 4", 2 * BATCH, 0, 8, image_grid(2)),
]

# A line or a matrix per channel, and the order of channels. Glow multiplies its weights by scales, too.
CHANNELS = [
    Pointwise("channel_affine_kernel<0, {z}>", BOTH, "nice, 784", ELEMENTS, 2, 0, slices(1, 784)[1], 2),
    Pointwise("channel_affine_kernel<1, {z}>", [SAMPLING], "nice, 784", ELEMENTS, 2, 0, slices(1, 784)[1], 2),
    Pointwise("channel_affine_kernel<0, float>", ALL, "glow, a weight, 3x3x64x16", 9216, 2, 0,
              slices(3 * 64, 16, 3)[1], 2),
    Pointwise("channel_affine_logdet_kernel", BOTH, "nice, 784", BATCH, 0, 16 + 4 * 784 / BATCH),
    Pointwise("channel_affine_backward_kernel<{z}>", [TRAINING], "nice, 784", ELEMENTS, 3, 0, slices(1, 784)[1], 5),
    Pointwise("channel_affine_backward_kernel<float>", [TRAINING], "glow, a weight, 3x3x64x16", 9216, 3, 0,
              slices(3 * 64, 16, 3)[1], 5),
    Pointwise("channel_affine_parameters_kernel", [TRAINING], "nice, 784", 784, 0, 32 + 8 * BATCH / 784, flat(784)),
    Pointwise("channel_matmul_kernel<false, {z}, float>", BOTH, "glow, 14x14x4", ELEMENTS, 2, 0,
              pixel_tiles(196, 4)[0], 8, False, (pixel_tiles(196, 4)[1], 4 * 20)),
    Pointwise("channel_matmul_kernel<true, {z}, float>", [TRAINING], "glow, 14x14x4", ELEMENTS, 2, 0,
              pixel_tiles(196, 4)[0], 8, False, (pixel_tiles(196, 4)[1], 4 * 20)),
    Pointwise("channel_matmul_kernel<false, double, double>", [SAMPLING], "glow, 14x14x4", ELEMENTS, 2, 0,
              pixel_tiles(196, 4)[0], 8, True, (pixel_tiles(196, 4)[1], 8 * 20)),
    Pointwise("channel_products_kernel<{z}>", [TRAINING], "glow, 14x14x4", ELEMENTS, 2, 4 * 196 * 16 / ELEMENTS, 196,
              8, False),
    Pointwise("compose_plu_forward_kernel", ALL, "glow, 8x8", 64, 0, 12, 1, 2 * 8 / 3),
    Pointwise("compose_plu_backward_kernel", [TRAINING], "glow, 8x8", 64, 0, 20, 1, 4 * 8 / 3),
    Pointwise("matrix_inverse_kernel", [SAMPLING], "glow, 8x8", 64, 0, 12, 1, 2 * 8,
              shared=(0, 8 * 64 + 12 * 8)),
    Pointwise("log_abs_det_backward_kernel", [TRAINING], "a plain 1x1 convolution, 8x8", 64, 0, 12, 1),
    Pointwise("shared_logdet_forward_kernel<float>", BOTH, "glow, 8 terms", BATCH, 0, 16 + 4 * 8 / BATCH, 1),
    Pointwise("shared_logdet_backward_kernel<float>", [TRAINING], "glow, 8 terms", BATCH, 0, 8 + 4 * 8 / BATCH, 1),
    Pointwise("shared_logdet_forward_kernel<double>", BOTH, "a plain 1x1 convolution", BATCH, 0, 16, 1),
    Pointwise("shared_logdet_backward_kernel<double>", [TRAINING], "a plain 1x1 convolution", BATCH, 0, 8, 1),
    Pointwise("permute_kernel<0, {z}>", BOTH, "a permutation, 14x14x4", ELEMENTS, 2, 0, pixel_tiles(196, 4)[0],
              shared=(pixel_tiles(196, 4)[1], 0)),
    Pointwise("permute_kernel<1, {z}>", [TRAINING, SAMPLING], "a permutation, 14x14x4", ELEMENTS, 2, 0,
              pixel_tiles(196, 4)[0], shared=(pixel_tiles(196, 4)[1], 0)),
]

# As a layer it works on z, in networks on their maps, which are float everywhere.
BATCH_NORM = [
    Pointwise("batch_moments_kernel<float>", [TRAINING], IN_REALNVP, HIDDEN, 1, 0, slices(PIXELS, 32)[1], 4),
    Pointwise("batch_moments_kernel<double>", [RECOMPUTE], "realnvp, 28x28x1", ELEMENTS, 1, 0, slices(PIXELS, 1)[1],
              4),
    Pointwise("batch_statistics_kernel<float>", [TRAINING], "realnvp, 64 channels", 64, 1, 32, 1),
    Pointwise("batch_statistics_kernel<double>", [RECOMPUTE], "realnvp, 8 channels", 8, 1, 32, 1),
    Pointwise("batch_norm_kernel<0, float>", ALL, IN_REALNVP, HIDDEN, 2, 0, slices(PIXELS, 32)[1], 3),
    Pointwise("batch_norm_kernel<0, double>", [SCORING, RECOMPUTE], "realnvp, 28x28x1", ELEMENTS, 2, 0,
              slices(PIXELS, 1)[1], 3),
    Pointwise("batch_norm_kernel<1, double>", [SAMPLING], "realnvp, 28x28x1", ELEMENTS, 2, 0, slices(PIXELS, 1)[1], 2),
    Pointwise("batch_norm_logdet_kernel", BOTH, "realnvp, 8 channels", BATCH, 0, 16 + 8 * 8 / BATCH),
    Pointwise("batch_norm_sums_kernel<float>", [TRAINING], IN_REALNVP, HIDDEN, 2, 0, slices(PIXELS, 32)[1], 4),
    Pointwise("batch_norm_sums_kernel<double>", [RECOMPUTE], "realnvp, 28x28x1", ELEMENTS, 2, 0, slices(PIXELS, 1)[1],
              4),
    Pointwise("batch_norm_parameters_kernel<float>", [TRAINING], "realnvp, 64 channels", 64, 3, 48, 1),
    Pointwise("batch_norm_parameters_kernel<double>", [RECOMPUTE], "realnvp, 8 channels", 8, 0, 48 + 8 * BATCH / 8, 1),
    Pointwise("batch_norm_backward_kernel<float>", [TRAINING], IN_REALNVP, HIDDEN, 3, 0, slices(PIXELS, 32)[1], 5),
    Pointwise("batch_norm_backward_kernel<double>", [RECOMPUTE], "realnvp, 28x28x1", ELEMENTS, 3, 0,
              slices(PIXELS, 1)[1], 5),
    Pointwise("update_running_kernel", [TRAINING], "realnvp, 64 channels", 64, 0, 48, 1),
]

NETWORKS = [
    Pointwise("activation_forward_kernel", ALL, IN_REALNVP, HIDDEN, 0, 8, flat(HIDDEN // 4)),
    Pointwise("activation_backward_kernel", [TRAINING], IN_REALNVP, HIDDEN, 0, 12, flat(HIDDEN // 4)),
    Pointwise("add_forward_kernel", ALL, IN_REALNVP, HIDDEN, 0, 12, flat(HIDDEN // 4)),
    Pointwise("add_backward_kernel", [TRAINING], IN_REALNVP, HIDDEN, 0, 12, flat(HIDDEN // 4)),
    Pointwise("weight_norm_forward_kernel", ALL, "realnvp, 3x3, 64 to 64", 9 * 64 * 64, 0, 8,
              -(-64 // WARP), 3),
    Pointwise("weight_norm_backward_kernel", [TRAINING], "realnvp, 3x3, 64 to 64", 9 * 64 * 64, 0, 12,
              -(-64 // WARP), 7),
    Pointwise("concat_elu_forward_kernel<4>", [CUDNN], "28x28x32", HIDDEN, 0, 12, image_grid(8 * PIXELS)),
    Pointwise("concat_elu_backward_kernel<4>", [CUDNN], "28x28x32", HIDDEN, 0, 16, image_grid(8 * PIXELS)),
    Pointwise("add_bias_kernel<1>", [CUDNN], "28x28x2", 2 * ELEMENTS, 0, 8, image_grid(2 * PIXELS)),
    Pointwise("add_bias_kernel<4>", [CUDNN], "28x28x64", 2 * HIDDEN, 0, 8, image_grid(16 * PIXELS)),
    Pointwise("transpose_kernel", [CUDNN], "3x3, 2*64 to 64", 9 * 128 * 64, 0, 8, 9 * 128 // 32 * 2),
    Pointwise("gate_norm_forward_kernel", ALL, "gated blocks of 128 channels, 7x7", BATCH * 49 * 128, 0, 16,
              BATCH * 49 // PIXEL_WARPS),
    Pointwise("gate_norm_backward_kernel", [TRAINING], "gated blocks of 128 channels, 7x7", BATCH * 49 * 128, 0, 36,
              BATCH * 49 // PIXEL_WARPS),
    Pointwise("norm_gradient_kernel", [TRAINING], "gated blocks of 128 channels, 7x7", BATCH * 49 * 128, 0, 16,
              BATCH * 49 // 64 * 4),
    Pointwise("gate_forward_kernel<4>", [NO_LAYER], "28x28x32", HIDDEN, 0, 16, image_grid(8 * PIXELS)),
    Pointwise("gate_backward_kernel<4>", [NO_LAYER], "28x28x32", HIDDEN, 0, 24, image_grid(8 * PIXELS)),
    Pointwise("layer_norm_forward_kernel", [NO_LAYER], "28x28x32", HIDDEN, 0, 8, ELEMENTS // PIXEL_WARPS, 8, False),
    Pointwise("layer_norm_backward_kernel", [NO_LAYER], "28x28x32", HIDDEN, 0, 12 + 8 / 32, ELEMENTS // PIXEL_WARPS),
    Pointwise("layer_norm_sums_kernel", [NO_LAYER], "28x28x32", HIDDEN, 0, 8 + 8 / 32, slices(PIXELS, 32)[1]),
]

SHAPES = [
    Pointwise("squeeze_forward_kernel<{z}>", BOTH, "28x28x1", ELEMENTS, 2, 0, image_grid(PIXELS // 4)),
    Pointwise("squeeze_inverse_kernel<{z}>", [TRAINING, SAMPLING], "28x28x1", ELEMENTS, 2, 0, image_grid(PIXELS // 4)),
    Pointwise("split_forward_kernel<{z}>", BOTH, "14x14x4", ELEMENTS, 1.5, flops=1),
    Pointwise("split_inverse_kernel<{z}>", [SAMPLING], "14x14x4", ELEMENTS, 2, 0, image_grid(PIXELS)),
    Pointwise("split_backward_kernel<{z}>", [TRAINING], "14x14x4", ELEMENTS, 2, 0, image_grid(PIXELS)),
]

K = 10  # components of the mixture
IN_MIXTURE = f"a mixture of {K}, 28x28x1"
BASES = [
    Pointwise("gaussian_log_density_forward_kernel<{z}>", BOTH, "28x28x1, in simple", ELEMENTS, 1, flops=2),
    Pointwise("gaussian_log_density_backward_kernel<{z}>", [TRAINING], "28x28x1, in simple", ELEMENTS, 2, 0,
              image_grid(PIXELS // 4), 2),
    Pointwise("normal_noise_kernel<{z}>", [SAMPLING], "28x28x1, in simple", ELEMENTS, 1, 0, image_grid(PIXELS // 4)),
    Pointwise("uniform_noise_kernel<float>", [BENCH], "28x28x1", ELEMENTS, 1, 0, image_grid(PIXELS // 4)),
    Pointwise("mixture_terms_kernel", BOTH, IN_MIXTURE, K * PIXELS, 0, 12, K),
    Pointwise("mixture_components_kernel<{z}>", BOTH, IN_MIXTURE, ELEMENTS, 1, 12 * K / BATCH, K * BATCH, 4 * K),
    Pointwise("mixture_normalise_kernel", BOTH, IN_MIXTURE, BATCH, 0, 16 + 16 * K, 1),
    Pointwise("mixture_backward_z_kernel<{z}>", [TRAINING], IN_MIXTURE, ELEMENTS, 2, 12 * K / BATCH,
              image_grid(PIXELS), 8 * K),
    Pointwise("mixture_backward_parameters_kernel<{z}>", [TRAINING], IN_MIXTURE, ELEMENTS, 1, 20 * K / BATCH,
              image_grid(PIXELS, K), 8 * K),
    Pointwise("mixture_backward_logits_kernel", [TRAINING], IN_MIXTURE, BATCH, 0, 8 + 8 * K, K),
    Pointwise("mixture_sample_kernel<{z}>", [SAMPLING], IN_MIXTURE, ELEMENTS, 2, 8 * K / BATCH, image_grid(PIXELS)),
]

STEP = [
    Pointwise("mean_negative_log_prob_kernel", [TRAINING], "128 numbers", BATCH, 0, 8, 1),
    Pointwise("mean_negative_log_prob_backward_kernel", [TRAINING], "128 numbers", BATCH, 0, 8, 1),
    Pointwise("log_mean_exp_kernel", [SCORING], "64 draws", BATCH, 0, 8 * (64 + 1), 1),
    Pointwise("fill_kernel", [TRAINING], "one number", 1, 0, 8, 1, threads=constant("fill.cu", "kThreads")),
    Pointwise("add_slices_kernel<float>", [TRAINING], "8 channels, 128 slices", 8 * BATCH, 0, 8, 8),
    Pointwise("add_slices_kernel<double>", [TRAINING], "nice, 2*784 sums, 128 slices", 2 * 784 * BATCH, 0, 8, 2 * 784),
    Pointwise("group_sum_kernel<8>", [TRAINING], "33 groups of 3x3, 2*64 to 64", 64 * (9 * 128 + 1), 0, 4 * (33 + 1),
              group_sums(64 * (9 * 128 + 1)), 33, False, threads=FEW),
    Pointwise("group_sum_kernel<32>", [TRAINING], "784 groups of gamma and beta, 2*32", 64, 0, 4 * (784 + 1),
              group_sums(64), 784, False, threads=MANY),
    Pointwise("group_sum_kernel<8>", [TRAINING], "nice, 1 group of 1000 to 1000", 1001 * 1000, 0, 4 * (1 + 1),
              group_sums(1001 * 1000), 1, False, threads=FEW),
    Pointwise("squared_norm_kernel", [TRAINING], "all parameters", PARAMETERS, 0, 4, -(-PARAMETERS // NORM_BLOCK), 2),
    Pointwise("squared_norm_kernel", [TRAINING], "nice, all parameters", NICE_PARAMETERS, 0, 4,
              -(-NICE_PARAMETERS // NORM_BLOCK), 2),
    Pointwise("add_partials_kernel", [TRAINING], "nice, 5444 numbers", -(-NICE_PARAMETERS // NORM_BLOCK), 0, 8, 1),
    Pointwise("admit_step_kernel", [TRAINING], "one step", 1, 0, 24, 1, threads=1),
    Pointwise("adam_step_kernel", [TRAINING], "all parameters", PARAMETERS, 0, 28, flat(-(-PARAMETERS // 4)), 12),
    Pointwise("adam_step_kernel", [TRAINING], "nice, all parameters", NICE_PARAMETERS, 0, 28,
              flat(-(-NICE_PARAMETERS // 4)), 12),
]

# What bench holds the others against (tools/bench/ceilings.cpp), and what asks a GPU whether it runs this build.
COPIED = MULTIPROCESSORS << 20
PROBES = [
    Pointwise("multiply_add_kernel", [BENCH], "registers", 0, 0, 0, 4 * MULTIPROCESSORS, threads=PEAK_THREADS),
    Pointwise("mma_kernel<1>", [BENCH], "registers, tf32", 0, 0, 0, 4 * MULTIPROCESSORS, threads=PEAK_THREADS),
    Pointwise("mma_kernel<2>", [BENCH], "registers, bf16", 0, 0, 0, 4 * MULTIPROCESSORS, threads=PEAK_THREADS),
    Pointwise("copy_kernel", [BENCH], "memory", COPIED, 0, 8,
              COPIED // 4 // (PEAK_THREADS * constant("peak.cu", "kCopyFours")), threads=PEAK_THREADS),
    Pointwise("architecture_probe_kernel", ["the start of a program"], "nothing", 0, 0, 0, 1, threads=1),
]

POINTWISE = {"Dequantization": DEQUANTIZATION, "Couplings": COUPLINGS, "Channels": CHANNELS, "Batch norm": BATCH_NORM,
             "Networks": NETWORKS, "Squeeze and split": SHAPES, "Bases and noise": BASES, "A step": STEP,
             "Probes": PROBES}
