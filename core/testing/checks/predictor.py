"""Checks of predictors: one step of a solver of the reverse process. Their order is measured in ``order``, their samples in ``runs``."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ...interfaces import Interval, Predictor
from ...noise import Noise, SeededNoise
from ...reverse import Reverse
from ...sde import SDE
from ..conformance import Check, Subject
from ..statistics import BatchNoise
from .component import checks_by, seeded, state
from .order import check_order
from .problems import gaussian_score, linear
from .runs import SHAPES, assert_drawn, ended, even, middle, published, uneven, walk, with_levels
from .steps import assert_levels, assert_noise, assert_outputs, assert_shapes, assert_step, assert_times

MANY = 11  # samples, a number that no history has for another reason


def exercise(predictor: Predictor, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    reverse = Reverse(sde, gaussian_score(sde, x))
    results = [result for step in walk(predictor, reverse, x, few(predictor, sde), noise) for result in (step.x, step.mean)]
    assert_shapes(results, x)
    return results


def check_result(subject: Subject) -> None:
    predictor, sde, x = subject.component, subject.sdes[0], state((3,))
    reverse, grid = Reverse(sde, gaussian_score(sde, x)), few(predictor, sde)
    assert_step(predictor, "step returned", predictor.step(reverse, x, grid[0], predictor.init(reverse, x, grid), seeded()))


def few(predictor: Predictor, sde: SDE, count: int = 4) -> tuple[Interval, ...]:
    """A few steps that follow on one another, such as the predictor takes."""
    if not predictor.steps_ladder:
        return uneven(sde, count)
    whole = published(sde)
    return tuple(interval._replace(index=i, count=count) for i, interval in enumerate(whole[len(whole) // 2 :][:count]))


def check_identity(subject: Subject) -> None:
    """At both ends of time, between, and after another step; a step of the ladder is the same wherever s is said to be."""
    predictor, x = subject.component, state((3,), torch.float64)
    for sde in subject.sdes:
        reverse, run = Reverse(sde, gaussian_score(sde, x)), ended(predictor)
        first, last = middle(sde)
        if predictor.steps_ladder:
            one, other = (run(reverse, x, [Interval(last, s, 0, 1)], seeded()) for s in (last, 0.9 * last))
            off = float((one - other).abs().max())
            assert off < 1e-9, f"it declares steps_ladder, but its step changes with s, by {off:.2g} ({sde.name})"
            continue
        for times in ((sde.t_max,), (first,), (sde.sampling_end,), (first, last)):
            ends = (*times[1:], times[-1])
            grid = [Interval(t, s, i, len(times)) for i, (t, s) in enumerate(zip(times, ends, strict=True))]
            states = [x, *(step.x for step in walk(predictor, reverse, x, grid, seeded()))]
            off = float((states[-1] - states[-2]).abs().max())
            after = ", after another step," if len(times) > 1 else ""
            assert off < 1e-9, f"a step from t = {times[-1]:.4g} to s = t{after} moves the state by {off:.2g} ({sde.name})"


def check_evaluations(subject: Subject) -> None:
    predictor, x = subject.component, state((3,))
    for sde in subject.sdes:
        score, before = gaussian_score(sde, x), 0
        for number, _ in enumerate(walk(predictor, Reverse(sde, score), x, few(predictor, sde), seeded()), 1):
            made, before = score.evaluations - before, score.evaluations
            assert predictor.evaluations in (None, made), (
                f"it declares {predictor.evaluations} evaluations a step; step {number} made {made} ({sde.name})"
            )
        assert before or predictor.evaluations == 0, f"it declares evaluations = None, that they vary, but 4 steps made 0 ({sde.name})"


def check_times(subject: Subject) -> None:
    """On the whole way; and in a step that ends below 0, where nothing is read at s."""
    predictor, x = subject.component, state((3,))
    for sde in subject.sdes:
        used = with_levels(linear(sde), 100) if predictor.steps_ladder else sde
        assert_times(ended(predictor), used, x, published(used) if predictor.steps_ladder else even(sde, 20))
        if not predictor.reads_s:
            assert_times(ended(predictor), sde, x, [Interval(sde.sampling_end, -0.01 * sde.t_max, 0, 1)])


def check_outputs(subject: Subject) -> None:
    for sde in subject.sdes:
        assert_outputs(ended(subject.component), sde, state((3,)), few(subject.component, sde))


def check_history(subject: Subject) -> None:
    """Two runs in turn, and every step taken twice, give what each run gives alone."""
    predictor, starts = subject.component, (state((3,)), state((3,)).flip(0) + 0.5)
    for sde in subject.sdes:
        reverse = Reverse(sde, gaussian_score(sde, starts[0]))
        grids = [few(predictor, sde, count) for count in (5, 7)]
        alone = [ended(predictor)(reverse, x, grid, seeded()) for x, grid in zip(starts, grids, strict=True)]
        states, noises = list(starts), (seeded(), seeded())
        history = [predictor.init(reverse, x, grid) for x, grid in zip(starts, grids, strict=True)]
        for number in range(7):
            for run in (0, 1):
                if number >= len(grids[run]):
                    continue
                interval = grids[run][number]
                predictor.step(reverse, states[run], interval, history[run], SeededNoise(0, range(len(states[run])), "sample"))
                step = predictor.step(reverse, states[run], interval, history[run], noises[run])
                states[run], history[run] = step.x, step.state
        off = max(float((x - y).abs().max()) for x, y in zip(states, alone, strict=True))
        assert off == 0, f"two runs in turn, with each step taken twice, are off the same runs alone by {off:.2g} ({sde.name})"


def check_reordered(subject: Subject) -> None:
    """With the samples in another order after two steps, each goes on as it would have."""
    predictor, x = subject.component, state((3,), torch.float64).repeat(3, 1)[:MANY]
    order = torch.randperm(MANY, generator=torch.Generator().manual_seed(1))
    for sde in subject.sdes:
        reverse, grid = Reverse(sde, gaussian_score(sde, x)), few(predictor, sde, 7)
        *_, step = islice(walk(predictor, reverse, x, grid, seeded(MANY)), 2)
        moved = tree_map(lambda leaf: leaf[order] if isinstance(leaf, Tensor) and leaf.shape[:1] == (MANY,) else leaf, step.state)
        ends = []
        for y, history, places in ((step.x, step.state, range(MANY)), (step.x[order], moved, order.tolist())):
            noise = SeededNoise(9, places, "sample")
            for interval in grid[2:]:
                after = predictor.step(reverse, y, interval, history, noise)
                y, history = after.x, after.state
            ends.append(y)
        off = float((ends[0][order] - ends[1]).abs().max())
        assert off < 1e-9, f"with the samples and Step.state in another order the rest of a run is off by {off:.2g} ({sde.name})"


def check_noise(subject: Subject) -> None:
    predictor, x = subject.component, state((3,), torch.float64).repeat(256, 1)
    for sde in subject.sdes:
        for step in walk(predictor, Reverse(sde, gaussian_score(sde, x)), x, few(predictor, sde), BatchNoise(4)):
            assert_noise(step, sde)


def check_ladder(subject: Subject) -> None:
    predictor = subject.component
    assert_levels(subject, predictor.steps_ladder, "steps_ladder", lambda sde, x, noise: exercise(predictor, sde, x, noise)[-2])


def check_distribution(subject: Subject) -> None:
    """A deterministic method of first order takes more steps, and fewer samples, so that its error is below theirs; an adaptive one few."""
    predictor = subject.component
    if predictor.evaluations is None:
        steps, count = 20, 512
    else:
        more, count = (2, 512) if predictor.ode_order == 1 or predictor.steps_ladder else (1, 2048)
        steps = more * 300 // (1 + predictor.evaluations)
    for sde in map(linear, subject.sdes):
        grid = even(sde, steps)
        if predictor.steps_ladder:
            sde = with_levels(sde, steps)
            grid = published(sde)
        for shape in SHAPES:
            assert_drawn(ended(predictor), sde, shape, grid, count)


CHECKS = (
    *checks_by(exercise, result=check_result),
    Check("identity", check_identity, "let the coefficients vanish with the length of the step, without dividing by it"),
    Check("evaluations", check_evaluations, "declare the score's calls of one step; None where they are not the same in each"),
    Check("times", check_times, "evaluate the score only at 0 < t <= t_max; declare reads_s unless a step may end below 0"),
    Check("outputs", check_outputs, "work on new tensors: no add_() or out= on what the score gives: it may be the network's memory"),
    Check("history", check_history, "return a new Step.state; never change the one that was handed in, nor keep it anywhere else"),
    Check("reordered", check_reordered, "Step.state is a pytree whose tensors have the batch axis first or do not depend on the sample"),
    Check("noise", check_noise, "x = mean + std z; std 0.0 where no noise is added, None where x is not Gaussian"),
    Check("ladder", check_ladder, "a method that takes coefficients from sde.ladder() has steps_ladder = True"),
    Check("order", check_order, "a first step of order 1 bounds the order of a multistep method at 2; steps are not equally long"),
    Check("distribution", check_distribution, "compare drift, noise and their times with the paper's, under one SDE after the other"),
)
