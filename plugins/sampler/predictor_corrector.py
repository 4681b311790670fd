"""Predictor-corrector sampling (Song et al., 2021, App. G, Algorithms 1 to 3).

At each time of the grid the corrector acts first, ``corrector_steps`` times, then the predictor goes on to the next time. (The paper's
boxes show the other order; its runs have this one.) A condition may project the state after every one of these steps.
"""

from collections.abc import Iterator, Sequence
from typing import final

import attrs
from torch import Tensor

from scoresde.core import SDE, Condition, Corrector, Grid, Interval, Noise, Predictor, Reverse, Sampler, Step, option
from scoresde.core.errors import ResultError


@final
@attrs.frozen(kw_only=True)
class PredictorCorrector(Sampler):
    """Predictor-corrector sampling (Song et al., 2021, App. G, Algorithm 1)."""

    name = "predictor_corrector"

    predictor: Predictor = option(help="the solver's step from one time to the next")
    corrector: Corrector | None = option(None, help="what acts at each time before the predictor")
    corrector_steps: int = option(1, at_least=1, help="corrections at each time")

    def sample(self, reverse: Reverse, condition: Condition, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Iterator[Step]:
        predictor, corrector = self.predictor, self.corrector
        x, memory = condition.start(x, intervals[0].t, noise)
        step = Step(x, x, state=predictor.init(reverse, x, intervals))
        for interval in intervals:
            t, s = interval.t, interval.s
            for _ in range(self.corrector_steps if corrector else 0):
                assert corrector is not None
                after = corrector.correct(reverse, step.x, t, noise)
                if not isinstance(after, Step):
                    raise ResultError(corrector, "correct returned", after, "a Step")
                step, memory = condition.project(step, after._replace(state=step.state), t, t, memory, reverse, noise)
            after = predictor.step(reverse, step.x, interval, step.state, noise)
            if not isinstance(after, Step):
                raise ResultError(predictor, "step returned", after, "a Step")
            step, memory = condition.project(step, after, t, s, memory, reverse, noise)
            yield step

    def check(self, sde: SDE, intervals: Sequence[Interval], *, contiguous: bool, projects: bool) -> None:
        predictor = self.predictor
        if not contiguous and predictor.reads_s:
            raise ValueError(
                f"predictor {predictor.name!r} evaluates at the end of a step, which this grid does not have: take grid uniform"
                " (or ladder = true, where the predictor has it)"
            )
        if self.corrector is not None and self.corrector.evaluations and predictor.remakes:
            raise ValueError(
                f"predictor {predictor.name!r} makes a step again once it has the value at its end, and would undo what corrector"
                f" {self.corrector.name!r} does between: corrector = false leaves it out"
            )
        if predictor.steps_ladder and len(intervals) != sde.levels:
            raise ValueError(f"ladder = true takes steps of 1/{sde.levels}: it needs steps = {sde.levels}, got {len(intervals)}")
        if predictor.steps_ladder or (self.corrector is not None and self.corrector.reads_ladder):
            sde.ladder()
        if projects and not predictor.projectable:
            raise ValueError(
                f"predictor {predictor.name!r} cannot carry a projection, which would jump inside its steps: take another predictor"
            )

    def evaluations(self, steps: int) -> int | None:
        if self.predictor.evaluations is None:
            return None
        corrections = self.corrector.evaluations * self.corrector_steps if self.corrector else 0
        return steps * (self.predictor.evaluations + corrections)

    @property
    def own_grid(self) -> Grid | None:
        return self.predictor.own_grid

    def chosen(self, steps: int) -> Sampler:
        return attrs.evolve(self, predictor=self.predictor.chosen(steps))
