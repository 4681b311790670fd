"""What a run of a sampler comes to: its loop, its times, and how often it asks the network.

The number of steps is given, or follows from a budget of evaluations of the score: as many as fit, so that methods with one and with two
evaluations a step are compared at equal cost. A final denoising that evaluates the score belongs to the budget.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias, get_args

from .arguments import check_choice
from .builtin import builtin
from .errors import ResultError
from .interfaces import Grid, Interval, Sampler
from .sde import SDE

Denoise: TypeAlias = Literal[False, "mean", "tweedie", "flow", "reverse_diffusion"]

OF_THE_MEAN: tuple[Denoise, ...] = ("tweedie", "flow")  # what takes the denoised mean, and so a LinearSDE

_ROUNDING = 1e-9  # of t_max
_FREE: tuple[Denoise, ...] = (False, "mean")  # the other ways of denoising evaluate the score once


class Schedule(NamedTuple):
    """The loop that runs, the grid and its intervals, and the evaluations that follow on the last of them."""

    sampler: Sampler
    grid: Grid
    intervals: tuple[Interval, ...]
    denoising: int

    @property
    def evaluations(self) -> int | None:
        """Those of a sample, None where they vary."""
        each = self.sampler.evaluations(len(self.intervals))
        return None if each is None else each + self.denoising


def scheduled(
    sde: SDE, sampler: Sampler, grid: Grid | None, steps: int, evaluations: int | None = None, denoise: Denoise = False
) -> Schedule:
    """On this grid, or else the sampler's own, or else a uniform one; with ``evaluations`` in so many steps as they allow.

    Raises ValueError, in one line, for a number of steps that the grid does not support, for intervals that no run can follow, and for a
    budget that no step fits in.
    """
    check_choice("denoise", denoise, get_args(Denoise))
    denoising = 0 if denoise in _FREE else 1
    count = steps if evaluations is None else _steps(sampler, evaluations - denoising)
    used = grid or sampler.own_grid or builtin("grid", "uniform")
    intervals = checked(used, sde, used.intervals(sde, count))
    if len(intervals) != count:
        raise ValueError(f"grid {used.name!r} makes {len(intervals)} intervals of {count} steps")
    return Schedule(sampler.chosen(count), used, intervals, denoising)


def checked(grid: Grid, sde: SDE, intervals: object) -> tuple[Interval, ...]:
    """The intervals that a grid has made. Raises ResultError for what are none, and ValueError for what no run can follow, in one line."""
    if not isinstance(intervals, Sequence) or not all(isinstance(each, Interval) for each in intervals):
        raise ResultError(grid, "intervals returned", intervals, "a tuple of Interval")
    found, slack, title = tuple(intervals), _ROUNDING * sde.t_max, f"grid {grid.name!r}"
    if not found:
        raise ValueError(f"{title} makes no intervals")
    for t, s, index, _ in found:
        if not s < t <= sde.t_max + slack:
            raise ValueError(f"{title}: interval {index} goes from t = {t:.6g} to s = {s:.6g}, not down from t_max = {sde.t_max:g} at most")
        if grid.contiguous and s < 0:
            raise ValueError(f"{title}: interval {index} ends at s = {s:.6g}, below 0")
    for early, late in pairwise(found):
        if late.t >= early.t or (grid.contiguous and abs(late.t - early.s) > slack):
            places = f"interval {early.index} ends at s = {early.s:.6g}, and the next begins at t = {late.t:.6g}"
            raise ValueError(f"{title}: {places}" + (": they have to meet, or contiguous to be False" if late.t < early.t else ""))
    return found


def _steps(sampler: Sampler, budget: int) -> int:
    """The most steps that take no more evaluations."""
    cost = sampler.chosen(1).evaluations(1)
    if cost is None:
        raise ValueError(f"sampler {sampler.name!r} decides itself how often it evaluates the score: give steps instead")
    if cost > budget:
        raise ValueError(f"a single step of sampler {sampler.name!r} takes {cost}, and {max(budget, 0)} are left for it")
    return bisect_right(range(1, budget + 1), budget, key=lambda count: sampler.chosen(count).evaluations(count) or 0)
