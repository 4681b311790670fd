"""Training batches whose content is a pure function of (seed, step): nothing is to be restored when a run goes on.

The items are read in the order of one permutation an epoch; position p = step * batch + i is item permutation(epoch)[p mod n] of
epoch p div n, and its random numbers come from the stream p: first whether it is mirrored, where pictures are, then its dequantisation,
then whether its label is hidden, where labels are.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from .data import NO_CLASS, DataSpec, Items, Labelled, TensorItems
from .noise import Noise, SeededNoise, permutation

Batch: TypeAlias = dict[str, Tensor]
Source: TypeAlias = Callable[[int], tuple[Batch, Noise]]  # step -> the model's inputs, x in its range, and the noise that goes on

_EMPTY = "there is nothing to train on: the data hold no item, or the DataLoader gives no batch"


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
        label_dropout: float = 0.0,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if size % world:
            raise ValueError(f"a batch of {size} cannot be shared by {world} processes: take a multiple of {world}")
        self.items, self.size, self.seed, self.dequantise = items, size, seed, dequantise
        self.flip, self.label_dropout, self.rank, self.share, self.device = flip, label_dropout, rank, size // world, device
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> tuple[Batch, Noise]:
        first = step * self.size + self.rank * self.share
        positions = range(first, first + self.share)
        noise = SeededNoise(self.seed, positions, "training")
        batch = {key: value.to(self.device) for key, value in self.items.batch([self._item(p) for p in positions]).items()}
        x = flipped(batch["x"], noise) if self.flip else batch["x"]
        batch["x"] = self.items.spec.scale(x, noise if self.dequantise else None)
        return (hidden(batch, self.label_dropout, noise) if self.label_dropout else batch), noise

    def _item(self, position: int) -> int:
        epoch, place = divmod(position, len(self.items))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, permutation(self.seed, epoch, len(self.items))
        return int(self._order[place])


@final
class CollatedItems(Items):
    """A torch Dataset as items: its elements are tensors, tuples whose first entry is x and whose second, with ``labels``, is the label,
    or dicts with an ``x``."""

    def __init__(self, dataset: TorchDataset[Any], *, labels: bool = False) -> None:
        self.dataset, self.with_labels = dataset, labels
        self.spec = DataSpec(shape=tuple(self.batch([0])["x"].shape[1:]))

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def batch(self, indices: Any) -> Batch:
        return inputs_of(default_collate([self.dataset[i] for i in indices]), labels=self.with_labels)


def flipped(x: Tensor, noise: Noise) -> Tensor:
    """Pictures (B, C, H, W), each mirrored from left to right with probability 1/2. Raises ValueError for data that are no pictures."""
    if not DataSpec(shape=tuple(x.shape[1:])).is_image:
        raise ValueError(f"flip = true mirrors pictures (1 or 3 channels, H, W); the data have {tuple(x.shape[1:])}")
    mirrored = noise.integers(2, (len(x),), device=x.device).bool()
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def hidden(batch: Batch, share: float, noise: Noise) -> Batch:
    """The batch with this share of its labels hidden: -1, no class. Raises ValueError where it has none."""
    if "label" not in batch:
        raise ValueError(f"label_dropout = {share:g} hides labels, and the batches have none")
    label = batch["label"]
    return {**batch, "label": torch.where(noise.uniform((len(label),), device=label.device) < share, NO_CLASS, label)}


def source_of(
    data: Tensor | Items | TorchDataset[Any] | DataLoader[Any],
    size: int,
    seed: int,
    device: torch.device | str,
    *,
    dequantise: bool = True,
    flip: bool = False,
    labels: bool = False,
    label_dropout: float = 0.0,
) -> Source:
    """Batches of whatever holds the data: a tensor (N, *), items, a torch Dataset, or a DataLoader (which keeps its batches and order).

    Raises ValueError where it holds none.
    """
    if isinstance(data, DataLoader):
        return _from_loader(data, seed, device, flip, labels, label_dropout)
    if len(data) == 0:  # type: ignore[arg-type]
        raise ValueError(_EMPTY)
    if isinstance(data, Tensor):
        data = TensorItems(DataSpec(shape=tuple(data.shape[1:])), {"x": data})
    items: Items = data if isinstance(data, Items) else CollatedItems(data, labels=labels)
    items = Labelled(items) if labels and "label" not in items.batch([0]) else items
    return Batches(items, size, seed, dequantise=dequantise, flip=flip, label_dropout=label_dropout, device=device)


def inputs_of(element: Any, *, labels: bool = False) -> Batch:
    """The model's inputs in an element of a torch Dataset: x, and what a dict holds beside it; with ``labels`` a pair's second entry too.

    Raises ValueError where there is none.
    """
    pair = isinstance(element, (tuple, list))
    found = dict(element) if isinstance(element, Mapping) else {"x": element[0] if pair else element}
    if labels and pair and len(element) > 1:
        found["label"] = torch.as_tensor(element[1]).long()
    if labels and "label" not in found:
        raise ValueError("labels are asked for, and the data have none: give Items with labels, pairs, or dicts with a label")
    return found


def _from_loader(loader: DataLoader[Any], seed: int, device: torch.device | str, flip: bool, labels: bool, label_dropout: float) -> Source:
    def endless() -> Iterator[Batch]:
        while True:
            element = None
            for element in loader:
                yield inputs_of(element, labels=labels)
            if element is None:
                raise ValueError(_EMPTY)

    stream, drawn = endless(), 0

    def source(step: int) -> tuple[Batch, Noise]:
        nonlocal drawn
        batch = {key: value.to(device) for key, value in next(stream).items()}
        count = len(batch["x"])
        noise = SeededNoise(seed, range(drawn, drawn + count), "training")
        drawn += count
        x = flipped(batch["x"], noise) if flip else batch["x"]
        batch = {**batch, "x": x.float()}
        return (hidden(batch, label_dropout, noise) if label_dropout else batch), noise

    return source
