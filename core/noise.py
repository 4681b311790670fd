"""Randomness: every random number comes from a ``Noise``, one stream for each sample, keyed by (seed, sample index, role).

A sample's draws do not depend on its batch-mates, so sample 7 is the same whatever the count, the order or the number of processes. Torch's
CPU generator reads only the low 32 bits of a seed: role (4 bits) and index (28 bits) are packed into 32 bits and sent through a
bijection that is keyed by the run's seed, so no two streams of a run coincide."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, TypeAlias, final, get_args

import torch
from torch import Tensor

Role: TypeAlias = Literal["sample", "likelihood", "condition", "training", "data", "initialisation", "evaluation", "dropout"]

_ROLES = {role: number for number, role in enumerate(get_args(Role))}
_INDEX_BITS = 28
_MASK = (1 << 32) - 1
_AHEAD = 1024  # numbers of a sample in one block


def stream_seed(seed: int, index: int, role: Role) -> int:
    """The 32-bit seed of one stream; different for all (index, role) with index < 2^28 under one seed."""
    page, low = divmod(index, 1 << _INDEX_BITS)
    digest = hashlib.sha256(f"scoresde {seed} {page}".encode()).digest()
    word = (_ROLES[role] << _INDEX_BITS) | low
    for start in range(0, 16, 4):
        word ^= int.from_bytes(digest[start : start + 4], "little")
        word = word * 0x9E3779B1 & _MASK
        word ^= word >> 15
    return word


class Noise(ABC):
    """Draws random numbers for a batch; the first axis of every shape is the sample axis."""

    @abstractmethod
    def normal(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        """Standard normal numbers of the shape (B, *)."""

    @abstractmethod
    def uniform(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        """Numbers uniform in [0, 1) of the shape (B, *)."""

    @abstractmethod
    def integers(self, high: int, shape: Sequence[int], *, device: torch.device | str = "cpu") -> Tensor:
        """Integers uniform in 0, ..., high - 1 of the shape (B, *), int64."""

    def normal_like(self, x: Tensor) -> Tensor:
        return self.normal(x.shape, dtype=x.dtype, device=x.device)

    def uniform_like(self, x: Tensor) -> Tensor:
        return self.uniform(x.shape, dtype=x.dtype, device=x.device)

    def rademacher_like(self, x: Tensor) -> Tensor:
        """Signs -1 or +1 with equal probability, of the shape and dtype of x."""
        return self.integers(2, x.shape, device=x.device).to(x.dtype).mul_(2).sub_(1)


@final
class SeededNoise(Noise):
    """The streams of the samples ``indices`` of a run with this ``seed``.

    A call of a generator costs as much as hundreds of numbers. Small draws are therefore made ahead, in blocks that double while draws of
    the same kind and shape go on; what a sample gets depends on its own stream alone all the same.
    """

    def __init__(self, seed: int, indices: Sequence[int], role: Role) -> None:
        self._seeds = [stream_seed(seed, index, role) for index in indices]
        self._generators: list[torch.Generator] = []
        self._blocks: dict[Hashable, tuple[Tensor, int]] = {}

    def normal(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return self._draw("normal", lambda row, generator: row.normal_(generator=generator), shape, dtype, device)

    def uniform(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return self._draw("uniform", lambda row, generator: row.uniform_(generator=generator), shape, dtype, device)

    def integers(self, high: int, shape: Sequence[int], *, device: torch.device | str = "cpu") -> Tensor:
        return self._draw(f"below {high}", lambda row, generator: row.random_(0, high, generator=generator), shape, torch.int64, device)

    def _draw(
        self,
        law: str,
        fill: Callable[[Tensor, torch.Generator], object],
        shape: Sequence[int],
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> Tensor:
        count, *rest = shape
        if count != len(self._seeds):
            raise ValueError(f"a draw of {count} samples was asked of a noise that has {len(self._seeds)} streams")
        key = (law, tuple(rest), dtype)
        block, place = self._blocks.get(key, (torch.empty(0), 0))
        if place == len(block):
            ahead = max(1, min(2 * len(block), _AHEAD // max(1, math.prod(rest))))
            rows = torch.empty((count, ahead, *rest), dtype=dtype, device=device)
            for row, generator in zip(rows.unbind(), self._on(device), strict=True):
                fill(row, generator)
            block, place = rows.transpose(0, 1).contiguous(), 0
        self._blocks[key] = (block, place + 1)
        return block[place]

    def _on(self, device: torch.device | str) -> list[torch.Generator]:
        if not self._generators:
            self._generators = [torch.Generator(device).manual_seed(seed) for seed in self._seeds]
        return self._generators


def permutation(seed: int, number: int, count: int, role: Role = "data") -> Tensor:
    """An order of ``count`` items, for training that of epoch ``number``: a pure function of its arguments, (count,) int64."""
    generator = torch.Generator().manual_seed(stream_seed(seed, number, role))
    return torch.randperm(count, generator=generator)
