"""The singlestep DPM-Solver of orders 2 and 3 (Lu et al., 2022, "DPM-Solver", Algorithms 1 and 2), for any linear SDE.

With lambda = log(alpha / sigma), h its step, and eps the predicted noise, from t through inner times where lambda has gone the part r of h,

    u(r) = alpha_r / alpha_t x_t - sigma_r (e^(r h) - 1) eps_t + ...,
    order 2    x_s = alpha_s / alpha_t x_t - sigma_s (e^h - 1) [eps_t + (eps(u(r1)) - eps_t) / (2 r1)],    r1 = 1/2,
    order 3    x_s = alpha_s / alpha_t x_t - sigma_s (e^h - 1) eps_t - sigma_s / r2 ((e^h - 1) / h - 1) (eps(u(r2)) - eps_t),
               u(r2) = ... - sigma_r2 r2 / r1 ((e^(r2 h) - 1) / (r2 h) - 1) (eps(u(r1)) - eps_t),    r1 = 1/3, r2 = 2/3.
"""

import math
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, add_scaled, option
from scoresde.core.multistep import half_log_snr


@final
@attrs.frozen(kw_only=True)
class DPMSolver(Predictor):
    """The singlestep DPM-Solver (Lu et al., 2022, Algorithms 1 and 2)."""

    name = "dpm_solver"
    needs: ClassVar[type[Any]] = LinearSDE

    order: int = option(2, at_least=2, at_most=3, help="order, and evaluations of a step")

    @property
    def ode_order(self) -> int | None:
        return self.order

    @property
    def evaluations(self) -> int | None:
        return self.order

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        sde, t, s = reverse.sde, interval.t, interval.s
        assert isinstance(sde, LinearSDE)
        first, h = half_log_snr(sde, t), half_log_snr(sde, s) - half_log_snr(sde, t)
        if h == 0:
            return Step(x, x, 0.0)
        parts = {part: s if part == 1 else float(sde.time(2 * (first + part * h))) for part in (1 / 3, 1 / 2, 2 / 3, 1)}
        slope = reverse.score.noise(x, t)

        def linear(part: float) -> Tensor:
            time = parts[part]
            return add_scaled(x * (sde.alpha(time) / sde.alpha(t)), -sde.sigma(time) * math.expm1(part * h), slope)

        def inner(part: float, u: Tensor) -> Tensor:
            """eps(u) - eps_t."""
            return reverse.score.noise(u, parts[part]) - slope

        if self.order == 2:
            x = add_scaled(linear(1), -sde.sigma(s) * math.expm1(h), inner(1 / 2, linear(1 / 2)))
            return Step(x, x, 0.0)
        bend = -2 * sde.sigma(parts[2 / 3]) * (math.expm1(2 / 3 * h) / (2 / 3 * h) - 1)
        second = inner(2 / 3, add_scaled(linear(2 / 3), bend, inner(1 / 3, linear(1 / 3))))
        x = add_scaled(linear(1), -1.5 * sde.sigma(s) * (math.expm1(h) / h - 1), second)
        return Step(x, x, 0.0)
