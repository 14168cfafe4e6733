"""Trains from given initial parameters with PyTorch, unshuffled, and compares the loss of each epoch with ours.

    pip install -r requirements.txt
    host-trainer --lr 0 --epochs 1 --out initial                 # a rate of 0 leaves the initial parameters
    host-trainer export initial/weights.postcard initial.safetensors
    host-trainer --epochs 10 --no-shuffle --out ours
    python compare_training.py initial.safetensors --data mnist --metrics ours/metrics.csv

After each epoch it prints the mean loss of the train and the test split and the test accuracy, computed as ours are:
over the whole split without an update, the samples' float32 losses added in float64. With --metrics it exits with
code 1 if a mean train loss differs by 1e-4 or more, relative to PyTorch's. Both trainings compute in float32 and add in
different orders, so they drift apart by a few roundings a step; a wrong gradient or rate is off by far more.
"""

import argparse
import csv
import gzip
import os
import pathlib
import struct
import sys

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from network import RECIPE, Network, normalize, optimizer

TOLERANCE = 1e-4
BATCH = 100


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("initial", type=pathlib.Path, help="safetensors with the names of PyTorch's state_dict")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("MNIST_DIR"),
                        help="folder with MNIST's four IDX files, plain or .gz [default: $MNIST_DIR]")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--metrics", type=pathlib.Path, help="metrics.csv of our run over the same epochs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data DIR or set MNIST_DIR")
    return given


def read_idx(folder, name):
    """The bytes of an IDX file of unsigned bytes, in its shape."""
    path = folder / name
    contents = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    dimensions = contents[3]
    shape = struct.unpack_from(f">{dimensions}I", contents, 4)
    return torch.frombuffer(bytearray(contents), dtype=torch.uint8, offset=4 + 4 * dimensions).view(shape)


def read_split(folder, name):
    images = normalize(read_idx(folder, f"{name}-images-idx3-ubyte"))
    return images, read_idx(folder, f"{name}-labels-idx1-ubyte").long()


def train_epoch(network, sgd, images, labels):
    for batch, batch_labels in zip(images.split(BATCH), labels.split(BATCH)):
        sgd.zero_grad()
        F.cross_entropy(network(batch), batch_labels).backward()
        sgd.step()


@torch.no_grad()
def evaluate(network, images, labels):
    """Mean loss and accuracy."""
    loss, correct = 0.0, 0
    for batch, batch_labels in zip(images.split(1000), labels.split(1000)):
        logits = network(batch)
        loss += F.cross_entropy(logits, batch_labels, reduction="none").double().sum().item()
        correct += (logits.argmax(1) == batch_labels).sum().item()
    return loss / len(labels), correct / len(labels)


def our_losses(path, epochs):
    """(train loss, test loss) of each epoch, the first `epochs` of them."""
    with path.open(newline="") as file:
        rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
    missing = [epoch for epoch in range(1, epochs + 1) if epoch not in rows]
    if missing:
        sys.exit(f"{path}: no epoch {missing[0]}; train {epochs} epochs or give --epochs")
    return [(float(rows[e]["train_loss"]), float(rows[e]["test_loss"])) for e in range(1, epochs + 1)]


def main():
    given = arguments()
    ours = our_losses(given.metrics, given.epochs) if given.metrics else None
    torch.set_num_threads(given.threads)
    network = Network()
    network.load_state_dict(load_file(given.initial))
    sgd = optimizer(network, RECIPE)
    train, test = read_split(given.data, "train"), read_split(given.data, "t10k")

    differences = []
    for epoch in range(1, given.epochs + 1):
        train_epoch(network, sgd, *train)
        train_loss, _ = evaluate(network, *train)
        test_loss, accuracy = evaluate(network, *test)
        line = f"epoch {epoch}: train loss {train_loss!r}, test loss {test_loss!r}, test accuracy {accuracy!r}"
        if ours:
            train_difference = abs(ours[epoch - 1][0] - train_loss) / train_loss
            test_difference = abs(ours[epoch - 1][1] - test_loss) / test_loss
            differences.append(train_difference)
            line += f"; ours differs by {train_difference:.1e} (train), {test_difference:.1e} (test)"
        print(line, flush=True)
    if ours:
        passed = all(difference < TOLERANCE for difference in differences)
        print(f"{'PASS' if passed else 'FAIL'}: the mean train losses differ by at most {max(differences):.1e} of "
              f"PyTorch's, less than {TOLERANCE:.0e} is asked")
        sys.exit(not passed)


if __name__ == "__main__":
    main()
