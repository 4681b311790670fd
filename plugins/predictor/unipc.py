"""UniPC, a predictor and a corrector that share their evaluations (Zhao et al., 2023, "UniPC", Algorithms 1 and 2).

The predictor is ``adams_bashforth``. Its value at the next time, which the next step needs anyway, first corrects the step that led
there: x is found again from where that step began, through that value as well,

    x_t = a x_{t_1} + sum_{j <= order} w_j v_j,    v_0 = v(predicted x_t, t)    (``scoresde.core.multistep``),

at no further evaluation; the value is not taken anew. From order 3 on the paper's coefficients are these, whatever its B(h); at order 2
they agree up to a factor that goes to 1.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import Along, Form, History, Variable, advance, begin, values_of


@final
@attrs.frozen(kw_only=True)
class UniPC(Predictor):
    """The unified predictor-corrector method (Zhao et al., 2023)."""

    name = "unipc"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False
    remakes: ClassVar[bool] = True

    order: int = option(3, at_least=1, at_most=4, help="values that a prediction goes through; its correction goes through one more")
    form: Form = option("noise", help="what is extrapolated: the predicted noise, or the denoised mean")
    variable: Variable = option("log_snr", help="by polynomials in the log-SNR, or in the angle arctan(sigma / (alpha scale))")
    scale: float = option(1.0, above=0, help="the noise-to-signal ratio in the middle of the angle, where the values change most")
    amplification: float | None = option(None, at_least=1, help="what a prediction may make of an error of the values; left out: anything")

    @property
    def ode_order(self) -> int | None:
        # The first step bounds it by 3; with the denoised mean, which hardly changes there, order 3 does not show it above errors of 1e-7.
        order = values_of(self.order, self.amplification)
        return order + 1 if self.form == "denoised" and order < 4 else min(order + 1, 3)

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        assert isinstance(reverse.sde, LinearSDE)
        along = Along(self.variable, self.scale)
        return begin(reverse.sde, intervals, self.order, self.form, correct=True, along=along, amplification=self.amplification)

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)
