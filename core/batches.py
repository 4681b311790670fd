"""Training batches whose content is a pure function of (seed, step): nothing is to be restored when a run goes on.

The items are read in the order of one permutation an epoch; position p = step * batch + i is item permutation(epoch)[p mod n] of
epoch p div n, and its random numbers come from the stream p: first whether it is mirrored, where pictures are, then its dequantisation.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from .data import DataSpec, Items, TensorItems
from .noise import Noise, SeededNoise, permutation

Batch: TypeAlias = dict[str, Tensor]
Source: TypeAlias = Callable[[int], tuple[Batch, Noise]]  # step -> the model's inputs, x in its range, and the noise that goes on


@final
class Batches:
    """Batches of ``size`` items, in the model's range; of each, this process takes its share ``rank`` of ``world``."""

    def __init__(
        self,
        items: Items,
        size: int,
        seed: int,
        *,
        dequantise: bool = True,
        flip: bool = False,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if size % world:
            raise ValueError(f"a batch of {size} cannot be shared by {world} processes: take a multiple of {world}")
        self.items, self.size, self.seed, self.dequantise = items, size, seed, dequantise
        self.flip, self.rank, self.share, self.device = flip, rank, size // world, device
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> tuple[Batch, Noise]:
        first = step * self.size + self.rank * self.share
        positions = range(first, first + self.share)
        noise = SeededNoise(self.seed, positions, "training")
        batch = {key: value.to(self.device) for key, value in self.items.batch([self._item(p) for p in positions]).items()}
        x = flipped(batch["x"], noise) if self.flip else batch["x"]
        batch["x"] = self.items.spec.scale(x, noise if self.dequantise else None)
        return batch, noise

    def _item(self, position: int) -> int:
        epoch, place = divmod(position, len(self.items))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, permutation(self.seed, epoch, len(self.items))
        return int(self._order[place])


@final
class CollatedItems(Items):
    """A torch Dataset as items: its elements are tensors, tuples whose first entry is x, or dicts with an ``x``."""

    def __init__(self, dataset: TorchDataset[Any]) -> None:
        self.dataset = dataset
        self.spec = DataSpec(shape=tuple(self.batch([0])["x"].shape[1:]))

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def batch(self, indices: Any) -> Batch:
        return inputs_of(default_collate([self.dataset[i] for i in indices]))


def flipped(x: Tensor, noise: Noise) -> Tensor:
    """Pictures (B, C, H, W), each mirrored from left to right with probability 1/2. Raises ValueError for data that are no pictures."""
    if not DataSpec(shape=tuple(x.shape[1:])).is_image:
        raise ValueError(f"flip = true mirrors pictures (1 or 3 channels, H, W); the data have {tuple(x.shape[1:])}")
    mirrored = noise.integers(2, (len(x),), device=x.device).bool()
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def source_of(
    data: Tensor | Items | TorchDataset[Any] | DataLoader[Any], size: int, seed: int, device: torch.device | str, *, flip: bool = False
) -> Source:
    """Batches of whatever holds the data: a tensor (N, *), items, a torch Dataset, or a DataLoader (which keeps its batches and order)."""
    if isinstance(data, DataLoader):
        return _from_loader(data, seed, device, flip)
    if isinstance(data, Tensor):
        data = TensorItems(DataSpec(shape=tuple(data.shape[1:])), {"x": data})
    items = data if isinstance(data, Items) else CollatedItems(data)
    return Batches(items, size, seed, flip=flip, device=device)


def inputs_of(element: Any) -> Batch:
    """The model's inputs in an element of a torch Dataset: x, and what a dict holds beside it."""
    if isinstance(element, Mapping):
        return dict(element)
    return {"x": element[0] if isinstance(element, (tuple, list)) else element}


def _from_loader(loader: DataLoader[Any], seed: int, device: torch.device | str, flip: bool) -> Source:
    def endless() -> Iterator[Batch]:
        while True:
            yield from (inputs_of(element) for element in loader)

    stream, drawn = endless(), 0

    def source(step: int) -> tuple[Batch, Noise]:
        nonlocal drawn
        batch = {key: value.to(device) for key, value in next(stream).items()}
        count = len(batch["x"])
        noise = SeededNoise(seed, range(drawn, drawn + count), "training")
        drawn += count
        x = flipped(batch["x"], noise) if flip else batch["x"]
        return {**batch, "x": x.float()}, noise

    return source
