"""Makes `onnx/*.onnx.gz`: this network as PyTorch's exporters write it, for `tests/pytorch_parity.rs` to import.

    pip install -r requirements.txt
    python make_onnx.py

Parameter i of the flat array is (i mod 251) / 256, so that the files pack well and no two places are mistaken for each
other.
"""

import gzip
import pathlib
import tempfile

import onnx
import torch
from torch.nn import functional as F

from network import Network


class WithView(Network):
    """As many write it: with `view`, here over a batch of a known length."""

    def forward(self, images):
        pool = self.relu_pool(self.conv2(self.relu_pool(self.conv1(images))))
        return self.fc2(self.relu(self.fc1(pool.view(-1, 32 * 5 * 5))))


class WithDropout(Network):
    def forward(self, images):
        pool = self.relu_pool(self.conv2(self.relu_pool(self.conv1(images))))
        hidden = self.relu(self.fc1(pool.view(pool.size(0), -1)))
        return self.fc2(F.dropout(hidden, 0.5, self.training))


FOLDER = pathlib.Path(__file__).parent / "onnx"
IMAGE = torch.zeros(1, 1, 28, 28)
ANY_LENGTH = dict(input_names=["image"], dynamic_axes={"image": {0: "batch"}})
FILES = {
    "torchscript-9": (Network, dict(dynamo=False, opset_version=9)),
    "torchscript-17-view": (WithView, dict(dynamo=False, opset_version=17)),
    "torchscript-20-any-length": (WithDropout, dict(dynamo=False, opset_version=20, **ANY_LENGTH)),
    "dynamo-18": (Network, dict(dynamo=True, opset_version=18, external_data=False)),
    "dynamo-23-any-length": (
        WithDropout,
        dict(dynamo=True, opset_version=23, external_data=False, dynamic_shapes=({0: torch.export.Dim("batch")},)),
    ),
    "external": (Network, dict(dynamo=True, external_data=True)),
}



def without_paths(file):
    """The newer exporter notes where in which script a node was made: nobody else's business."""
    model = onnx.ModelProto.FromString(file)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if not entry.key.endswith("stack_trace")]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model.SerializeToString()


FOLDER.mkdir(exist_ok=True)
for name, (kind, settings) in FILES.items():
    network = kind().eval()
    first = 0
    with torch.no_grad():
        for tensor in network.parameters():
            places = torch.arange(first, first + tensor.numel())
            tensor.copy_(((places % 251) / 256).view_as(tensor))
            first += tensor.numel()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.onnx"
        torch.onnx.export(network, (IMAGE,), path, **settings)
        packed = gzip.compress(without_paths(path.read_bytes()), mtime=0)
    (FOLDER / f"{name}.onnx.gz").write_bytes(packed)
