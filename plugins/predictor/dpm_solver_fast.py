"""DPM-Solver-fast: steps of ``dpm_solver`` of orders 3, 2 and 1 that make up any number of evaluations (Lu et al., 2022, "DPM-Solver").

A step of order k goes over k intervals, one for each of its evaluations (the grid ``singlestep`` has the orders and the times): the state
after the first ones is the inner u1 or u2, of a low order, and that after the last one is x_s. On another grid the inner times are the ends
of its intervals, at r1 and r2 other than a half and thirds.

The last steps have the orders 2 and 1, or one of them, which bounds the whole by order 2, with a small constant: there the predicted noise
is multiplied by a small sigma.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, final

import attrs
from torch import Tensor

from scoresde.core import Grid, Interval, LinearSDE, Noise, Predictor, Reverse, Step
from scoresde.core.multistep import Update

from ..grid.singlestep import Singlestep, orders
from .dpm_solver import updates


class Begun(NamedTuple):
    """The updates by the number of their interval; of the step under way, the state at its beginning and the noise predicted there."""

    updates: dict[int, Update]
    start: Tensor | None = None
    slope: Tensor | None = None


@final
@attrs.frozen(kw_only=True)
class DPMSolverFast(Predictor):
    """Singlestep DPM-Solvers for any number of evaluations (Lu et al., 2022)."""

    name = "dpm_solver_fast"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    @property
    def ode_order(self) -> int | None:
        return 2

    @property
    def own_grid(self) -> Grid | None:
        return Singlestep()

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> Begun:
        assert isinstance(reverse.sde, LinearSDE)
        left, found = [interval for interval in intervals if interval.s < interval.t], dict[int, Update]()
        for order in orders(len(left)) if left else ():
            part, left = left[:order], left[order:]
            found |= zip((each.index for each in part), updates(reverse.sde, [part[0].t, *(each.s for each in part)]), strict=True)
        return Begun(found)

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Begun, noise: Noise) -> Step:
        if interval.s == interval.t:
            return Step(x, x, 0.0, state)
        update, value = state.updates[interval.index], reverse.score.noise(x, interval.t)
        if len(update.weights) == 1:
            state = Begun(state.updates, x, value)
        assert state.start is not None
        assert state.slope is not None
        x = update(state.start, (value, state.slope))
        return Step(x, x, 0.0, state)
