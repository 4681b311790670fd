"""The variance-preserving SDE with the cosine schedule (Nichol & Dhariwal, 2021, "Improved Denoising Diffusion Probabilistic Models", ICML,
arXiv:2102.09672, eq. 17), in continuous time.

    dx = -beta(t)/2 x dt + sqrt(beta(t)) dw,    alpha(t) = cos(phi(t)) / cos(phi(0)),    phi(t) = pi/2 (t + offset) / (1 + offset),

so that beta(t) = -2 d log alpha / dt = pi / (1 + offset) tan(phi(t)). At t = 1 alpha is 0 and beta infinite: time ends at 0.9946 (Lu et
al., 2022, "DPM-Solver", arXiv:2206.00927), where alpha is 0.0084, near to the 0.0066 at the end of the linear VP SDE. From s to t

    alpha_ts = cos(phi_t) / cos(phi_s),    sigma_ts^2 = 1 - alpha_ts^2 = sin(phi_t - phi_s) sin(phi_t + phi_s) / cos(phi_s)^2,

and sigma(t) is sigma_ts at s = 0: no form cancels. With sigma^2 = 1 / (1 + SNR) and alpha^2 = 1 - sigma^2 the time of an SNR follows from

    tan(phi_t - phi_0) = cos(phi_0) sigma^2 / (sin(phi_t) + alpha sin(phi_0)) / (alpha cos(phi_0)^2 + sin(phi_t) sin(phi_0)),
    sin(phi_t)^2 = sin(phi_0)^2 + cos(phi_0)^2 sigma^2.

Published chain: beta_i = 1 - alpha((i + 1) / N)^2 / alpha(i / N)^2, at most 0.999, so that its p(x_i | x_0) is the SDE's at (i + 1) / N,
but for the last level, which lies beyond t_max.
"""

import math
from typing import ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Ladder, LinearSDE, Scalar, broadcast, double, exp, log, option, softplus, sqrt, where

_LARGEST_BETA = 0.999


@final
@attrs.frozen(kw_only=True)
class Cosine(LinearSDE):
    """The variance-preserving SDE with the cosine schedule (Nichol & Dhariwal, 2021, eq. 17)."""

    name = "cosine"
    t_max: ClassVar[float] = 0.9946
    sampling_end: ClassVar[float] = 1e-3

    offset: float = option(0.008, above=0, at_most=1, help="the paper's s; beta(0) is about pi^2 / 2 times it")
    levels: int = option(1000, at_least=2, help="N of the published discrete chain")
    t_min: float = option(1e-5, above=0, below=0.9946, help="smallest time of training and likelihoods")

    def angle(self, time: Scalar) -> Scalar:
        """By how much phi grows in this time."""
        return double(time) * (0.5 * math.pi / (1 + self.offset))

    @property
    def _first(self) -> float:
        """phi(0)."""
        return float(self.angle(self.offset))

    def rate(self, t: Scalar) -> Scalar:
        return -0.5 * self.beta(t)

    def beta(self, t: Scalar) -> Scalar:
        left = self.angle(1 - double(t))  # pi/2 - phi, which keeps its digits near t = 1
        return math.pi / (1 + self.offset) * cos(left) / sin(left)

    def diffusion(self, t: Scalar) -> Scalar:
        return sqrt(self.beta(t))

    def alpha(self, t: Scalar) -> Scalar:
        return sin(self.angle(1 - double(t))) / math.cos(self._first)

    def sigma(self, t: Scalar) -> Scalar:
        return self.transition(t, 0.0)[1]

    def log_snr(self, t: Scalar) -> Scalar:
        return 2 * log(self.alpha(t) / self.sigma(t))

    def time(self, log_snr: Scalar) -> Scalar:
        square, alpha = exp(-softplus(log_snr)), exp(-0.5 * softplus(-log_snr))
        sine, cosine = math.sin(self._first), math.cos(self._first)
        last = sqrt(sine**2 + cosine**2 * square)
        grown = arctan(cosine * square / ((last + alpha * sine) * (alpha * cosine**2 + last * sine)))
        return grown / float(self.angle(1.0))

    def transition(self, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar]:
        t, s = double(t), double(s)
        start = sin(self.angle(1 - s))
        square = sin(self.angle(t - s)) * sin(self.angle(t + s + 2 * self.offset))
        return sin(self.angle(1 - t)) / start, sqrt(square) / start

    @property
    def prior_std(self) -> float:
        return 1.0

    def ladder(self) -> Ladder:
        return CosineLadder(self)


@final
class CosineLadder(Ladder):
    """The published chain."""

    def __init__(self, sde: Cosine) -> None:
        self.sde, self.levels = sde, sde.levels

    def beta(self, t: Scalar) -> Scalar:
        i = self.index(t)
        square = self.sde.transition((i + 1) / self.levels, i / self.levels)[1] ** 2
        return where(square < _LARGEST_BETA, square, _LARGEST_BETA + 0.0 * square)

    def kernel(self, t: Scalar) -> tuple[Scalar, Scalar]:
        i = self.index(t)
        end, before = (i + 1) / self.levels, self.sde.alpha(i / self.levels)
        alpha = where(i < self.levels - 1, self.sde.alpha(end), before * math.sqrt(1 - _LARGEST_BETA))
        return alpha, where(i < self.levels - 1, self.sde.sigma(end), sqrt(1 - alpha**2))

    def shift(self, x: Tensor, t: Scalar) -> Tensor:
        return x * broadcast(sqrt(1 - self.beta(t)) - 1, x)

    def std(self, t: Scalar) -> Scalar:
        return sqrt(self.beta(t))

    def alpha(self, t: Scalar) -> Scalar:
        return 1 - self.beta(t)


def sin(value: Scalar) -> Scalar:
    return torch.sin(value) if isinstance(value, Tensor) else math.sin(value)


def cos(value: Scalar) -> Scalar:
    return torch.cos(value) if isinstance(value, Tensor) else math.cos(value)


def arctan(value: Scalar) -> Scalar:
    return torch.atan(value) if isinstance(value, Tensor) else math.atan(value)
