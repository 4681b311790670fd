"""The variance-preserving SDE, the limit of DDPM (Song et al., 2021, eqs. 11, 32, 33).

dx = -beta(t)/2 x dt + sqrt(beta(t)) dw with beta linear in t; alpha = exp(-B/2), sigma^2 = 1 - exp(-B), B the integral of beta.
Published chain (eq. 10): x_{i+1} = sqrt(1 - beta_i) x_i + sqrt(beta_i) z with beta_i = (beta_min + i/(N-1) (beta_max - beta_min)) / N,
and with it (eq. 3) p(x_i | x_0) = N(sqrt(abar_i) x_0, (1 - abar_i) I), where abar_i is the product of 1 - beta_j over j = 0, ..., i.
"""

import math
from functools import lru_cache
from typing import ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Ladder, Scalar, broadcast, exp, expm1, log, option, softplus, sqrt

from .linear_beta import LinearBetaSDE


@final
@attrs.frozen(kw_only=True)
class VP(LinearBetaSDE):
    """The variance-preserving SDE (Song et al., 2021, eq. 11)."""

    name = "vp"
    sampling_end: ClassVar[float] = 1e-3

    beta_min: float = option(0.1, above=0, help="beta at t = 0")
    beta_max: float = option(20.0, above=0, help="beta at t = 1")
    levels: int = option(1000, at_least=2, help="N of the published discrete chain")
    t_min: float = option(1e-5, above=0, below=1, help="smallest time of training and likelihoods")

    def diffusion(self, t: Scalar) -> Scalar:
        return sqrt(self.beta(t))

    def sigma(self, t: Scalar) -> Scalar:
        return sqrt(-expm1(-self.integral(t)))

    def log_snr(self, t: Scalar) -> Scalar:
        return -log(expm1(self.integral(t)))

    def time(self, log_snr: Scalar) -> Scalar:
        return self.integral_inverse(softplus(-log_snr))

    def transition(self, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar]:
        gap = self.integral(t, s)
        return exp(-0.5 * gap), sqrt(-expm1(-gap))

    def ladder(self) -> Ladder:
        return VPLadder(self)


@final
class VPLadder(Ladder):
    """DDPM's chain. Raises ValueError where its largest beta_i reaches 1, that is for N <= beta_max."""

    def __init__(self, sde: VP) -> None:
        if sde.beta_max >= sde.levels:
            raise ValueError(
                f"levels = {sde.levels} is too few for beta_max = {sde.beta_max:g}: beta_i would reach 1;"
                f" take more than {math.floor(sde.beta_max)} levels, or ladder = false"
            )
        self.sde, self.levels = sde, sde.levels

    def beta(self, t: Scalar) -> Scalar:
        return self.sde.beta(self.index(t) / (self.levels - 1)) / self.levels

    def kernel(self, t: Scalar) -> tuple[Scalar, Scalar]:
        table, i = _log_alpha_bars(self.sde), self.index(t)
        value: Scalar = table.to(i.device)[i.long()] if isinstance(i, Tensor) else float(table[int(i)])
        return exp(0.5 * value), sqrt(-expm1(value))

    def shift(self, x: Tensor, t: Scalar) -> Tensor:
        return x * broadcast(sqrt(1 - self.beta(t)) - 1, x)

    def std(self, t: Scalar) -> Scalar:
        return sqrt(self.beta(t))

    def alpha(self, t: Scalar) -> Scalar:
        return 1 - self.beta(t)


@lru_cache(maxsize=8)
def _log_alpha_bars(sde: VP) -> Tensor:
    """log abar_i, (levels,) float64."""
    place = torch.arange(sde.levels, dtype=torch.float64) / (sde.levels - 1)
    return torch.log1p(-sde.beta(place) / sde.levels).cumsum(0)  # type: ignore[arg-type]
