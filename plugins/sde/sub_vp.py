"""The sub-VP SDE, whose variance is bounded by VP's at every time (Song et al., 2021, eqs. 12, 34).

dx = -beta(t)/2 x dt + g(t) dw, g^2 = beta(t) (1 - exp(-2B)); alpha = exp(-B/2), sigma = 1 - exp(-B), B the integral of beta. From s to t

    sigma_ts^2 = (1 - exp(-(B_t - B_s))) (1 - exp(-(B_t + B_s))).

There is no published chain of its own: Euler steps of size 1/N, and VP's alpha_i in Langevin step sizes.
"""

from typing import ClassVar, final

import attrs

from scoresde.core import EulerLadder, Ladder, Scalar, asinh, exp, expm1, log, option, sqrt

from .linear_beta import LinearBetaSDE


@final
@attrs.frozen(kw_only=True)
class SubVP(LinearBetaSDE):
    """The sub-variance-preserving SDE (Song et al., 2021, eq. 12)."""

    name = "sub_vp"
    sampling_end: ClassVar[float] = 1e-3

    beta_min: float = option(0.1, above=0, help="beta at t = 0")
    beta_max: float = option(20.0, above=0, help="beta at t = 1")
    levels: int = option(1000, at_least=2, help="N of the discrete chain")
    t_min: float = option(1e-5, above=0, below=1, help="smallest time of training and likelihoods")

    def diffusion(self, t: Scalar) -> Scalar:
        return sqrt(-expm1(-2 * self.integral(t)) * self.beta(t))

    def sigma(self, t: Scalar) -> Scalar:
        return -expm1(-self.integral(t))

    def log_snr(self, t: Scalar) -> Scalar:
        value = self.integral(t)
        return -value - 2 * log(-expm1(-value))

    def time(self, log_snr: Scalar) -> Scalar:
        return self.integral_inverse(2 * asinh(0.5 * exp(-0.5 * log_snr)))

    def transition(self, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar]:
        gap = self.integral(t, s)
        return exp(-0.5 * gap), sqrt(expm1(-gap) * expm1(-self.integral(t) - self.integral(s)))

    def ladder(self) -> Ladder:
        return EulerLadder(self, lambda place: 1 - self.beta(place) / self.levels)
