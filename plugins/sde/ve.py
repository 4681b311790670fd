"""The variance-exploding SDE, the limit of NCSN (Song et al., 2021, eqs. 9, 30, 31).

dx = sigma(t) sqrt(2 ln(sigma_max / sigma_min)) dw with sigma(t) = sigma_min (sigma_max / sigma_min)^t; alpha = 1, and the kernel's
standard deviation is sigma(t) itself. Prior N(0, sigma_max^2 I).
Published chain (eq. 8): x_{i+1} = x_i + sqrt(sigma_i^2 - sigma_{i-1}^2) z, sigma_i geometric, sigma_{-1} = 0. Its networks count the levels
from the noisiest (Song & Ermon, 2019): the label of i is N - 1 - i, and a time between two levels has the label of the nearest.
"""

import math
from typing import ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Ladder, LinearSDE, Scalar, double, exp, expm1, option, sqrt, where
from scoresde.core.scalars import nearest


@final
@attrs.frozen(kw_only=True)
class VE(LinearSDE):
    """The variance-exploding SDE (Song et al., 2021, eq. 9)."""

    name = "ve"
    sampling_end: ClassVar[float] = 1e-5

    sigma_min: float = option(0.01, above=0, help="noise at t = 0")
    sigma_max: float = option(
        50.0, above=0, at_most=1e6, help="noise at t = 1; about the largest distance between two data points (Song & Ermon, 2020)"
    )
    levels: int = option(1000, at_least=2, help="N of the published discrete chain")
    t_min: float = option(1e-5, above=0, below=1, help="smallest time of training and likelihoods")

    def __attrs_post_init__(self) -> None:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min!r} must be less than sigma_max = {self.sigma_max!r}")

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def rate(self, t: Scalar) -> Scalar:
        return 0.0 * double(t)

    def drift(self, x: Tensor, t: Scalar) -> Tensor:
        return torch.zeros_like(x)

    def diffusion(self, t: Scalar) -> Scalar:
        return self.sigma(t) * math.sqrt(2 * self._log_ratio)

    def alpha(self, t: Scalar) -> Scalar:
        return 1.0 + 0.0 * double(t)

    def sigma(self, t: Scalar) -> Scalar:
        return self.sigma_min * exp(double(t) * self._log_ratio)

    def log_snr(self, t: Scalar) -> Scalar:
        return -2 * (math.log(self.sigma_min) + double(t) * self._log_ratio)

    def time(self, log_snr: Scalar) -> Scalar:
        return (-0.5 * log_snr - math.log(self.sigma_min)) / self._log_ratio

    def transition(self, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar]:
        return self.alpha(t), self.sigma(s) * sqrt(expm1(2 * self._log_ratio * (double(t) - double(s))))

    @property
    def prior_std(self) -> float:
        return self.sigma_max

    def ladder(self) -> Ladder:
        return VELadder(self)


@final
class VELadder(Ladder):
    """NCSN's chain, with eq. 47's noise for ancestral sampling (none at i = 0)."""

    def __init__(self, sde: VE) -> None:
        self.sde, self.levels = sde, sde.levels

    def sigmas(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """(sigma_i, sigma_{i-1}) at i = index(t)."""
        i = self.index(t)
        return self.sde.sigma(i / (self.levels - 1)), where(i > 0, self.sde.sigma((i - 1) / (self.levels - 1)), 0.0 * double(t))

    def label(self, t: Scalar) -> Scalar:
        return nearest((1 - double(t)) * (self.levels - 1))

    def time(self, label: Scalar) -> Scalar:
        return 1 - double(label) / (self.levels - 1)

    def kernel(self, t: Scalar) -> tuple[Scalar, Scalar]:
        level = self.time(self.label(t))
        return self.sde.alpha(level), self.sde.sigma(level)

    def shift(self, x: Tensor, t: Scalar) -> Tensor:
        return torch.zeros_like(x)

    def std(self, t: Scalar) -> Scalar:
        upper, lower = self.sigmas(t)
        return sqrt(upper**2 - lower**2)

    def ancestral_std(self, t: Scalar) -> Scalar:
        upper, lower = self.sigmas(t)
        return self.std(t) * lower / upper
