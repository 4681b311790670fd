"""The method that was measured to be the best for its number of steps: exponential Adams steps in the angle, on the ``balanced`` grid.

In y = x / alpha and rho = sigma / alpha every linear SDE has one probability flow, dy / d rho = eps (Lu et al., 2022, eq. 3.4), so that one
choice serves all of them. The predicted noise is extrapolated by polynomials in arctan(rho) (``scoresde.core.multistep``) through the more
values the more steps there are, and from 10 on every step is corrected by the value at its end, as in UniPC (Zhao et al., 2023):

    steps      fewer than 6    6 to 9    10 to 29    30 and more
    values     2               3         3           4
    corrected  no              no        yes         yes

at one evaluation a step. The measurements, over mixtures that are none of the benchmark's, are in the documentation ("Few evaluations").
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Grid, Interval, LinearSDE, Noise, Predictor, Reverse, Step
from scoresde.core.multistep import History, advance

from ..grid.balanced import Balanced
from .adams_bashforth import AdamsBashforth
from .unipc import UniPC

_CHOICES: tuple[tuple[int, Predictor], ...] = (  # the fewest steps that a method is for
    (30, UniPC(order=4, variable="angle")),
    (10, UniPC(order=3, variable="angle")),
    (6, AdamsBashforth(order=3, variable="angle")),
    (1, AdamsBashforth(order=2, variable="angle")),
)


@final
@attrs.frozen(kw_only=True)
class Auto(Predictor):
    """Method and grid by measurement, for any linear SDE (Lu et al., 2022; Zhao et al., 2023)."""

    name = "auto"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False

    @property
    def ode_order(self) -> int | None:
        return 3

    @property
    def own_grid(self) -> Grid | None:
        return Balanced()

    def chosen(self, steps: int) -> Predictor:
        return next(method for fewest, method in _CHOICES if steps >= fewest)

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        first: History = self.chosen(len(intervals)).init(reverse, x, intervals)
        return first

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
