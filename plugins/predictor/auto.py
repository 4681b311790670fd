"""The method that was measured to be the best for its number of steps: UniPC in the angle, on the ``balanced`` grid.

In y = x / alpha and rho = sigma / alpha every linear SDE has one probability flow, dy / d rho = eps (Lu et al., 2022, eq. 3.4), so that one
choice serves all of them. The denoised mean is followed by polynomials in the angle arctan(rho / 3) (``scoresde.core.multistep``), through
3 values in runs of fewer than 10 steps and 4 in longer ones; every step is corrected by the value at its end (Zhao et al., 2023), at one
evaluation a step.

The measurements, over mixtures that are none of the benchmark's, are in the documentation ("Few evaluations").
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Grid, Interval, LinearSDE, Noise, Predictor, Reverse, Step
from scoresde.core.multistep import History, advance

from ..grid.balanced import Balanced
from .unipc import UniPC

_FEW = 10  # steps: in runs of fewer, errors of an order above 3 do not yet fall
_SCALE = 3.0


@final
@attrs.frozen(kw_only=True)
class Auto(Predictor):
    """Method and grid by measurement, for any linear SDE (Lu et al., 2022; Zhao et al., 2023)."""

    name = "auto"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False

    @property
    def ode_order(self) -> int | None:
        return 3  # the first step, with its single value, bounds it

    @property
    def own_grid(self) -> Grid | None:
        return Balanced()

    def chosen(self, steps: int) -> Predictor:
        return UniPC(order=3 if steps < _FEW else 4, form="denoised", variable="angle", scale=_SCALE)

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        first: History = self.chosen(len(intervals)).init(reverse, x, intervals)
        return first

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
