"""What a run of a sampler comes to: its loop, its times, and how often it asks the network.

The number of steps is given, or follows from a budget of evaluations of the score: as many as fit, so that methods with one and with two
evaluations a step are compared at equal cost. A final denoising that evaluates the score belongs to the budget.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

from .arguments import check_choice
from .builtin import builtin
from .interfaces import Grid, Interval, Sampler
from .sde import SDE

Denoise: TypeAlias = Literal[False, "mean", "tweedie", "flow", "reverse_diffusion"]

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

    Raises ValueError, in one line, for a number of steps that the grid does not support, and for a budget that no step fits in.
    """
    check_choice("denoise", denoise, get_args(Denoise))
    denoising = 0 if denoise in _FREE else 1
    count = steps if evaluations is None else _steps(sampler, evaluations - denoising)
    used = grid or sampler.own_grid or builtin("grid", "uniform")
    return Schedule(sampler.chosen(count), used, used.intervals(sde, count), denoising)


def _steps(sampler: Sampler, budget: int) -> int:
    """The most steps that take no more evaluations."""
    found, cost = 0, sampler.chosen(1).evaluations(1)
    if cost is None:
        raise ValueError(f"sampler {sampler.name!r} decides itself how often it evaluates the score: give steps instead")
    for count in range(1, budget + 1):
        if (sampler.chosen(count).evaluations(count) or 0) <= budget:
            found = count
    if found == 0:
        raise ValueError(f"a single step of sampler {sampler.name!r} takes {cost}, and {max(budget, 0)} are left for it")
    return found
