"""DDIM (Song, Meng & Ermon, 2021, "Denoising Diffusion Implicit Models", eq. 12), for any linear SDE.

With the denoised mean D, the predicted noise eps = (x - alpha_t D) / sigma_t and c = eta sigma_ts sigma_s / sigma_t, which at eta = 1 is
ancestral sampling's standard deviation,

    x_s = alpha_s D + sqrt(sigma_s^2 - c^2) eps + c z.

eta = 0 is the exponential integrator of order 1 on the probability flow.
"""

from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, add_scaled, option, sqrt


@final
@attrs.frozen(kw_only=True)
class DDIM(Predictor):
    """DDIM (Song, Meng & Ermon, 2021, eq. 12)."""

    name = "ddim"
    needs: ClassVar[type[Any]] = LinearSDE

    eta: float = option(0.0, at_least=0, at_most=1, help="the noise, in units of ancestral sampling's; 0 for none")

    @property
    def ode_order(self) -> int | None:
        return 1 if self.eta == 0 else None

    @property
    def gaussian(self) -> bool:
        return self.eta > 0

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        sde, t, s = reverse.sde, interval.t, interval.s
        assert isinstance(sde, LinearSDE)
        std = self.eta * sde.transition(t, s)[1] * sde.sigma(s) / sde.sigma(t)
        ratio = sde.alpha(s) / sde.alpha(t)
        factor = sqrt(sde.sigma(s) ** 2 - std**2) - ratio * sde.sigma(t)
        mean = add_scaled(x * ratio, factor, reverse.score.noise(x, t))
        return Step(mean, mean, 0.0) if self.eta == 0 else Step.draw(mean, std, noise, gain=-factor * sde.sigma(t))
