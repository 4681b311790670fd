"""Annealed Langevin dynamics (Song & Ermon, 2019, Algorithm 1) as a corrector:

    eps = 2 a (r sigma(t))^2,    x' = x + eps score + sqrt(2 eps) z.

In the letters of 2019 the step is alpha = 2 eps and its schedule alpha_i = step_lr (sigma_i / sigma_L)^2, that is r = sqrt(step_lr
/ 2) / sigma_L. a is 1, or the published chain's alpha_i with ``ladder``.
"""

import math
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Corrector, LinearSDE, Noise, Reverse, Scalar, Step, add_scaled, double, option, sqrt


@final
@attrs.frozen(kw_only=True)
class AnnealedLangevin(Corrector):
    """Annealed Langevin dynamics (Song & Ermon, 2019, Algorithm 1)."""

    name = "annealed_langevin"
    needs: ClassVar[type[Any]] = LinearSDE

    snr: float = option(0.16, above=0, help="signal-to-noise ratio r; the published NCSN has step_lr = 2e-5, sigma_L = 0.01: r = 0.316")
    ladder: bool = option(False, help="multiply the step by the published chain's alpha_i")

    @property
    def reads_ladder(self) -> bool:
        return self.ladder

    def correct(self, reverse: Reverse, x: Tensor, t: Scalar, noise: Noise) -> Step:
        assert isinstance(reverse.sde, LinearSDE)
        std = self.snr * reverse.sde.sigma(double(t)) * math.sqrt(2)  # sqrt(eps)
        if self.ladder:
            std = std * sqrt(reverse.sde.ladder().alpha(t))
        mean = add_scaled(x, std**2, reverse.score(x, t))
        return Step.draw(mean, math.sqrt(2) * std, noise)
