"""A run's event files, read by TensorBoard's own reader, against its metrics.csv: `read_tensorboard.py LOGS METRICS`."""

import csv
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logs, metrics = sys.argv[1:]
events = EventAccumulator(logs)
events.Reload()
rows = list(csv.DictReader(open(metrics)))
scalars = {"loss/train": "train_loss", "loss/test": "test_loss", "accuracy/train": "train_accuracy",
           "accuracy/test": "test_accuracy"}
assert sorted(events.Tags()["scalars"]) == sorted([*scalars, "learning_rate"]), events.Tags()
for tag, column in scalars.items():
    found = [(event.step, np.float32(event.value)) for event in events.Scalars(tag)]
    assert found == [(int(row["epoch"]), np.float32(row[column])) for row in rows], tag
print(f"TensorBoard: {len(scalars) + 1} curves of {len(rows)} epochs")
