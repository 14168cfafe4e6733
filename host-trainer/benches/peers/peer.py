"""What every peer is: a program that says what it can do and then does it, as often as it is asked to.

    python PEER.py DATA MODEL.onnx THREADS

Its first line is JSON: its name, and the names of its settings for training and for evaluation. Each line that it reads is
`training SETTING` (an epoch of the recipe: 60,000 images, batches of 100, SGD) or `evaluation SETTING` (loss and accuracy of
all 70,000 images), each that it writes then the seconds that this took. A setting that fails says why on stderr and gives
`nan`.
"""

import json
import sys
import time

BATCH = 100
RATE, MOMENTUM, DECAY = 1e-4, 0.9, 0.005


def run(name, training, evaluation):
    """`training` and `evaluation`: functions that make the action of a setting, by its name. Made actions stay."""
    print(json.dumps({"name": name, "training": list(training), "evaluation": list(evaluation)}), flush=True)
    makers, actions = {"training": training, "evaluation": evaluation}, {}
    for line in sys.stdin:
        what, setting = line.rstrip("\n").split(" ", 1)
        try:
            if (what, setting) not in actions:
                actions[what, setting] = makers[what][setting]()
                # Whatever is compiled or filled the first time is not counted.
                actions[what, setting]()
            start = time.perf_counter()
            actions[what, setting]()
            seconds = time.perf_counter() - start
        except Exception as error:  # noqa: BLE001: a peer fails in its own ways
            print(f"{name}, {what}, {setting}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            seconds = float("nan")
        print(seconds, flush=True)
