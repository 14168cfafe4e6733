"""ONNX Runtime, inference alone, with the program's own export."""

import sys

import onnxruntime

from data import loss_and_correct, read_splits
from peer import run

data, model, threads = sys.argv[1:]
SPLITS = read_splits(data)


def evaluation(length):
    def make():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(threads)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def both():
            for images, labels in SPLITS:
                for start in range(0, len(images), length):
                    (logits,) = session.run(None, {"image": images[start : start + length]})
                    loss_and_correct(logits, labels[start : start + length])

        return both

    return make


run(f"ONNX Runtime {onnxruntime.__version__}", {}, {f"batch {n}": evaluation(n) for n in (20, 50, 100, 200, 1000)})
