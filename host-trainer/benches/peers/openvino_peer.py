"""OpenVINO, inference alone, with the program's own export, in f32."""

import sys

import openvino

from data import loss_and_correct, read_splits
from peer import run

data, model, threads = sys.argv[1:]
SPLITS = read_splits(data)


def evaluation(length, hint):
    def make():
        core = openvino.Core()
        network = core.read_model(model)
        network.reshape([length, 1, 28, 28])
        settings = {"INFERENCE_NUM_THREADS": int(threads), "PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(network, "CPU", settings).create_infer_request()

        def both():
            for images, labels in SPLITS:
                for start in range(0, len(images), length):
                    result = request.infer([images[start : start + length]], share_inputs=True, share_outputs=True)
                    loss_and_correct(result[0], labels[start : start + length])

        return both

    return make


HINTS = ("LATENCY", "THROUGHPUT")
run(
    f"OpenVINO {openvino.__version__.split('-')[0]}",
    {},
    {f"{hint.lower()}, batch {n}": evaluation(n, hint) for hint in HINTS for n in (20, 50, 100, 200, 1000)},
)
