"""The methods that were measured to be the best at few evaluations: UniPC or, with noise, SA-Solver in the angle, on the ``balanced`` grid.

In y = x / alpha and rho = sigma / alpha every linear SDE has one probability flow, dy / d rho = eps (Lu et al., 2022, eq. 3.4), so that one
choice serves all of them. The denoised mean is followed by polynomials in the angle arctan(rho / 3) (``scoresde.core.multistep``), through
4 values, or 3 with noise; every step is corrected by the value at its end (Zhao et al., 2023; Xue et al., 2023), at one evaluation a step.

In runs of few steps a network's values change within a step in ways that no polynomial follows, and the more values one goes through, the
more it makes of that: the error of trained models at 10 evaluations grew with the order, where that of exact mixtures fell. A prediction
may make 5 times as much of it and no more, which keeps both: that is near order 2 for long steps and near 4 for short ones.

What each part is worth, on mixtures that are none of the benchmark's, stands in the documentation ("Few evaluations").
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Grid, Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import History, advance

from ..grid.balanced import Balanced
from .sa_solver import SASolver
from .unipc import UniPC

_FOLLOWED: dict[str, Any] = {"variable": "angle", "scale": 3.0, "amplification": 5.0}


@final
@attrs.frozen(kw_only=True)
class Auto(Predictor):
    """Method and grid by measurement, for any linear SDE (Lu et al., 2022; Zhao et al., 2023; Xue et al., 2023)."""

    name = "auto"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    tau: float = option(0.0, at_least=0, at_most=1000, help="the noise, in units of the reverse SDE's; 0 for the probability flow")

    @property
    def ode_order(self) -> int | None:
        return self._method.ode_order

    @property
    def own_grid(self) -> Grid | None:
        return Balanced()

    def chosen(self, steps: int) -> Predictor:
        return self._method

    @property
    def _method(self) -> UniPC | SASolver:
        return UniPC(order=4, form="denoised", **_FOLLOWED) if self.tau == 0 else SASolver(order=3, tau=self.tau, **_FOLLOWED)

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        return self._method.init(reverse, x, intervals)

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
