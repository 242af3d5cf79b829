"""Philox4x32-10 in numpy, word for word the stream of kernels/noise.h."""
import numpy as np

TRAINING, WEIGHTS = 1, 6  # NoisePurpose
_LOW = np.uint64(0xFFFFFFFF)


def philox4x32_10(counter, key):
    """counter: four broadcastable integer arrays; key: two integers. Returns four uint32 arrays."""
    c = [np.asarray(word, dtype=np.uint64) for word in counter]
    for r in range(10):
        k0 = np.uint64((key[0] + r * 0x9E3779B9) & 0xFFFFFFFF)
        k1 = np.uint64((key[1] + r * 0xBB67AE85) & 0xFFFFFFFF)
        a = np.uint64(0xD2511F53) * c[0]
        b = np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ k0, b & _LOW, (a >> np.uint64(32)) ^ c[3] ^ k1, a & _LOW]
    return [word.astype(np.uint32) for word in c]


def uniform(seed, purpose, draw, image, size):
    """u ~ U(0,1) of elements 0..size-1 of one image, float32: element e is word e % 4 of group e // 4."""
    groups = np.arange((size + 3) // 4, dtype=np.uint64)
    words = philox4x32_10((np.full_like(groups, image), groups, draw, purpose), (seed & 0xFFFFFFFF, seed >> 32))
    words = np.stack(np.broadcast_arrays(*words), axis=1).reshape(-1)[:size]
    return ((words >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0 ** -23)


def _check():
    """Known answers of the Random123 library."""
    zeros = [int(w) for w in philox4x32_10((0, 0, 0, 0), (0, 0))]
    assert zeros == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], zeros
    pi = [int(w) for w in philox4x32_10((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0))]
    assert pi == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1], pi


_check()
