"""An exported ONNX file against the host's logits: onnx's checker takes it, and onnxruntime's logits are as near as rounding
allows. `check_onnx.py MODEL.onnx FOLDER FINGERPRINT`, the folder as the example `logit_vectors` leaves it."""

import sys

import numpy as np
import onnx
import onnxruntime

path, folder, fingerprint = sys.argv[1:]
model = onnx.load(path)
onnx.checker.check_model(model, full_check=True)
metadata = {entry.key: entry.value for entry in model.metadata_props}
assert metadata["fingerprint"] == fingerprint, metadata
assert metadata["input"].startswith("(pixel / 255 - 0.5) / 0.5"), metadata

images = np.fromfile(f"{folder}/images.bin", np.uint8).reshape(-1, 1, 28, 28)
expected = np.fromfile(f"{folder}/logits.bin", "<f4").reshape(-1, 10)
inputs = ((images.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).astype(np.float32)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
(found,) = session.run(None, {"image": inputs})

# The tolerance of tests/pytorch_parity.rs, for the forward pass alone: sums of K rounded terms are hardly ever further from
# the exact value than 4 * sqrt(K) * u relative to the largest of the tensor (Higham and Mary,
# https://doi.org/10.1137/18M1226312), u = 2^-24, and the longest chain has K = 10 + 145 + 801 + 121 terms. Both sides may be
# that far off, independently of each other.
TOLERANCE = 2**0.5 * 4 * (10 + 145 + 801 + 121) ** 0.5 * 2.0**-24
distance = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()
assert found.shape == expected.shape and distance <= TOLERANCE, distance
equal = (found.argmax(1) == expected.argmax(1)).sum()
print(f"onnxruntime {onnxruntime.__version__}, opset {model.opset_import[0].version}: {found.size} logits, "
      f"{distance:.1e} off where {TOLERANCE:.1e} is allowed; {equal} of {len(images)} predictions are equal")
