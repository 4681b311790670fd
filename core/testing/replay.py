"""Recorded random numbers, played back: for comparing a run with one made elsewhere."""

from collections.abc import Iterable, Sequence
from typing import final

import torch
from torch import Tensor

from ..noise import Noise


@final
class ReplayNoise(Noise):
    """Hands out the given tensors in order. Raises ValueError where a draw does not have the next tensor's shape or none is left."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self._draws = list(draws)

    def _next(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | str) -> Tensor:
        if not self._draws:
            raise ValueError(f"a draw of shape {tuple(shape)} was asked, but no recorded one is left")
        draw = self._draws.pop(0)
        if draw.shape != tuple(shape):
            raise ValueError(f"a draw of shape {tuple(shape)} was asked, but the next recorded one has {tuple(draw.shape)}")
        return draw.to(dtype=dtype, device=device, copy=True)

    @property
    def left(self) -> int:
        """How many draws have not been asked for."""
        return len(self._draws)

    def normal(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return self._next(shape, dtype, device)

    def uniform(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return self._next(shape, dtype, device)

    def integers(self, high: int, shape: Sequence[int], *, device: torch.device | str = "cpu") -> Tensor:
        return self._next(shape, torch.int64, device)
