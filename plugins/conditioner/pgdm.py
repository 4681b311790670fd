"""Pseudo-inverse guidance, PiGDM (Song, Vahdat, Mardani & Kautz, 2023, "Pseudoinverse-Guided Diffusion Models for Inverse Problems").

With the denoised mean D(x_t), its derivative J, and the approximation x_0 | x_t ~ N(D, r^2 I), y = A x_0 + std z has the guided score

    score(x_t) + J^T A^T (std^2 I + r^2 A A^T)^-1 (y - A D),        r^2 = s^2 sigma^2 / (s^2 alpha^2 + sigma^2),

r^2 being exact for data N(mu, s^2 I), s = ``data_std`` (the paper's r^2 has s = 1). Exact for those data, biased for others. Its cost
beside the score's evaluation is one backward pass through the network.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import SDE, Condition, Denoised, LinearConditioner, LinearSDE, Noise, Scalar, option, sqrt

from .guided import Guided

_BIAS = "x_0 given x_t is taken to have the covariance r^2 I, which is so for isotropic Gaussian data alone"


@final
@attrs.frozen(kw_only=True)
class PGDM(LinearConditioner):
    """Pseudo-inverse guidance (Song et al., 2023)."""

    name = "pgdm"
    needs: ClassVar[type[Any]] = LinearSDE
    projects: ClassVar[bool] = False
    silenced_by: ClassVar[str | None] = "scale"
    expected_failures: ClassVar[Mapping[str, str]] = {"gaussian": _BIAS, "mixture": _BIAS}

    data_std: float = option(1.0, above=0, help="the data's standard deviation s, of one entry")
    scale: float = option(1.0, at_least=0, help="factor of the guidance; 1 is Bayes' rule, 0 none")

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        observation = self.observation(y, **observed)

        def guidance(at: Denoised) -> Tensor:
            spread = spread_of(at, self.data_std)
            residual = observation.residual(at.mean)
            return at.pull(observation.adjoint(observation.weighted(residual, at.mean, self.std, spread), at.mean))

        return Guided(guidance, self.scale)


def spread_of(at: Denoised, data_std: float) -> Scalar:
    """r."""
    return data_std * at.sigma / sqrt((data_std * at.alpha) ** 2 + at.sigma**2)
