"""The training loss on items that were not trained on, with noise that is the same every time."""

from collections.abc import Callable

import torch
from torch import Tensor

from .batches import Batch
from .data import Items
from .noise import Noise, SeededNoise


def heldout_losses(
    loss: Callable[[Batch, Noise], Tensor],
    items: Items,
    *,
    seed: int,
    batch: int,
    dequantise: bool,
    draws: int,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world: int = 1,
) -> Tensor:
    """The loss of each item, a mean over ``draws`` of noise and time: (N,) float64, on the CPU. Of ``world`` processes, process ``rank``
    evaluates every ``world``-th batch, and has 0 for the others."""
    total = torch.zeros(len(items), dtype=torch.float64)
    with torch.no_grad():
        for draw in range(draws):
            for start in range(rank * batch, len(items), world * batch):
                places = range(start, min(start + batch, len(items)))
                noise = SeededNoise(seed, [draw * len(items) + i for i in places], "evaluation")
                given = {key: value.to(device) for key, value in items.batch(places).items()}
                given["x"] = items.spec.scale(given["x"], noise if dequantise else None)
                total[places.start : places.stop] += loss(given, noise).double().cpu()
    return total / draws
