"""Prints the rates of PyTorch's schedulers that the tests of cnn-train/src/schedule.rs have as constants."""

import torch

torch.set_default_dtype(torch.float64)


def rates(scheduler, lr, epochs, **settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = scheduler(optimizer, **settings)
    found = []
    for _ in range(epochs):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


for name, found in {
    "StepLR(step_size=3, gamma=0.3), lr 0.1": rates(torch.optim.lr_scheduler.StepLR, 0.1, 10, step_size=3, gamma=0.3),
    "CosineAnnealingLR(T_max=10), lr 0.1": rates(torch.optim.lr_scheduler.CosineAnnealingLR, 0.1, 10, T_max=10),
    "CosineAnnealingLR(T_max=7, eta_min=0.01), lr 0.1": rates(
        torch.optim.lr_scheduler.CosineAnnealingLR, 0.1, 7, T_max=7, eta_min=0.01
    ),
}.items():
    print(name, *found, sep="\n    ")
