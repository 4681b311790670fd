"""Checks of samplers: a whole loop from the prior to samples, and what a condition has to see of it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, final

import torch
from torch import Tensor

from ...errors import ResultError
from ...experiment import components
from ...interfaces import Condition, Interval, Sampler, Step
from ...noise import Noise
from ...reverse import Reverse
from ...sde import SDE, LinearSDE
from ..conformance import Check, Subject
from .affine import law_error
from .component import checks_by, seeded, state
from .problems import gaussian_score, linear
from .runs import SHAPES, Run, assert_drawn, even, published, with_levels
from .steps import assert_shapes, assert_step, assert_times

FEWEST = 32  # levels of a ladder
HELD = 0.25
OFF = 0.25  # a method of first order is off by two thirds of this


def grid_of(sampler: Sampler, sde: SDE, steps: int) -> tuple[SDE, tuple[Interval, ...]]:
    """The SDE and the uniform grid, or where the sampler refuses that the published one, of an SDE with so many levels."""
    grid = even(sde, steps)
    try:
        sampler.check(sde, grid, contiguous=True, projects=False)
    except ValueError as refusal:
        sde = with_levels(linear(sde), max(steps, FEWEST))
        grid = published(sde)
        try:
            sampler.check(sde, grid, contiguous=False, projects=False)
        except ValueError as other:
            raise AssertionError(f"it refuses the uniform grid ({refusal}) and the published one ({other})") from other
    return sde, grid


def ended(sampler: Sampler, condition: Condition | None = None) -> Run:
    """Its run to the last state."""
    known = Condition() if condition is None else condition

    def run(reverse: Reverse, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Tensor:
        *_, last = sampler.sample(reverse, known, x, intervals, noise)
        return last.x

    return run


def exercise(sampler: Sampler, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    sde, grid = grid_of(sampler, sde, 4)
    *_, last = sampler.sample(Reverse(sde, gaussian_score(sde, x)), Condition(), x, grid, noise)
    assert_shapes([last.x, last.mean], x)
    return [last.x, last.mean]


def check_result(subject: Subject) -> None:
    """The first of the steps."""
    sampler, x = subject.component, state((3,))
    sde, grid = grid_of(sampler, subject.sdes[0], 4)
    steps = sampler.sample(Reverse(sde, gaussian_score(sde, x)), Condition(), x, grid, seeded())
    assert isinstance(steps, Iterable), str(ResultError(sampler, "sample returned", steps, "an iterator of Step"))
    for first in steps:
        assert_step(sampler, "sample yielded", first)
        return
    raise AssertionError(f'sampler "{sampler.name}": sample yielded no step, expected one after each of {len(grid)} intervals')


def many(subject: Subject) -> Iterator[tuple[LinearSDE, tuple[Interval, ...]]]:
    """Under each SDE as many steps as a given number of evaluations allows; few of an adaptive method, which needs no more."""
    each = (subject.component.evaluations(100) or 0) / 100
    steps = min(max(int(600 / each), 100), 300) if each else 20
    for one in subject.sdes:
        sde, grid = grid_of(subject.component, one, steps)
        yield linear(sde), grid


def check_gaussian(subject: Subject) -> None:
    sampler = subject.component
    couples = any(getattr(part, "couples", False) for _, part in components(sampler))
    for sde, grid in many(subject):
        off = law_error(ended(sampler), sde, grid, couples)
        assert off < OFF, f"mean and variance of Gaussian data are off by {off:.3g} of theirs after {len(grid)} steps under {sde.name}"


def check_distribution(subject: Subject) -> None:
    for sde, grid in many(subject):
        for shape in SHAPES:
            assert_drawn(ended(subject.component), sde, shape, grid, 512)


def check_evaluations(subject: Subject) -> None:
    sampler, x = subject.component, state((3,))
    for sde in subject.sdes:
        for steps in (5, 40):
            used, grid = grid_of(sampler, sde, steps)
            score = gaussian_score(used, x)
            ended(sampler)(Reverse(used, score), x, grid, seeded())
            declared, made = sampler.evaluations(len(grid)), score.evaluations
            assert declared in (None, made), f"it declares {declared} evaluations of {len(grid)} steps, and made {made} ({sde.name})"
            assert made, f"{len(grid)} steps made 0 evaluations of the score ({sde.name})"


def check_times(subject: Subject) -> None:
    for sde, grid in (grid_of(subject.component, sde, 20) for sde in subject.sdes):
        assert_times(ended(subject.component), sde, state((3,)), grid)


def check_interleaved(subject: Subject) -> None:
    """Two runs in turn give what each gives alone."""
    starts = (state((3,)), state((3,)).flip(0) + 0.5)
    for sde in subject.sdes:
        runs: list[Iterator[Step]] = []
        alone = []
        for x, steps in zip(starts, (5, 7), strict=True):
            used, grid = grid_of(subject.component, sde, steps)
            reverse = Reverse(used, gaussian_score(used, x))
            alone.append(ended(subject.component)(reverse, x, grid, seeded()))
            runs.append(subject.component.sample(reverse, Condition(), x, grid, seeded()))
        ends = list(starts)
        for pair in zip_longest(*runs):
            ends = [end if step is None else step.x for end, step in zip(ends, pair, strict=True)]
        off = max(float((x - y).abs().max()) for x, y in zip(ends, alone, strict=True))
        assert off == 0, f"two runs in turn are off the same runs alone by {off:.2g} ({sde.name})"


@final
class Begun(Condition):
    """Runs begin at this state."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        return self.x, None


def check_start(subject: Subject) -> None:
    """A run begins where the condition says, not at the prior's draw."""
    sampler, x = subject.component, state((3,))
    for sde, grid in (grid_of(sampler, sde, 5) for sde in subject.sdes):
        reverse = Reverse(sde, gaussian_score(sde, x))
        expected = ended(sampler)(reverse, x, grid, seeded())
        off = float((ended(sampler, Begun(x))(reverse, x + 1, grid, seeded()) - expected).abs().max())
        assert off == 0, f"a run that a condition begins at x is off the run from x by {off:.2g} ({sde.name})"


@final
class Held(Condition):
    """The first entry of every sample has one value; the memory counts the projections, whose times are noted."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        return self._held(x), 0

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        assert memory == len(self.times), f"projection {len(self.times)} was given the memory that number {memory} is to have"
        self.times.append((t, s))
        return after._replace(x=self._held(after.x), mean=self._held(after.mean)), memory + 1

    def _held(self, x: Tensor) -> Tensor:
        return torch.cat([torch.full_like(x[:, :1], HELD), x[:, 1:]], 1)


def check_projection(subject: Subject) -> None:
    """A condition projects every step, and has the last word; or the sampler's ``check`` refuses conditions that project."""
    sampler, x = subject.component, state((3,))
    for sde, grid in (grid_of(sampler, sde, 5) for sde in subject.sdes):
        try:
            sampler.check(sde, grid, contiguous=grid[0].s == grid[1].t, projects=True)
        except ValueError:
            continue
        held = Held()
        end = ended(sampler, held)(Reverse(sde, gaussian_score(sde, x)), x, grid, seeded())
        off = float((end[:, 0] - HELD).abs().max())
        assert off == 0, f"at its end a run is off what its condition holds by {off:.2g} ({sde.name})"
        missing = [each.s for each in grid if not any(abs(s - each.s) < 1e-9 for _, s in held.times)]
        assert not missing, f"{len(missing)} of {len(grid)} steps are not projected, such as that to s = {missing[0]:.4g} ({sde.name})"


CHECKS = (
    *checks_by(exercise, result=check_result),
    Check("gaussian", check_gaussian, "the noise's variance is g^2 (t - s), or the transition's; the score has the factor g^2"),
    Check("distribution", check_distribution, "compare drift, noise and their times with the paper's, under one SDE after the other"),
    Check("evaluations", check_evaluations, "evaluations(steps) counts the score's calls of a whole run; None where they vary"),
    Check("times", check_times, "evaluate the score only at 0 < t <= t_max"),
    Check("interleaved", check_interleaved, "keep the state of a run in the generator's own variables"),
    Check("start", check_start, "begin with x, memory = condition.start(x, intervals[0].t, noise)"),
    Check("projection", check_projection, "pass each step through condition.project with the memory it gave last, or refuse it in check"),
)
