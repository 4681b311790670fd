"""SA-Solver, a stochastic Adams method (Xue et al., 2023, "SA-Solver", Algorithm 1, eqs. 14 to 18).

Of the reverse processes with the marginals of the forward one, those with the noise tau times the paper's are solved by exponential Adams
steps on the denoised mean, prediction and correction with the same noise (``scoresde.core.multistep``):

    x_s = a x_t + sum_{j < order} w_j D_j + std z.

tau = 1 is the reverse SDE (Song et al., 2021, eq. 6), 0 the probability flow. Where a step with noise is more than half as long again as
the one before, its prediction goes through a single value.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import Along, History, Variable, advance, begin, values_of


@final
@attrs.frozen(kw_only=True)
class SASolver(Predictor):
    """The stochastic Adams solver (Xue et al., 2023)."""

    name = "sa_solver"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    order: int = option(3, at_least=1, at_most=3, help="values that a prediction goes through; its correction goes through one more")
    tau: float = option(1.0, at_least=0, at_most=1000, help="the noise, in units of the reverse SDE's; 0 for none")
    variable: Variable = option("log_snr", help="by polynomials in the log-SNR, or in the angle arctan(sigma / (alpha scale))")
    scale: float = option(1.0, above=0, help="the noise-to-signal ratio in the middle of the angle, where the values change most")
    amplification: float | None = option(None, at_least=1, help="what a prediction may make of an error of the values; left out: anything")

    @property
    def ode_order(self) -> int | None:
        return values_of(self.order, self.amplification) + 1 if self.tau == 0 else None

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        assert isinstance(reverse.sde, LinearSDE)
        along, most = Along(self.variable, self.scale), self.amplification
        return begin(reverse.sde, intervals, self.order, "denoised", tau=self.tau, correct=True, along=along, amplification=most)

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
