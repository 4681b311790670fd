"""Runs on Gaussian data, whose law is carried to their end without sampling error.

On Gaussian data the score is affine in x. A run of any method that is linear in the score, whatever its history and its evaluations, is
then an affine map of its start x and of its normal numbers z_i, y = a x + sum_i b_i z_i + c, and the coefficients are the answers to
starts and numbers that are 0 but for a single 1, all in one batch: mean a m + c and variance a^2 v + sum_i b_i^2 have no sampling error.
"""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ...interfaces import Interval
from ...noise import Noise
from ...reverse import Reverse
from ...sde import LinearSDE
from ..problems import Gaussian
from ..statistics import BatchNoise
from .runs import Run, kernel

LINE = Gaussian(torch.tensor([0.7], dtype=torch.float64), 0.5)
_SAMPLED = 4096  # draws where a law cannot be carried exactly


@final
class NotAffineError(Exception):
    """A run whose law cannot be carried by its answers to single numbers."""


@final
class Singles(Noise):
    """Row 2 + i of the batch has a 1 where the run's i-th normal number is, and 0 elsewhere; the last row has random numbers, ``mixed``,
    everywhere. A batch of a single row has that one alone."""

    def __init__(self) -> None:
        self.mixed: list[float] = []
        self._random = BatchNoise(11)

    def normal(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        rows, size = shape[0], math.prod(shape[1:])
        drawn = torch.zeros(rows, size, dtype=dtype, device=device)
        for entry, place in enumerate(range(2 + len(self.mixed), min(rows, 2 + len(self.mixed) + size))):
            drawn[place, entry] = 1.0
        drawn[-1] = self._random.normal((size,), dtype=dtype)
        self.mixed += drawn[-1].tolist()
        return drawn.reshape(tuple(shape))

    def uniform(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        raise NotAffineError

    def integers(self, high: int, shape: Sequence[int], *, device: torch.device | str = "cpu") -> Tensor:
        raise NotAffineError


def law_error(run: Run, sde: LinearSDE, grid: Sequence[Interval], couples: bool) -> float:
    """By how much the mean and the variance of a run on LINE are off together, in units of the exact law's; less five standard errors
    where the law is sampled."""
    mean, variance, doubt = carried_law(run, sde, grid, couples)
    alpha, sigma = kernel(sde, grid[-1].s)
    exact = alpha**2 * LINE.s**2 + sigma**2
    off = abs(mean - alpha * float(LINE.mu)) / exact**0.5 + abs(variance / exact - 1) - 5 * doubt
    return off if off >= 0 or math.isnan(off) else 0.0


def carried_law(run: Run, sde: LinearSDE, grid: Sequence[Interval], couples: bool) -> tuple[float, float, float]:
    """(mean, variance, doubt) of a run on LINE from the exact law at its first time. The doubt is the relative standard error of the
    variance: 0 where the run is affine, and otherwise that of many samples; those are taken where samples are coupled, for then each
    answers to the others' numbers."""
    reverse, start = Reverse(sde, LINE.score(sde)), grid[0].t
    mean, variance = float(sde.alpha(start)) * float(LINE.mu), float(LINE.std(sde, start)) ** 2
    try:
        a, c, square = _answers(run, reverse, grid, couples)
    except NotAffineError:
        noise = BatchNoise(2)
        x = mean + variance**0.5 * noise.normal((_SAMPLED, 1), dtype=torch.float64)
        y = run(reverse, x, grid, noise)
        return float(y.mean()), float(y.var()), (2 / _SAMPLED) ** 0.5
    return a * mean + c, a**2 * variance + square, 0.0


def _answers(run: Run, reverse: Reverse, grid: Sequence[Interval], couples: bool) -> tuple[float, float, float]:
    """(a, c, sum of b_i^2). Raises NotAffineError where the last row does not answer as the others say."""
    if couples:
        raise NotAffineError
    counting, noise = Singles(), Singles()
    run(reverse, torch.zeros(1, 1, dtype=torch.float64), grid, counting)
    x = torch.zeros(len(counting.mixed) + 3, 1, dtype=torch.float64)
    x[1], x[-1] = 1.0, -0.5
    y = run(reverse, x, grid, noise).flatten()
    if noise.mixed != counting.mixed:
        raise NotAffineError
    c, a, b = float(y[0]), float(y[1] - y[0]), y[2:-1] - y[0]
    expected = c - 0.5 * a + float(b @ torch.tensor(noise.mixed, dtype=torch.float64))
    if not abs(expected - float(y[-1])) < 1e-3 * (1 + abs(expected)):
        raise NotAffineError
    return a, c, float(b.square().sum())
