"""The method that was measured to be the best at few evaluations: UniPC in the angle, on the ``balanced`` grid.

In y = x / alpha and rho = sigma / alpha every linear SDE has one probability flow, dy / d rho = eps (Lu et al., 2022, eq. 3.4), so that one
choice serves all of them. The denoised mean is followed by polynomials in the angle arctan(rho / 3) (``scoresde.core.multistep``), through
4 values; every step is corrected by the value at its end (Zhao et al., 2023), at one evaluation a step.

In runs of few steps a network's values change within a step in ways that no polynomial follows, and the more values one goes through, the
more it makes of that: the error of trained models at 10 evaluations grew with the order, where that of exact mixtures fell. A prediction
may make 5 times as much of it and no more, which keeps both: that is near order 2 for long steps and near 4 for short ones.

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

_METHOD = UniPC(order=4, form="denoised", variable="angle", scale=3.0, amplification=5.0)


@final
@attrs.frozen(kw_only=True)
class Auto(Predictor):
    """Method and grid by measurement, for any linear SDE (Lu et al., 2022; Zhao et al., 2023)."""

    name = "auto"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    @property
    def ode_order(self) -> int | None:
        return _METHOD.ode_order

    @property
    def own_grid(self) -> Grid | None:
        return Balanced()

    def chosen(self, steps: int) -> Predictor:
        return _METHOD

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        first: History = _METHOD.init(reverse, x, intervals)
        return first

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
