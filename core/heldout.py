"""The training objective on items that were not trained on, with noise that is the same every time."""

import torch
from torch import Tensor

from .data import Items
from .interfaces import Objective
from .noise import SeededNoise
from .score import Score


def heldout_losses(
    objective: Objective,
    score: Score,
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
                inputs = {key: value.to(device) for key, value in items.batch(places).items()}
                x0 = items.spec.scale(inputs.pop("x"), noise if dequantise else None)
                total[places.start : places.stop] += objective.loss(score.given(**inputs), x0, noise).double().cpu()
    return total / draws
