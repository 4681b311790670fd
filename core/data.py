"""What is known of data, and the map between stored items and what a model sees.

Data with ``levels`` are whole numbers k in 0, ..., levels - 1. Uniform dequantisation (Theis et al., 2016) adds u in [0, 1) and scales,

    x = low + (high - low) (k + u) / levels,      log P(k) >= E_u[log p(x)] + D log((high - low) / levels),

and that offset, computed from range and levels, is all that bits/dim need. Without dequantisation u = k / (levels - 1), so that the
ends of the scale are the ends of the range. Other data are used as they are.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, final

import attrs
import torch
from torch import Tensor

from .errors import UserError
from .mixture import Mixture
from .noise import Noise

Split: TypeAlias = Literal["train", "test"]

NO_CLASS = -1  # the label of an item whose class is not told


@final
@attrs.frozen(kw_only=True)
class DataSpec:
    """Shape of one item (no batch axis), the range the model sees, the number of levels and classes, each None where there is none."""

    shape: tuple[int, ...]
    range: tuple[float, float] | None = None
    levels: int | None = None
    classes: int | None = None

    @property
    def dimension(self) -> int:
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether an item is a picture (1 or 3 channels, H, W)."""
        return len(self.shape) == 3 and self.shape[0] in (1, 3)

    @property
    def log_volume(self) -> float:
        """The offset D log((high - low) / levels) from a log-density to a log-probability, in nats; 0 without levels."""
        if self.levels is None or self.range is None:
            return 0.0
        low, high = self.range
        return self.dimension * math.log((high - low) / self.levels)

    def scale(self, items: Tensor, noise: Noise | None = None) -> Tensor:
        """Stored items (B, *shape) as the model sees them, float32; dequantised where a noise is given and the data have levels."""
        x = items.float()
        if self.levels is None or self.range is None:
            return x
        low, high = self.range
        unit = x / (self.levels - 1) if noise is None else (x + noise.uniform_like(x)) / self.levels
        return low + (high - low) * unit

    def quantise(self, x: Tensor) -> Tensor:
        """The nearest stored items of what a model made, int64 where the data have levels; the inverse of ``scale`` without noise."""
        if self.levels is None or self.range is None:
            return x
        low, high = self.range
        return ((x - low) / (high - low) * (self.levels - 1)).round().clamp(0, self.levels - 1).long()

    def to_bytes(self, items: Tensor) -> Tensor:
        """Stored items (B, *shape) as uint8: level k as round(255 k / (levels - 1)), a number by its place in the range, whose ends those
        outside become. Raises ValueError for data without a range."""
        if self.range is None:
            raise ValueError("the data have no range to make bytes of")
        if self.levels == 256:
            return items.to(torch.uint8)
        low, high = self.range
        unit = (items.double() - low) / (high - low) if self.levels is None else items.double() / (self.levels - 1)
        return (255 * unit.clamp(0, 1)).round().to(torch.uint8)

    def check(self, items: Tensor, first: int = 0) -> None:
        """Raises ValueError, in one line, for the first value of stored items (B, *shape) that is not as declared; they are counted from
        ``first`` on."""
        if tuple(items.shape[1:]) != self.shape:
            raise ValueError(f"items have the shape {tuple(items.shape[1:])}, declared is {self.shape}")
        values = items.double()
        good = values.isfinite()
        declared = "a finite number"
        if self.levels is not None:
            good = good & (values >= 0) & (values <= self.levels - 1) & (values.floor() == values)
            declared = f"one of the levels 0, ..., {self.levels - 1}"
        elif self.range is not None:
            good = good & (values >= self.range[0]) & (values <= self.range[1])
            declared = f"a number in the range {self.range[0]:g} to {self.range[1]:g}"
        if not bool(good.all()):
            item, *place = (int(index) for index in (~good).nonzero()[0])
            raise ValueError(f"item {first + item} holds {items[item][tuple(place)].item()!r} at {tuple(place)}; expected {declared}")


class Items(ABC):
    """One split of a data set, read by position."""

    spec: DataSpec
    law: Mixture | None = None  # the exact law of the items, where it is known
    labels: Tensor | None = None  # the class of each item (N,) int64, where there are classes

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The stored items at these positions: ``x`` (B, *shape), whole numbers where there are levels, and the model's further inputs."""


@final
class TensorItems(Items):
    """Items held in memory: ``x`` (N, *) and the model's further inputs, with the same first axis."""

    def __init__(self, spec: DataSpec, tensors: Mapping[str, Tensor], law: Mixture | None = None, labels: Tensor | None = None) -> None:
        if tuple(tensors["x"].shape[1:]) != spec.shape:
            raise ValueError(f"items of shape {tuple(tensors['x'].shape[1:])} do not match the declared {spec.shape}")
        self.spec, self.tensors, self.law, self.labels = spec, dict(tensors), law, labels

    def __len__(self) -> int:
        return len(self.tensors["x"])

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = torch.as_tensor(indices)
        return {key: value[rows] for key, value in self.tensors.items()}


@final
class Subset(Items):
    """The items at these positions of others."""

    def __init__(self, items: Items, positions: Sequence[int]) -> None:
        self.spec, self.law, self.items, self.positions = items.spec, items.law, items, list(positions)
        self.labels = None if items.labels is None else items.labels[torch.as_tensor(self.positions)]

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        return self.items.batch([self.positions[i] for i in indices])


@final
class Reading(Items):
    """Items of the data set ``name``: where one cannot be read, the error is the user's, and names the set."""

    def __init__(self, items: Items, name: str) -> None:
        self.spec, self.law, self.labels, self.items, self.name = items.spec, items.law, items.labels, items, name

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        try:
            return self.items.batch(indices)
        except (OSError, ValueError) as error:
            raise UserError(f"data {self.name!r}: {error}") from error


@final
class Labelled(Items):
    """Items with their classes as a further input, ``label`` (B,) int64. Raises ValueError for items without."""

    def __init__(self, items: Items) -> None:
        if items.labels is None:
            raise ValueError("the data have no labels")
        self.spec, self.law, self.labels, self.items = items.spec, items.law, items.labels, items

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        assert self.labels is not None
        return {**self.items.batch(indices), "label": self.labels[torch.as_tensor(indices)]}
