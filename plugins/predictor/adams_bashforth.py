"""Adams-Bashforth methods of the probability flow in log-SNR, in exponential form.

    x_s = a x_t + sum_{j < order} w_j v_j    (``scoresde.core.multistep``),

with v the predicted noise or the denoised mean, at one evaluation a step. In the form of the noise this is the exponential integrator of
Lu et al. (2022, eq. 3.4) with the extrapolation of Adams and Bashforth (Hairer, Norsett & Wanner, 1993, sec. III.1; for diffusion, Zhang &
Chen, 2023). Order 1 is DDIM. The first steps, which have fewer values, are made again with the value at their end.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import Along, Form, History, Variable, advance, begin


@final
@attrs.frozen(kw_only=True)
class AdamsBashforth(Predictor):
    """Exponential Adams-Bashforth in log-SNR (Lu et al., 2022; Zhang & Chen, 2023)."""

    name = "adams_bashforth"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    order: int = option(3, at_least=1, at_most=4, help="values that a step extrapolates; the first steps have fewer")
    form: Form = option("noise", help="what is extrapolated: the predicted noise, or the denoised mean")
    variable: Variable = option("log_snr", help="by polynomials in the log-SNR, or in the angle arctan(sigma / (alpha scale))")
    scale: float = option(1.0, above=0, help="the noise-to-signal ratio in the middle of the angle, where the values change most")

    @property
    def ode_order(self) -> int | None:
        return min(self.order, 3)  # the first step, with its single value, bounds it

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        assert isinstance(reverse.sde, LinearSDE)
        return begin(reverse.sde, intervals, self.order, self.form, along=Along(self.variable, self.scale))

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
