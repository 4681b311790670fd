"""Forward SDEs dx = f(x, t) dt + g(t) dw on 0 < t <= T (Song et al., 2021, eq. 5), and what the linear ones know in closed form.

A linear SDE has f(x, t) = r(t) x and hence Gaussian kernels (eq. 29)

    p(x_t | x_0) = N(alpha(t) x_0, sigma(t)^2 I),        p(x_t | x_s) = N(alpha_ts x_s, sigma_ts^2 I)   for s < t,

with alpha_ts = alpha(t) / alpha(s) and sigma_ts^2 = sigma(t)^2 - alpha_ts^2 sigma(s)^2. Its log-SNR log(alpha^2 / sigma^2) falls
with t, and g(t)^2 / sigma(t)^2 is minus its derivative.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, final

import torch
from torch import Tensor

from .component import Component
from .noise import Noise
from .scalars import Scalar, broadcast, double, log, nearest, sqrt, trunc, where

_ROUNDING = 1e-9  # of t (levels - 1), far above its rounding and far below what tells two times apart


class SDE(Component):
    """A forward SDE with a scalar diffusion coefficient.

    States x are (B, *) of any rank; a time t is a Python float or a (B,) tensor with 0 < t <= t_max, and time functions answer in
    float64, a float for a float. ``t_min`` is where training and likelihoods end, ``sampling_end`` where samplers do (the
    papers' epsilon), ``levels`` the N of the discrete systems.
    """

    kind = "sde"
    t_max: ClassVar[float] = 1.0
    sampling_end: ClassVar[float]
    t_min: float
    levels: int

    @abstractmethod
    def drift(self, x: Tensor, t: Scalar) -> Tensor:
        """f(x, t), shape of x (eq. 5)."""

    @abstractmethod
    def diffusion(self, t: Scalar) -> Scalar:
        """g(t), shape of t (eq. 5)."""

    @abstractmethod
    def marginal(self, x0: Tensor, t: Scalar) -> tuple[Tensor, Scalar]:
        """Mean (shape of x0) and standard deviation (shape of t) of p(x_t | x_0) (eq. 29)."""

    @abstractmethod
    def prior_sample(
        self, shape: Sequence[int], noise: Noise, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Tensor:
        """A draw from the prior, the law that stands for the marginal at t_max."""

    @abstractmethod
    def prior_log_prob(self, z: Tensor) -> Tensor:
        """The prior's log-density in nats, summed over all but the first axis: (B,), at least float32."""

    def discretize(self, x: Tensor, t: Scalar, s: Scalar) -> tuple[Tensor, Scalar]:
        """One step of a forward chain from s to t > s, x_t = x_s + f + G z, with f and G taken at (x, t): (f, G)."""
        return self.drift(x, t) * broadcast(t - s, x), self.diffusion(t) * sqrt(t - s)

    def ladder(self) -> "Ladder":
        """The published discrete chain with ``levels`` steps; for an SDE without one, Euler steps of size 1 / levels."""
        return EulerLadder(self)


class LinearSDE(SDE):
    """An SDE with a drift linear in x: what ancestral sampling, exact mixtures and fast solvers need."""

    @abstractmethod
    def alpha(self, t: Scalar) -> Scalar:
        """The factor of x_0 in the mean of p(x_t | x_0)."""

    @abstractmethod
    def sigma(self, t: Scalar) -> Scalar:
        """The standard deviation of p(x_t | x_0)."""

    @abstractmethod
    def rate(self, t: Scalar) -> Scalar:
        """r(t) of the drift r(t) x."""

    @abstractmethod
    def time(self, log_snr: Scalar) -> Scalar:
        """The time at which log(alpha^2 / sigma^2) has this value; the inverse of ``log_snr``."""

    @property
    @abstractmethod
    def prior_std(self) -> float:
        """The prior is N(0, prior_std^2 I)."""

    def log_snr(self, t: Scalar) -> Scalar:
        """log(alpha(t)^2 / sigma(t)^2), strictly falling."""
        return 2 * log(self.alpha(t)) - 2 * log(self.sigma(t))

    def transition(self, t: Scalar, s: Scalar) -> tuple[Scalar, Scalar]:
        """(alpha_ts, sigma_ts) of p(x_t | x_s) for s <= t; override where a form without cancellation is known."""
        ratio = self.alpha(t) / self.alpha(s)
        return ratio, sqrt(self.sigma(t) ** 2 - (ratio * self.sigma(s)) ** 2)

    def drift(self, x: Tensor, t: Scalar) -> Tensor:
        return x * broadcast(self.rate(t), x)

    def marginal(self, x0: Tensor, t: Scalar) -> tuple[Tensor, Scalar]:
        return x0 * broadcast(self.alpha(t), x0), self.sigma(t)

    def discretize(self, x: Tensor, t: Scalar, s: Scalar) -> tuple[Tensor, Scalar]:
        """The exact kernel: f = (alpha_ts - 1) x, G = sigma_ts; eqs. 8 and 10 with a step of any size."""
        ratio, std = self.transition(t, s)
        return x * broadcast(ratio - 1, x), std

    def prior_sample(
        self, shape: Sequence[int], noise: Noise, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Tensor:
        return noise.normal(shape, dtype=dtype, device=device) * self.prior_std

    def prior_log_prob(self, z: Tensor) -> Tensor:
        rows = (z if z.dtype == torch.float64 else z.float()).flatten(1)
        constant = rows.shape[1] * math.log(2 * math.pi * self.prior_std**2)
        return -0.5 * (rows.square().sum(1) / self.prior_std**2 + constant)


class Ladder(ABC):
    """The coefficients of a published discrete chain; index 0 is the least noisy of ``levels`` steps.

    A network trained on the chain knows its level by a ``label``, the papers' conditioning, with the kernel of the level that it names.
    """

    levels: int

    def place(self, t: Scalar) -> Scalar:
        """t (levels - 1), whole where it is so up to rounding: a level's own time must not fall to the level below."""
        place = double(t) * (self.levels - 1)
        whole = nearest(place)
        return where((place - whole) ** 2 < _ROUNDING**2, whole, place)

    def index(self, t: Scalar) -> Scalar:
        """trunc(t (levels - 1)), a whole number as a float or a (B,) float64 tensor."""
        return trunc(self.place(t))

    def label(self, t: Scalar) -> Scalar:
        """What a network trained on the chain is told at time t: t (levels - 1), not rounded."""
        return self.place(t)

    def time(self, label: Scalar) -> Scalar:
        """The time of the level with this label, 0, ..., levels - 1; the inverse of ``label``."""
        return double(label) / (self.levels - 1)

    @abstractmethod
    def kernel(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """(alpha, sigma) of p(x_i | x_0) = N(alpha x_0, sigma^2 I) at the level that label(t) names."""

    @abstractmethod
    def shift(self, x: Tensor, t: Scalar) -> Tensor:
        """f_i(x) of x_{i+1} = x_i + f_i(x_i) + G_i z at i = index(t)."""

    @abstractmethod
    def std(self, t: Scalar) -> Scalar:
        """G_i of the same step."""

    def step(self, x: Tensor, t: Scalar) -> tuple[Tensor, Scalar]:
        """(f_i, G_i), the discrete counterpart of ``SDE.discretize``."""
        return self.shift(x, t), self.std(t)

    def alpha(self, t: Scalar) -> Scalar:
        """alpha_i, the square of the chain's factor on x: the one that Langevin step sizes carry (App. G, Algorithm 5)."""
        return 1.0

    def ancestral_std(self, t: Scalar) -> Scalar:
        """The standard deviation of the noise that ancestral sampling adds at i = index(t)."""
        return self.std(t)


@final
class EulerLadder(Ladder):
    """Euler steps of size 1 / levels: f = drift / N, G = g / sqrt(N); ``alpha`` maps i / (N - 1) to alpha_i, 1 where not given."""

    def __init__(self, sde: SDE, alpha: Callable[[Scalar], Scalar] | None = None) -> None:
        self.sde, self.levels, self._alpha = sde, sde.levels, alpha

    def kernel(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """The SDE's own at t (t_min at least, for its first level has no noise), which the Euler chain only approaches.

        Raises TypeError where the SDE is not linear.
        """
        if not isinstance(self.sde, LinearSDE):
            raise TypeError(f"the kernel of a level needs a LinearSDE; {type(self.sde).__name__} is not one")
        t = double(t)
        t = where(t > self.sde.t_min, t, self.sde.t_min + 0.0 * t)
        return self.sde.alpha(t), self.sde.sigma(t)

    def shift(self, x: Tensor, t: Scalar) -> Tensor:
        return self.sde.drift(x, t) / self.levels

    def std(self, t: Scalar) -> Scalar:
        return self.sde.diffusion(t) / math.sqrt(self.levels)

    def alpha(self, t: Scalar) -> Scalar:
        return 1.0 if self._alpha is None else self._alpha(self.index(t) / (self.levels - 1))
