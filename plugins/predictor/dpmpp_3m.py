"""DPM-Solver++ (3M), and its SDE form (Lu et al., 2022, "DPM-Solver++", App. B; the SDE form as in k-diffusion, 2023).

The denoised mean is extrapolated by the parabola in half the log-SNR through its latest three values, and the linear part is solved exactly
(``scoresde.core.multistep``). ``eta`` = 1 is the reverse SDE, 0 the probability flow; for eta in between the noise is eta times the reverse
SDE's in standard deviation. Unlike there, the first two steps, which have fewer values, are made again with the value at their end, and a
step with noise goes through one value where it is more than half as long again as the one before.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import History, advance, begin


@final
@attrs.frozen(kw_only=True)
class DPMpp3M(Predictor):
    """DPM-Solver++ (3M), with eta = 1 3M SDE (Lu et al., 2022)."""

    name = "dpmpp_3m"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    eta: float = option(0.0, at_least=0, at_most=1000, help="the noise, in units of the reverse SDE's: 0 for none, 1 for 3M SDE")

    @property
    def ode_order(self) -> int | None:
        return 3 if self.eta == 0 else None

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        assert isinstance(reverse.sde, LinearSDE)
        return begin(reverse.sde, intervals, 3, "denoised", tau=self.eta)

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
