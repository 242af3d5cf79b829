"""MNIST in IDX form and the safetensors format, both read and written by hand."""
import gzip
import json
import pathlib
import struct

import numpy as np

MNIST = pathlib.Path(__file__).resolve().parents[2] / "data" / "mnist"
_DTYPES = {"F64": "<f8", "F32": "<f4", "U8": "u1"}


def mnist_images(name):
    """uint8 array (count, 28, 28); name is 'train' or 't10k'."""
    with gzip.open(MNIST / f"{name}-images-idx3-ubyte.gz") as file:
        raw = file.read()
    magic, count, rows, columns = struct.unpack(">4i", raw[:16])
    assert magic == 2051, f"{name}: not an IDX file of images"
    return np.frombuffer(raw, np.uint8, offset=16).reshape(count, rows, columns)


def save_safetensors(path, tensors, metadata):
    """Widest elements first, so that every tensor starts at a multiple of its element size."""
    names = {np.dtype(value): key for key, value in _DTYPES.items()}
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)
    header, offset = {"__metadata__": {key: str(value) for key, value in metadata.items()}}, 0
    for name, array in ordered:
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, array in ordered:
            file.write(np.ascontiguousarray(array).tobytes())


def load_safetensors(path):
    """(tensors by name, metadata)."""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        data = np.frombuffer(raw[8 + length + begin:8 + length + end], _DTYPES[entry["dtype"]])
        tensors[name] = data.reshape(entry["shape"])
    return tensors, metadata
