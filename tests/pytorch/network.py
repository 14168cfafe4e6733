"""The network and the recipe of this project, in PyTorch."""

from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

RECIPE = dict(lr=0.0001, momentum=0.9, weight_decay=0.005)


class Network(nn.Module):
    """Its `state_dict` names, shapes and order are those of cnn-core's parameters."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.fc1 = nn.Linear(800, 120)
        self.fc2 = nn.Linear(120, 10)

    def relu(self, values):
        return F.relu(values)

    def relu_pool(self, unpooled):
        return F.max_pool2d(self.relu(unpooled), 2)

    def forward(self, images):
        pool1 = self.relu_pool(self.conv1(images))
        pool2 = self.relu_pool(self.conv2(pool1))
        return self.fc2(self.relu(self.fc1(pool2.flatten(1))))


def normalize(pixels):
    """Bytes to what the network sees, as torchvision's `ToTensor()` and `Normalize((0.5,), (0.5,))` compute it in
    float32. `pixels` has the shape [images, 28, 28]; the result one channel more."""
    return pixels.float().div(255).sub(0.5).div(0.5).unsqueeze(1)


def optimizer(network, settings):
    """PyTorch's SGD in its plain form, one parameter after another."""
    return SGD(network.parameters(), foreach=False, fused=False, **settings)
