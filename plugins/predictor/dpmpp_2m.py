"""DPM-Solver++ (2M), and its SDE form (Lu et al., 2022, "DPM-Solver++", Algorithm 2 and sec. 5).

With h the step in lambda, half the log-SNR, h_1 the one before, r = h_1 / h and rate = 1 + eta^2,

    x_s = sigma_s / sigma_t e^(-eta^2 h) x_t + alpha_s (1 - e^(-rate h)) [D_0 + (D_0 - D_1) / (2 r)] + sigma_s sqrt(1 - e^(-2 eta^2 h)) z,

D_0 and D_1 the denoised means at t and at the time before; the first step has D_0 alone. eta = 1 is 2M SDE.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import History, Plan, Update, advance, half_log_snr


@final
@attrs.frozen(kw_only=True)
class DPMpp2M(Predictor):
    """DPM-Solver++ (2M), with eta = 1 2M SDE (Lu et al., 2022)."""

    name = "dpmpp_2m"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = False

    eta: float = option(0.0, at_least=0, at_most=1000, help="the noise, in units of the reverse SDE's: 0 for none, 1 for 2M SDE")

    @property
    def ode_order(self) -> int | None:
        return 2 if self.eta == 0 else None

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        sde = reverse.sde
        assert isinstance(sde, LinearSDE)
        steps = tuple(self._update(sde, each, intervals[row - 1] if row else None) for row, each in enumerate(intervals))
        return History(Plan("denoised", 1, steps, (None,) * len(steps), intervals[0].index))

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return advance(state, reverse, x, interval, noise)

    def _update(self, sde: LinearSDE, interval: Interval, before: Interval | None) -> Update:
        t, s, eta = interval.t, interval.s, self.eta
        h = half_log_snr(sde, s) - half_log_snr(sde, t)
        scale = float(sde.sigma(s)) / float(sde.sigma(t)) * math.exp(-(eta**2) * h)
        gain = -float(sde.alpha(s)) * math.expm1(-(1 + eta**2) * h)
        std = float(sde.sigma(s)) * math.sqrt(-math.expm1(-2 * eta**2 * h))
        if before is None:
            return Update(scale, (gain,), std)
        further = h / (2 * (half_log_snr(sde, t) - half_log_snr(sde, before.t)))
        return Update(scale, (gain * (1 + further), -gain * further), std)
