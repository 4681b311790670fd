"""Ancestral sampling (Ho et al., 2020; Song et al., 2021, eqs. 4 and 47, App. F) for any linear SDE and any step size.

The posterior p(x_s | x_t, x_0) of a linear SDE, with x_0 replaced by its denoised mean, is N(mean, std^2) with

    mean = (x + sigma_ts^2 score(x, t)) / alpha_ts,    std = sigma_ts sigma(s) / sigma(t).

``variance`` "transition" takes std = sigma_ts instead, the larger of DDPM's two choices. With ``ladder`` the coefficients are the
published chain's: eq. 4 for VP (whose noise is the larger one), eq. 47 for VE.
"""

from typing import Any, ClassVar, Literal, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Scalar, Step, add_scaled, broadcast, option, sqrt


@final
@attrs.frozen(kw_only=True)
class Ancestral(Predictor):
    """Ancestral sampling (Song et al., 2021, eqs. 4 and 47)."""

    name = "ancestral"
    needs: ClassVar[type[Any]] = LinearSDE

    variance: Literal["posterior", "transition"] = option("posterior", help="noise of p(x_s | x_t, x_0), or of p(x_t | x_s)")
    ladder: bool = option(False, help="take the coefficients from the published discrete chain; steps must be the SDE's levels")

    @property
    def gaussian(self) -> bool:
        return True

    @property
    def reads_s(self) -> bool:
        return not self.ladder

    @property
    def steps_ladder(self) -> bool:
        return self.ladder

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        ratio, shared, std = self._coefficients(reverse, interval)
        score = reverse.score(x, interval.t)
        mean = add_scaled(x, shared**2, score) * broadcast(1 / ratio, x)
        return Step.draw(mean, std, noise, gain=shared**2 / ratio)

    def _coefficients(self, reverse: Reverse, interval: Interval) -> tuple[Scalar, Scalar, Scalar]:
        """(alpha_ts, sigma_ts, the noise's standard deviation)."""
        sde, t, s = reverse.sde, interval.t, interval.s
        assert isinstance(sde, LinearSDE)
        if self.ladder:
            ladder = sde.ladder()
            return sqrt(ladder.alpha(t)), ladder.std(t), ladder.ancestral_std(t)
        ratio, shared = sde.transition(t, s)
        return ratio, shared, shared if self.variance == "transition" else shared * sde.sigma(s) / sde.sigma(t)
