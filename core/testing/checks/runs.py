"""Whole runs of solvers: their grids, and the mixtures that they have to draw.

Orders are measured between the times with log-SNR -2 and 2, where data and noise are of one size and a method's error shows from its
first step on, on a grid of uneven steps: every other one is half again as long, so that a method which takes them for equal is found.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import attrs
import torch
from torch import Tensor

from ...builtin import builtin
from ...interfaces import Grid, Interval, Predictor, Step
from ...mixture import Mixture
from ...noise import Noise
from ...reverse import Reverse
from ...scalars import Scalar, double
from ...score import Score
from ...sde import SDE, LinearSDE
from ..problems import mixture_problem
from ..statistics import BatchNoise, Law
from .problems import draws, linear

Run: TypeAlias = Callable[[Reverse, Tensor, Sequence[Interval], Noise], Tensor]  # from a start to the last state

SHAPES = ((2,), (1, 2, 2))  # of the mixtures' items
LIMIT = 4.5  # standard errors
_LOG_SNR = 2.0


def walk(predictor: Predictor, reverse: Reverse, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Iterator[Step]:
    """The steps of a predictor alone."""
    history = predictor.init(reverse, x, intervals)
    for interval in intervals:
        step = predictor.step(reverse, x, interval, history, noise)
        x, history = step.x, step.state
        yield step


def ended(predictor: Predictor) -> Run:
    """Its run to the last state."""

    def run(reverse: Reverse, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Tensor:
        *_, last = walk(predictor, reverse, x, intervals, noise)
        return last.x

    return run


def middle(sde: SDE) -> tuple[float, float]:
    """The times with log-SNR -2 and 2, or the SDE's own first and last where it does not get so far."""
    one = linear(sde)
    most, least = float(one.log_snr(sde.sampling_end)), float(one.log_snr(sde.t_max))
    return float(one.time(max(-_LOG_SNR, least))), float(one.time(min(_LOG_SNR, most)))


def uneven(sde: SDE, count: int) -> tuple[Interval, ...]:
    """So many steps between these two times, every other one half again as long."""
    first, last = middle(sde)
    lengths = torch.tensor([1.0, 1.5], dtype=torch.float64).repeat(count)[:count].cumsum(0)
    return Interval.chain([first, *(first + (last - first) * lengths / lengths[-1]).tolist()])


def even(sde: SDE, count: int) -> tuple[Interval, ...]:
    """The uniform grid from t_max to where samplers end."""
    return _grid("uniform").intervals(sde, count)


def published(sde: SDE) -> tuple[Interval, ...]:
    """The walk down the SDE's whole ladder, which ends at the data."""
    return _grid("published", end=1e-6).intervals(sde, sde.levels)


@lru_cache(maxsize=2)
def _grid(name: str, **options: float) -> Grid:
    grid: Grid = builtin("grid", name, **options)
    return grid


def has_levels(sde: SDE) -> bool:
    """Whether its levels are an option."""
    cls: Any = type(sde)
    return "levels" in attrs.fields_dict(cls)


def with_levels(sde: LinearSDE, levels: int) -> LinearSDE:
    """The same SDE with so many levels."""
    assert has_levels(sde), f"the levels of {sde.name} are no option of it: runs down its ladder cannot be compared"
    value: Any = sde
    changed: LinearSDE = attrs.evolve(value, levels=levels)
    return changed


def kernel(sde: LinearSDE, t: float) -> tuple[float, float]:
    """(alpha, sigma) of p(x_t | x_0); those of the data themselves where t is 0 or beyond."""
    return (float(sde.alpha(t)), float(sde.sigma(t))) if t > 0 else (1.0, 0.0)


@lru_cache(maxsize=8)
def modes(dimension: int) -> Mixture:
    """Three isotropic modes in so many dimensions."""
    return mixture_problem(dimension, 3, "isotropic")


def modes_score(sde: LinearSDE, dimension: int) -> Score:
    """Their exact score, for items of any shape, in x's dtype; several times faster than that of any mixture."""
    mixture = modes(dimension)
    means, variances, weights = mixture.means, mixture.variances[:, :1], mixture.weights.log()[:, None]
    squares = means.square().sum(1, keepdim=True)

    def exact(x: Tensor, t: Scalar) -> Tensor:
        alpha, sigma = (
            torch.as_tensor(value, dtype=torch.float64).reshape(1, -1) for value in (sde.alpha(double(t)), sde.sigma(double(t)))
        )
        spread = alpha**2 * variances + sigma**2  # (modes, 1 or B), as all that follows: softmax is fast along the first axis
        constant = weights - 0.5 * (alpha**2 * squares / spread + dimension * spread.log())
        flat, centres, inverse, alpha = x.flatten(1).T, means.to(x), (1 / spread).to(x), alpha.to(x)
        logits = constant.to(x) + inverse * (alpha * (centres @ flat) - 0.5 * flat.square().sum(0))
        pull = logits.softmax(0) * inverse
        out: Tensor = alpha * (centres.T @ pull) - pull.sum(0) * flat
        return out.T.reshape(x.shape)

    return Score(sde, exact, "score", time=None)


@lru_cache(maxsize=32)
def law(sde: LinearSDE, dimension: int, t: float) -> Law:
    """The modes' law at time t."""
    return Law(modes(dimension).marginal(*kernel(sde, t)))


def assert_drawn(run: Run, sde: LinearSDE, shape: tuple[int, ...], grid: Sequence[Interval], count: int) -> None:
    """Samples that begin at the exact law at t_max end at the exact law: moments and shares of the modes, within standard errors."""
    dimension = math.prod(shape)
    x = draws(modes(dimension).marginal(*kernel(sde, sde.t_max)), shape, count).float()
    y = run(Reverse(sde, modes_score(sde, dimension)), x, grid, BatchNoise(1)).flatten(1)
    where = f"{count} samples of shape {shape} after {len(grid)} steps under {sde.name}"
    assert bool(torch.isfinite(y).all()), f"{where} are not finite"
    off = {name: float(value.abs().max()) for name, value in law(sde, dimension, grid[-1].s).deviations(y)._asdict().items()}
    worst = max(off, key=lambda name: off[name])
    assert off[worst] < LIMIT, f"the {worst} of {where} is off by {off[worst]:.3g} standard errors"
