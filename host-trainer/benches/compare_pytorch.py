"""Trains with PyTorch and with this trainer in turn and compares seconds; see compare_pytorch.sh.

PyTorch is at its best here: the whole data set normalised in memory, no DataLoader, batches gathered by index,
evaluation in batches as large as suits it. Both sides do the recipe: SGD, batch 100, then both splits evaluated.
The fastest epoch of each side counts.
"""

import argparse
import gzip
import json
import pathlib
import struct
import subprocess
import tempfile
import time

import numpy
import torch

BATCH = 100
# Batch lengths that PyTorch evaluates with; the fastest counts.
EVALUATION_BATCHES = (100, 200, 500, 1000)


def read_idx(folder, name):
    """An IDX file of bytes, plain or gzipped, as an array."""
    plain = folder / name
    data = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_split(folder, prefix):
    images = torch.from_numpy(read_idx(folder, f"{prefix}-images-idx3-ubyte").astype(numpy.float32))
    labels = torch.from_numpy(read_idx(folder, f"{prefix}-labels-idx1-ubyte").astype(numpy.int64))
    return ((images / 255.0 - 0.5) / 0.5).unsqueeze(1), labels


class Network(torch.nn.Sequential):
    def __init__(self):
        super().__init__(
            torch.nn.Conv2d(1, 16, 3),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(16, 32, 3),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(800, 120),
            torch.nn.ReLU(),
            torch.nn.Linear(120, 10),
        )


def train_epoch(network, optimizer, images, labels):
    order = torch.randperm(len(images))
    for start in range(0, len(images), BATCH):
        batch = order[start : start + BATCH]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(network, images, labels, batch):
    loss = correct = 0
    for start in range(0, len(images), batch):
        logits, expected = network(images[start : start + batch]), labels[start : start + batch]
        loss += torch.nn.functional.cross_entropy(logits, expected, reduction="sum").item()
        correct += (logits.argmax(1) == expected).sum().item()
    return loss / len(images), correct / len(images)


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def time_pytorch(splits, threads, epochs):
    """The fastest training epoch and the fastest evaluation of both splits."""
    torch.set_num_threads(threads)
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=0.005)
    training = min(seconds(lambda: train_epoch(network, optimizer, *splits[0])) for _ in range(epochs))
    evaluation = min(
        seconds(lambda: [evaluate(network, *split, batch) for split in splits])
        for batch in EVALUATION_BATCHES
        for _ in range(epochs)
    )
    return training, evaluation


def time_trainer(arguments, threads, simd):
    """The same of this trainer, one epoch a run: the record holds the sums over a run's epochs."""
    best = (float("inf"), float("inf"))
    for _ in range(arguments.epochs):
        with tempfile.TemporaryDirectory() as out:
            command = [arguments.trainer, "train", "--backend", "cpu", "--dataset", "mnist", "--data", arguments.data]
            command += ["--epochs", "1", "--threads", str(threads), "--out", out]
            subprocess.run(command + (["--simd", simd] if simd else []), check=True, stdout=subprocess.DEVNULL)
            record = json.loads((pathlib.Path(out) / "run.json").read_text())["seconds"]
        best = (min(best[0], record["training"]), min(best[1], record["evaluation"]))
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each side; the fastest counts")
    parser.add_argument("--simd", nargs="*", default=[], help="levels to compare besides the widest")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    splits = [read_split(arguments.data, "train"), read_split(arguments.data, "t10k")]

    print(f"PyTorch {torch.__version__}; seconds for an epoch of training and for evaluating both splits")
    for threads in arguments.threads:
        pytorch = time_pytorch(splits, threads, arguments.epochs)
        print(f"{threads} thread(s)  {'PyTorch':<12} train {pytorch[0]:7.3f}  evaluate {pytorch[1]:7.3f}", flush=True)
        for simd in [None, *arguments.simd]:
            ours = time_trainer(arguments, threads, simd)
            ratios = f"{pytorch[0] / ours[0]:5.2f}× and {pytorch[1] / ours[1]:5.2f}× as fast"
            name = simd or "widest"
            print(f"{threads} thread(s)  {name:<12} train {ours[0]:7.3f}  evaluate {ours[1]:7.3f}  {ratios}", flush=True)


if __name__ == "__main__":
    main()
