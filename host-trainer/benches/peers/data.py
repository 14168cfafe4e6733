"""MNIST in memory, as every peer gets it."""

import gzip
import pathlib
import struct

import numpy as np


def read_idx(folder, name):
    """An IDX file of bytes, plain or gzipped, as an array."""
    plain = pathlib.Path(folder) / name
    data = plain.read_bytes() if plain.exists() else gzip.decompress(plain.with_name(f"{name}.gz").read_bytes())
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_splits(folder):
    """Training and test split: normalised images, N×1×28×28 in f32, and labels in i64."""
    splits = []
    for prefix in ("train", "t10k"):
        images = read_idx(folder, f"{prefix}-images-idx3-ubyte").astype(np.float32)
        labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte").astype(np.int64)
        splits.append((((images / 255 - 0.5) / 0.5)[:, None], labels))
    return splits


def loss_and_correct(logits, labels):
    """The sum of the cross-entropies and the number of right predictions, for peers that only give logits."""
    largest = logits.max(1, keepdims=True)
    of_label = np.take_along_axis(logits, labels[:, None], 1)
    losses = np.log(np.exp(logits - largest).sum(1, keepdims=True)) + largest - of_label
    return losses.sum(), (logits.argmax(1) == labels).sum()
