"""The sub-VP SDE, whose variance is bounded by VP's at every time (Song et al., 2021, eqs. 12, 34).

dx = -beta(t)/2 x dt + g(t) dw, g^2 = beta(t) (1 - exp(-2B)); alpha = exp(-B/2), sigma = 1 - exp(-B), B the integral of beta. From s to t

    sigma_ts^2 = (1 - exp(-(B_t - B_s))) (1 - exp(-(B_t + B_s))).

There is no published chain of its own: Euler steps of size 1/N, and VP's alpha_i in Langevin step sizes.
"""

from typing import ClassVar, final

import attrs

from scoresde.core import EulerLadder, Ladder, LinearSDE, Scalar, asinh, double, exp, expm1, log, option, sqrt

from .linear_beta import beta, check, integral, integral_inverse


@final
@attrs.frozen(kw_only=True)
class SubVP(LinearSDE):
    """The sub-variance-preserving SDE (Song et al., 2021, eq. 12)."""

    name = "sub_vp"
    sampling_end: ClassVar[float] = 1e-3

    beta_min: float = option(0.1, above=0, help="beta at t = 0")
    beta_max: float = option(20.0, above=0, help="beta at t = 1")
    levels: int = option(1000, at_least=2, help="N of the discrete chain")
    t_min: float = option(1e-5, above=0, below=1, help="smallest time of training and likelihoods")

    def __attrs_post_init__(self) -> None:
        check(self.beta_min, self.beta_max)

    def _integral(self, t: Scalar) -> Scalar:
        return integral(double(t), self.beta_min, self.beta_max)

    def rate(self, t: Scalar) -> Scalar:
        return -0.5 * beta(double(t), self.beta_min, self.beta_max)

    def diffusion(self, t: Scalar) -> Scalar:
        return sqrt(-expm1(-2 * self._integral(t)) * beta(double(t), self.beta_min, self.beta_max))

    def alpha(self, t: Scalar) -> Scalar:
        return exp(-0.5 * self._integral(t))

    def sigma(self, t: Scalar) -> Scalar:
        return -expm1(-self._integral(t))

    def log_snr(self, t: Scalar) -> Scalar:
        value = self._integral(t)
        return -value - 2 * log(-expm1(-value))

    def time(self, log_snr: Scalar) -> Scalar:
        return integral_inverse(2 * asinh(0.5 * exp(-0.5 * log_snr)), self.beta_min, self.beta_max)

    def transition(self, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar]:
        upper, lower = self._integral(t), self._integral(s)
        return exp(-0.5 * (upper - lower)), sqrt(expm1(lower - upper) * expm1(-lower - upper))

    @property
    def prior_std(self) -> float:
        return 1.0

    def ladder(self) -> Ladder:
        return EulerLadder(self, lambda place: 1 - beta(place, self.beta_min, self.beta_max) / self.levels)
