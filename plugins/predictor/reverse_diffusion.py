"""Reverse-diffusion sampling (Song et al., 2021, eq. 46): the forward chain x_t = x_s + f + G z, discretised backwards,

    x_s = x - f(x) + G^2 score(x, t) + G z,    or, as probability flow (eq. 42),    x_s = x - f(x) + G^2 score(x, t) / 2.

f and G are the kernel from s to t (for a linear SDE the exact one, at any step size), or the published chain's with ``ladder``.
"""

from typing import Any, final

import attrs
from torch import Tensor

from scoresde.core import Interval, Noise, Predictor, Reverse, Step, add_scaled, option


@final
@attrs.frozen(kw_only=True)
class ReverseDiffusion(Predictor):
    """Reverse diffusion (Song et al., 2021, eq. 46)."""

    name = "reverse_diffusion"

    probability_flow: bool = option(False, help="the deterministic form, eq. 42")
    ladder: bool = option(False, help="take f and G from the published discrete chain; steps must be the SDE's levels")

    @property
    def ode_order(self) -> int | None:
        return 1 if self.probability_flow else None

    @property
    def gaussian(self) -> bool:
        return not self.probability_flow

    @property
    def reads_s(self) -> bool:
        return not self.ladder

    @property
    def steps_ladder(self) -> bool:
        return self.ladder

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        t, s = interval.t, interval.s
        score = reverse.score(x, t)
        f, std = reverse.sde.ladder().step(x, t) if self.ladder else reverse.sde.discretize(x, t, s)
        if self.probability_flow:
            x = add_scaled(x - f, 0.5 * std**2, score)
            return Step(x, x, 0.0)
        return Step.draw(add_scaled(x - f, std**2, score), std, noise, gain=std**2)
