"""The nearest training items of samples: whether a model copies what it was trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .data import Items

_BLOCK = 2048  # items that are compared at a time


class Neighbours(NamedTuple):
    """Of each of n samples the k nearest items, the nearest first: Euclidean distances (n, k) and positions (n, k)."""

    distances: Tensor
    positions: Tensor


def nearest(x: Tensor, items: Items, count: int) -> Neighbours:
    """Of the samples x (n, *shape) in the model's range, compared with the items as the model sees them, without dequantisation.

    Raises ValueError where there are fewer than ``count`` items.
    """
    if count > len(items):
        raise ValueError(f"{count} neighbours were asked of {len(items)} items")
    rows = x.flatten(1).double()  # differences of squares need the digits
    best = Neighbours(torch.empty(len(x), 0, dtype=torch.float64), torch.empty(len(x), 0, dtype=torch.int64))
    for start in range(0, len(items), _BLOCK):
        places: Sequence[int] = range(start, min(start + _BLOCK, len(items)))
        others = items.spec.scale(items.batch(places)["x"]).flatten(1).double()
        distances = torch.cat((best.distances, torch.cdist(rows, others)), 1)
        positions = torch.cat((best.positions, torch.as_tensor(places).expand(len(x), -1)), 1)
        kept, order = distances.topk(min(count, distances.shape[1]), largest=False)
        best = Neighbours(kept, positions.gather(1, order))
    return best
