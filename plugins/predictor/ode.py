"""The probability-flow ODE solved adaptively from one time to the next (Song et al., 2021, eq. 13 and App. D.4).

One step of the grid is one integration, so a grid of a single step is the black-box ODE sampler of the paper.
"""

from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, Noise, Predictor, Reverse, Step, flow, option


@final
@attrs.frozen(kw_only=True)
class ODE(Predictor):
    """Adaptive Runge-Kutta 5(4) on the probability-flow ODE (Song et al., 2021, eq. 13)."""

    name = "ode"
    projectable: ClassVar[bool] = False

    rtol: float = option(1e-5, above=0, below=1, help="relative tolerance of the solver")
    atol: float = option(1e-5, above=0, below=1, help="absolute tolerance of the solver")
    max_nfe: int = option(10_000, at_least=8, help="evaluations of one step after which the run stops with an error")

    @property
    def evaluations(self) -> int | None:
        return None

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        x, solution = flow(reverse, x, interval.t, interval.s, rtol=self.rtol, atol=self.atol, max_evaluations=self.max_nfe)
        if bool(solution.status.any()):
            raise ArithmeticError(
                f"{int(solution.status.sum())} samples did not get from t = {interval.t:g} to {interval.s:g}"
                f" within max_nfe = {self.max_nfe}: raise it or the tolerances"
            )
        return Step(x, x, 0.0)
