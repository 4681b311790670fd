"""The diffusion exponential integrator sampler tAB-DEIS (Zhang & Chen, 2023, "Fast Sampling of Diffusion Models with Exponential
Integrator", ICLR, arXiv:2204.13902), for any linear SDE.

With the predicted noise eps(x, t) = -sigma(t) score(x, t) and rho = sigma / alpha, whose derivative is g^2 / (2 alpha sigma), the
probability-flow ODE (Song et al., 2021, eq. 13) says d(x / alpha) = eps(x, t) d rho: its linear part is solved exactly,

    x_s = alpha(s) / alpha(t) x_t + alpha(s) (integral of eps d rho from rho(t) to rho(s)).

Under the integral eps is replaced by the polynomial of degree r in time through its values at t = t_0 and at the times t_1, ..., t_r of the
r steps before, so that a step costs one evaluation:

    x_s = alpha(s) / alpha(t) x_t + sum_j C_j eps(x_{t_j}, t_j),
    C_j = alpha(s) (integral of l_j d rho from rho(t) to rho(s)),     l_j(tau) = prod_{k != j} (tau - t_k) / (t_j - t_k).

The C_j are found by Gauss-Legendre quadrature over log rho, half the negative log-SNR, where the integrand is smooth also near t = 0.
Degree 0 is DDIM (Song, Meng & Ermon, 2021).

The first steps have fewer than r times before them. ``start`` "lower_order", the paper's way, gives them the highest degree that they can
have. The one step of degree 0 has an error of h^2, which bounds the order of convergence by 2, though with a small constant: at t_max,
where x is nearly noise, eps hardly changes. "runge_kutta" takes the first r - 1 steps by a method of order r on d(x / alpha) / d rho = eps
(their rhoRK-DEIS: Heun's for r = 2, Kutta's for r = 3), at r - 1 further evaluations each, and the order is r + 1.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, final

import attrs
import numpy as np
import torch
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, add_scaled, log, option

_NODES = 32  # exact to rounding from 2 steps on, under VE, VP, sub-VP and cosine


class Point(NamedTuple):
    """A time with its alpha and rho."""

    t: float
    alpha: float
    rho: float


@final
class Plan:
    """What the steps of a grid need of it: alpha(s) / alpha(t) and (C_0, ..., C_r) of each, and of the first ``single`` steps, which are
    one-step methods, their beginning, the middle in rho, and their end."""

    def __init__(self, sde: LinearSDE, intervals: Sequence[Interval], degree: int, single: int) -> None:
        self.ratios = [float(sde.alpha(each.s)) / float(sde.alpha(each.t)) for each in intervals]
        self.coefficients = coefficients(sde, intervals, degree)
        self.singles = [points(sde, each) for each in intervals[:single]]
        self._first = intervals[0].index

    def row(self, interval: Interval) -> int:
        return interval.index - self._first


class History(NamedTuple):
    """The plan, and the noises predicted at the times before this one, the latest first."""

    plan: Plan
    noises: tuple[Tensor, ...] = ()


def coefficients(sde: LinearSDE, intervals: Sequence[Interval], degree: int) -> list[tuple[float, ...]]:
    """(C_0, ..., C_r) of every interval, with r = ``degree``, or as many as there are steps before it."""
    times = torch.tensor([[each.t, each.s] for each in intervals], dtype=torch.float64)
    log_rho = -0.5 * torch.as_tensor(sde.log_snr(times.flatten())).reshape(-1, 2, 1)
    places, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(_NODES))
    middle, half = log_rho.mean(1), 0.5 * (log_rho[:, 1] - log_rho[:, 0])
    log_rho = middle + half * places
    tau = torch.as_tensor(sde.time(-2 * log_rho.flatten())).reshape(log_rho.shape)
    measure = torch.as_tensor(sde.alpha(times[:, 1]))[:, None] * half * weights * log_rho.exp()
    before = [times[max(0, row - degree) : row + 1, 0].flip(0) for row in range(len(intervals))]
    return [tuple((lagrange(tau[row], nodes) @ measure[row]).tolist()) for row, nodes in enumerate(before)]


def lagrange(tau: Tensor, nodes: Tensor) -> Tensor:
    """The Lagrange polynomials of the nodes (r + 1,) at the times tau (n,): (r + 1, n)."""
    own = torch.eye(len(nodes), dtype=torch.bool)[:, :, None]
    factors = (tau - nodes[None, :, None]) / (nodes[:, None] - nodes).masked_fill(own[..., 0], 1.0)[..., None]
    return factors.masked_fill(own, 1.0).prod(1)


def points(sde: LinearSDE, interval: Interval) -> tuple[Point, Point, Point]:
    """The beginning of an interval, the time with the middle rho, and the end."""

    def point(t: float) -> Point:
        return Point(t, float(sde.alpha(t)), float(sde.sigma(t) / sde.alpha(t)))

    first, last = point(interval.t), point(interval.s)
    return first, point(float(sde.time(-2 * log(0.5 * (first.rho + last.rho))))), last


@final
@attrs.frozen(kw_only=True)
class DEIS(Predictor):
    """The exponential integrator with polynomial extrapolation of the noise in time, tAB-DEIS (Zhang & Chen, 2023)."""

    name = "deis"
    needs: ClassVar[type[Any]] = LinearSDE

    order: int = option(3, at_least=0, at_most=3, help="degree r of the polynomial; 0 is DDIM")
    start: Literal["lower_order", "runge_kutta"] = option("lower_order", help="how the first steps, without r others before, are taken")

    @property
    def ode_order(self) -> int | None:
        return self.order + 1 if self.start == "runge_kutta" else min(self.order + 1, 2)

    @property
    def evaluations(self) -> int | None:
        return None if self._single else 1

    @property
    def _single(self) -> int:
        """How many steps are one-step methods."""
        return max(0, self.order - 1) if self.start == "runge_kutta" else 0

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> History:
        assert isinstance(reverse.sde, LinearSDE)
        return History(Plan(reverse.sde, intervals, self.order, self._single))

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        plan, before = state
        row = plan.row(interval)
        noises = (reverse.score.noise(x, interval.t), *before)
        if row < len(plan.singles):
            x = self._runge_kutta(reverse, x, noises[0], *plan.singles[row])
        else:
            x = x * plan.ratios[row]
            for coefficient, predicted in zip(plan.coefficients[row], noises, strict=True):
                x = add_scaled(x, coefficient, predicted)
        return Step(x, x, 0.0, History(plan, noises[: self.order]))

    def _runge_kutta(self, reverse: Reverse, x: Tensor, slope: Tensor, first: Point, middle: Point, last: Point) -> Tensor:
        """Heun's or Kutta's step for y = x / alpha over rho, from the noise at x."""
        y, width = x / first.alpha, last.rho - first.rho
        if self.order == 2:
            end = reverse.score.noise(last.alpha * (y + width * slope), last.t)
            return last.alpha * (y + width / 2 * (slope + end))
        half = reverse.score.noise(middle.alpha * (y + width / 2 * slope), middle.t)
        end = reverse.score.noise(last.alpha * (y + width * (2 * half - slope)), last.t)
        return last.alpha * (y + width / 6 * (slope + 4 * half + end))
