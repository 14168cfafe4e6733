"""PyTorch: eager, compiled, scripted and frozen, in both layouts, with ReLU before pooling and after it."""

import sys
import warnings

import torch
from torch import nn

from data import read_splits
from peer import BATCH, DECAY, MOMENTUM, RATE, run

# TorchScript is called deprecated; whether it is still the fastest is the question.
warnings.filterwarnings("ignore", category=FutureWarning)
data, _, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
torch.manual_seed(0)
SPLITS = [(torch.from_numpy(images), torch.from_numpy(labels)) for images, labels in read_splits(data)]


def network(pool_first, layout):
    # ReLU keeps the order of values, so that pooling may come first: the same results from a quarter of the work.
    ends = [nn.MaxPool2d(2), nn.ReLU()] if pool_first else [nn.ReLU(), nn.MaxPool2d(2)]
    layers = [nn.Conv2d(1, 16, 3), *ends, nn.Conv2d(16, 32, 3), *ends, nn.Flatten()]
    layers += [nn.Linear(800, 120), nn.ReLU(), nn.Linear(120, 10)]
    return nn.Sequential(*layers).to(memory_format=layout)


def training(pool_first, layout, compiled=False):
    def make():
        net = network(pool_first, layout)
        optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, foreach=True)
        forward = torch.compile(net) if compiled else net
        images, labels = SPLITS[0]
        images = images.to(memory_format=layout)

        def epoch():
            order = torch.randperm(len(images))
            for start in range(0, len(images), BATCH):
                batch = order[start : start + BATCH]
                optimizer.zero_grad()
                nn.functional.cross_entropy(forward(images[batch]), labels[batch]).backward()
                optimizer.step()

        return epoch

    return make


def evaluation(pool_first, layout, batch, kind):
    def make():
        net = network(pool_first, layout).eval()
        if kind == "compiled":
            net = torch.compile(net)
        if kind == "frozen":
            example = torch.zeros(batch, 1, 28, 28).to(memory_format=layout)
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, example)))

        @torch.inference_mode()
        def both():
            for images, labels in SPLITS:
                images = images.to(memory_format=layout)
                for start in range(0, len(images), batch):
                    logits, expected = net(images[start : start + batch]), labels[start : start + batch]
                    nn.functional.cross_entropy(logits, expected, reduction="sum").item()
                    (logits.argmax(1) == expected).sum().item()

        return both

    return make


LAYOUTS = {"default layout": torch.contiguous_format, "channels_last": torch.channels_last}
ORDERS = {"ReLU first": False, "pooling first": True}
trainings, evaluations = {}, {}
for layout_name, layout in LAYOUTS.items():
    for order_name, order in ORDERS.items():
        trainings[f"{layout_name}, {order_name}"] = training(order, layout)
    trainings[f"compiled, {layout_name}, pooling first"] = training(True, layout, compiled=True)
    for batch in (100, 200, 1000):
        for kind in ("eager", "frozen"):
            evaluations[f"{kind}, {layout_name}, pooling first, batch {batch}"] = evaluation(True, layout, batch, kind)
    evaluations[f"eager, {layout_name}, ReLU first, batch 100"] = evaluation(False, layout, 100, "eager")
    evaluations[f"compiled, {layout_name}, pooling first, batch 200"] = evaluation(True, layout, 200, "compiled")
run(f"PyTorch {torch.__version__.split('+')[0]}", trainings, evaluations)
