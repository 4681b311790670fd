"""Checks of grids: exact times, from the SDE's t_max down to where sampling ends, which refine as their count grows.

A published grid may need as many steps as the SDE has levels: each count is asked of the SDE and of its like with so many levels, and
those that the grid refuses with ValueError are left out.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import attrs
import torch
from torch import Tensor

from ...errors import ResultError
from ...interfaces import Grid, Interval
from ...noise import Noise
from ...sde import SDE
from ..conformance import Check, Subject
from .component import checks_by

COUNTS = (1, 2, 7, 50, 200)
_SHARED = ("frozen", "toml", "source", "result", "repeatable", "copies", "random")  # a grid has no state that it acts on


class Times(NamedTuple):
    """The intervals of a grid for one SDE."""

    sde: SDE
    intervals: tuple[Interval, ...]

    @property
    def words(self) -> str:
        return f"{len(self.intervals)} steps, {self.sde.name}"


def exercise(grid: Grid, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    return [torch.tensor([interval[:2] for interval in one.intervals], dtype=torch.float64) for one in _of(grid, sde)]


def check_result(subject: Subject) -> None:
    grid = _grid(subject)
    for count in COUNTS:
        for sde in (_with_levels(subject.sdes[0], count), subject.sdes[0]):
            try:
                found = grid.intervals(sde, count)
            except ValueError:
                continue
            sound = isinstance(found, tuple) and all(isinstance(each, Interval) for each in found)
            assert sound, str(ResultError(grid, "intervals returned", found, "a tuple of Interval"))
            assert len(found) == count, f"of {count} steps it makes {len(found)} ({sde.name})"
            return


def check_monotone(subject: Subject) -> None:
    """Each interval falls, and begins below the one before."""
    for one in _all(subject):
        times = [interval.t for interval in one.intervals]
        for interval in one.intervals:
            assert interval.s < interval.t, f"interval {interval.index} goes up from t = {interval.t!r} to s = {interval.s!r} ({one.words})"
        for i, (early, late) in enumerate(pairwise(times)):
            assert late < early, f"its times rise: interval {i} begins at {early!r}, the next at {late!r} ({one.words})"


def check_contiguous(subject: Subject) -> None:
    """As declared: each interval ends where the next begins, to the last bit; or not everywhere."""
    declared, gaps = _grid(subject).contiguous, 0.0
    for one in _all(subject):
        for early, late in pairwise(one.intervals):
            gaps = max(gaps, abs(early.s - late.t))
            assert not declared or early.s == late.t, (
                f"interval {early.index} ends at {early.s!r}, but the next begins at {late.t!r} ({one.words}), and contiguous is True"
            )
    assert declared or gaps > 0, "it declares contiguous = False, but the largest gap between its intervals is 0"


def check_ends(subject: Subject) -> None:
    """The first time is t_max, and the last one what ``last`` says, to the last bit."""
    for one in _all(subject):
        grid, first, last = _grid(subject), one.intervals[0].t, one.intervals[-1]
        assert first == one.sde.t_max, f"its first time is {first!r}, not t_max = {one.sde.t_max!r} ({one.words})"
        reached, end = last.s if grid.contiguous else last.t, grid.last(one.sde)
        assert reached == end, f"its last time is {reached!r}, and last() says {end!r} ({one.words})"


def check_numbering(subject: Subject) -> None:
    """As many intervals as asked, with Python floats, numbered from 0."""
    for one in _all(subject):
        count = len(one.intervals)
        for i, interval in enumerate(one.intervals):
            place = (interval.index, interval.count)
            assert place == (i, count), f"interval {i} of {count} says that it is number {place[0]} of {place[1]} ({one.words})"
            kinds = {type(interval.t), type(interval.s)}
            assert kinds == {float}, f"its times are {' and '.join(sorted(kind.__name__ for kind in kinds))}, not floats ({one.words})"


def check_refines(subject: Subject) -> None:
    """The longest step, of the two largest counts."""
    for sde in subject.sdes:
        longest = [(len(one.intervals), max(each.t - each.s for each in one.intervals)) for one in _of(_grid(subject), sde)]
        assert len(longest) > 1, f"of {COUNTS} steps it supports {len(longest)} ({sde.name}): nothing to compare"
        (few, long), (many, short) = longest[-2:]
        assert short < 0.75 * long, f"the longest of {few} steps is {long:.4g}, and of {many} steps still {short:.4g} ({sde.name})"


CHECKS = (
    *(check for check in checks_by(exercise, result=check_result) if check.name in _SHARED),
    Check("monotone", check_monotone, "times run down from t to s < t"),
    Check("contiguous", check_contiguous, "make one list of times and take neighbours from it, or declare contiguous = False"),
    Check("ends", check_ends, "put t_max and last(sde) into the list of times as they are, not as the results of a formula"),
    Check("numbering", check_numbering, "Interval(t, s, i, count) with floats t and s, for i = 0, ..., count - 1"),
    Check("refines", check_refines, "spread all the steps over the whole way from t_max to the end"),
)


def _grid(subject: Subject) -> Grid:
    assert isinstance(subject.component, Grid)
    return subject.component


def _all(subject: Subject) -> Iterator[Times]:
    """Raises AssertionError where there are none."""
    for sde in subject.sdes:
        found = list(_of(_grid(subject), sde))
        assert found, f"it refuses all of {COUNTS} steps ({sde.name}): nothing to measure"
        yield from found


def _of(grid: Grid, sde: SDE) -> Iterator[Times]:
    """For each count the intervals for the SDE with so many levels, or else for the SDE as it is."""
    for count in COUNTS:
        for each in (_with_levels(sde, count), sde):
            try:
                intervals = grid.intervals(each, count)
            except ValueError:
                continue
            assert len(intervals) == count, f"of {count} steps it makes {len(intervals)} ({sde.name})"
            yield Times(each, intervals)
            break


def _with_levels(sde: Any, levels: int) -> SDE:
    try:
        alike: SDE = attrs.evolve(sde, levels=levels)
    except (TypeError, ValueError):  # no option, or too few
        alike = sde
    return alike
