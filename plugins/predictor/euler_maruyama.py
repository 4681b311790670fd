"""Euler-Maruyama steps of the reverse SDE (Song et al., 2021, eq. 6), or Euler steps of the probability-flow ODE (eq. 13).

x_s = x + (s - t) [f - g^2 score] + g sqrt(t - s) z,    or    x_s = x + (s - t) [f - g^2 score / 2].
"""

from typing import Any, final

import attrs
from torch import Tensor

from scoresde.core import Interval, Noise, Predictor, Reverse, Step, add_scaled, option, sqrt


@final
@attrs.frozen(kw_only=True)
class EulerMaruyama(Predictor):
    """Euler-Maruyama on the reverse SDE (Song et al., 2021, eq. 6)."""

    name = "euler_maruyama"

    probability_flow: bool = option(False, help="solve the probability-flow ODE (eq. 13) instead of the SDE")

    @property
    def ode_order(self) -> int | None:
        return 1 if self.probability_flow else None

    @property
    def gaussian(self) -> bool:
        return not self.probability_flow

    @property
    def reads_s(self) -> bool:
        return False

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        t, s = interval.t, interval.s
        if self.probability_flow:
            x = add_scaled(x, s - t, reverse.ode_drift(x, t))
            return Step(x, x, 0.0)
        mean = add_scaled(x, s - t, reverse.drift(x, t))
        std = reverse.sde.diffusion(t) * sqrt(t - s)
        return Step.draw(mean, std, noise, gain=std**2)
