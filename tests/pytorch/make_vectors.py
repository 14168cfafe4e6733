"""Makes `vectors.safetensors`: what PyTorch says this network computes, for `tests/pytorch_parity.rs` to compare with.

    pip install -r requirements.txt
    python make_vectors.py             # writes the file beside this script; a minute; the same bytes on every run

Everything is computed twice on the CPU from the same float32 images and parameters. The float64 result, rounded to
float32 at the end, is the witness: its error is far below anything float32 arithmetic can reach. PyTorch's own float32
result serves as the yardstick: its distance from the witness says how close an honest float32 computation comes.

Contents (names after the dot are the eight of `state_dict`; N images):
    pixels [N,28,28] u8, labels [N] u8   drawn below, none of them from a data set
    normalized [256] f32                 the network's input for each pixel value, in float32
    initial.*                            initial parameters
    logits [N,10], losses [N]            of the initial parameters
    gradient.*                           of the mean loss of the first batch
    batches [steps] u8                   lengths of the batches that both runs below take, one after another,
                                         beginning again with the first image when all have been seen
    RUN.settings [3] f64                 lr, momentum, weight decay of the run `recipe` or `fast`
    RUN.losses [steps]                   mean loss of each step, before its update
    RUN.parameters.*, RUN.momentum.*     after the last step
    float32_distance.NAME [1] f64        of each of the above: largest |float32 − float64| over largest |float64|
"""

import itertools
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from network import RECIPE, Network, normalize, optimizer

# Two passes over 15 images, the last batch of a pass shorter.
BATCHES = [6, 6, 3, 6, 6, 3]
IMAGES = 15
# The recipe's rate moves the parameters hardly more than a tolerance can show; the other moves them visibly.
RUNS = {"recipe": RECIPE, "fast": {**RECIPE, "lr": 0.05}}
# A pooling window or a ReLU whose decision hangs on less than this may go either way in float32.
DECISION_NOISE = 1e-6
OUTPUT = pathlib.Path(__file__).with_name("vectors.safetensors")


def special_images():
    rows, columns = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    black, white = torch.zeros(28, 28), torch.full((28, 28), 255)
    corner = torch.where((rows == 0) & (columns == 27), 255, 0)
    checkerboard, ramp = 255 * ((rows + columns) % 2), 9 * columns
    return [image.to(torch.uint8) for image in (black, white, corner, checkerboard, ramp)]


def draw_strokes():
    """Two curves, each through three random points, drawn with a soft pen."""
    pixels = torch.arange(28.0)
    t = torch.linspace(0, 1, 40).view(-1, 1)
    ink = torch.zeros(28, 28)
    for _ in range(2):
        a, b, c = 4 + 20 * torch.rand(3, 1, 2)
        row, column = ((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c).T.unsqueeze(-1)
        down, across = torch.exp(-((pixels - row) ** 2) / 2.5), torch.exp(-((pixels - column) ** 2) / 2.5)
        ink = torch.maximum(ink, (down.unsqueeze(2) * across.unsqueeze(1)).amax(0))
    return (255 * ink).round().to(torch.uint8)


class NoisyDecisions(Network):
    """Takes every decision of ReLU and pooling on slightly wrong values, but passes on the right ones."""

    def noisy(self, values):
        return values + DECISION_NOISE * (2 * torch.rand_like(values) - 1)

    def relu(self, values):
        return torch.where(self.noisy(values) > 0, values, 0)

    def relu_pool(self, unpooled):
        noisy = self.noisy(unpooled)
        _, winners = F.max_pool2d(F.relu(noisy), 2, return_indices=True)
        activated = torch.where(noisy > 0, unpooled, 0)
        return activated.flatten(2).gather(2, winners.flatten(2)).view(winners.shape)


def like(network, dtype=torch.float64, kind=Network):
    copy = kind().to(dtype)
    copy.load_state_dict(network.state_dict())
    return copy


def gradient(network, images, labels):
    """Mean loss and its gradient by name; images take the network's type."""
    network.zero_grad()
    loss = F.cross_entropy(network(images.to(network.fc2.bias.dtype)), labels)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in network.named_parameters()}


def distance(approximate, exact):
    return ((approximate.double() - exact).abs().max() / exact.abs().max()).item()


class NearTie(Exception):
    """A gradient that hangs on a decision which float32 may take the other way."""


def check_decisions(network, images, labels):
    """In float32 a tie may break differently. That must not matter: breaking all ties, and all that are nearly ties,
    at random changes no gradient by more than the noise itself. (Exact ties between equal patches do no harm.)"""
    _, expected = gradient(network, images, labels)
    for _ in range(16):
        _, noisy = gradient(like(network, kind=NoisyDecisions), images, labels)
        if any(distance(noisy[name], expected[name]) > DECISION_NOISE for name in expected):
            raise NearTie


def draw(seed):
    """Initial parameters, images and labels."""
    torch.manual_seed(seed)
    network = Network()
    images, labels = special_images(), torch.randint(10, (IMAGES,))
    while len(images) < IMAGES:
        image = draw_strokes()
        try:
            check_decisions(like(network), normalize(image.unsqueeze(0)), labels[len(images)].view(1))
            images.append(image)
        except NearTie:
            pass
    order = torch.randperm(IMAGES)
    return network, torch.stack(images)[order], labels[order]


def batches(images, labels):
    start = 0
    for length in BATCHES:
        yield images[start : start + length], labels[start : start + length]
        start = (start + length) % IMAGES


def train(network, settings, images, labels, check=False):
    """All steps of a run: losses, parameters and momentum."""
    network = like(network, network.fc2.bias.dtype)
    sgd = optimizer(network, settings)
    losses = []
    for batch in batches(images, labels):
        if check:
            check_decisions(network, *batch)
        losses.append(gradient(network, *batch)[0])
        sgd.step()
    result = {"losses": torch.stack(losses)}
    for name, parameter in network.named_parameters():
        result[f"parameters.{name}"] = parameter.detach().clone()
        result[f"momentum.{name}"] = sgd.state[parameter]["momentum_buffer"].clone()
    return result


def compute(network, images, labels, check=False):
    """Everything the file holds, in the network's own type."""
    with torch.no_grad():
        logits = network(images.to(network.fc2.bias.dtype))
    result = {"logits": logits, "losses": F.cross_entropy(logits, labels, reduction="none")}
    _, gradients = gradient(network, images[: BATCHES[0]], labels[: BATCHES[0]])
    result |= {f"gradient.{name}": value for name, value in gradients.items()}
    for run, settings in RUNS.items():
        steps = train(network, settings, images, labels, check)
        result |= {f"{run}.{name}": value for name, value in steps.items()}
    return result


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for seed in itertools.count():
        network, pixels, labels = draw(seed)
        images = normalize(pixels)
        try:
            double = compute(like(network), images, labels, check=True)
            break
        except NearTie:
            print(f"seed {seed} has a near-tie, next")
    single = compute(network, images, labels)

    vectors = {
        "pixels": pixels,
        "labels": labels.to(torch.uint8),
        "normalized": normalize(torch.arange(256).view(256, 1, 1)).flatten(),
        "batches": torch.tensor(BATCHES, dtype=torch.uint8),
    }
    vectors |= {f"initial.{name}": value.detach() for name, value in network.named_parameters()}
    for run, settings in RUNS.items():
        values = [settings[key] for key in ("lr", "momentum", "weight_decay")]
        vectors[f"{run}.settings"] = torch.tensor(values, dtype=torch.float64)
    for name, exact in double.items():
        vectors[name] = exact.float()
        yardstick = distance(single[name], exact)
        vectors[f"float32_distance.{name}"] = torch.tensor([yardstick], dtype=torch.float64)
        print(f"{name:32} largest {exact.abs().max().item():9.3e}   float32 is off by {yardstick:.1e} of it")
    save_file(vectors, OUTPUT, metadata={"made_with": f"torch {torch.__version__}, seed {seed}"})
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size} bytes, torch {torch.__version__}, seed {seed}")


if __name__ == "__main__":
    main()
