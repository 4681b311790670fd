"""Heun's method with churn (Karras et al., 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", Algorithms 1
and 2), for any linear SDE.

In y = x / alpha and rho = sigma / alpha the probability flow is dy / d rho = eps, the predicted noise. A step first raises the noise
from rho to rho' = rho (1 + gamma), y' = y + sqrt(rho'^2 - rho^2) noise_scale z, and then goes down by the trapezoidal rule,

    y_s = y' + (rho_s - rho') (eps(y', rho') + eps(y_e, rho_s)) / 2,    y_e = y' + (rho_s - rho') eps(y', rho').

gamma = min(churn / N, sqrt(2) - 1) for N steps, where churn_from <= rho <= churn_to, and never beyond rho at t_max. Without churn this is
the deterministic method.
"""

import math
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, add_scaled, option


@final
@attrs.frozen(kw_only=True)
class Heun(Predictor):
    """Heun's method with churn (Karras et al., 2022, Algorithm 2)."""

    name = "heun"
    needs: ClassVar[type[Any]] = LinearSDE
    projectable: ClassVar[bool] = True

    churn: float = option(0.0, at_least=0, help="noise added over the whole run (S_churn); 0 for none")
    churn_from: float = option(0.0, at_least=0, help="least rho with noise added (S_tmin)")
    churn_to: float = option(1e9, at_least=0, help="largest rho with noise added (S_tmax)")
    noise_scale: float = option(1.0, above=0, help="standard deviation of the noise added (S_noise)")

    def __attrs_post_init__(self) -> None:
        if self.churn > 0 and self.churn_from >= self.churn_to:
            raise ValueError(f"churn_from = {self.churn_from:g} is not below churn_to = {self.churn_to:g}: no noise would be added")

    @property
    def ode_order(self) -> int | None:
        return 2 if self.churn == 0 else None

    @property
    def evaluations(self) -> int | None:
        return 2

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        sde, t, s = reverse.sde, interval.t, interval.s
        assert isinstance(sde, LinearSDE)
        if s == t:
            return Step(x, x, 0.0)
        first, last = _rho(sde, t), _rho(sde, s)
        raised = min(first * (1 + self._gamma(first, interval.count)), _rho(sde, sde.t_max))
        y = x * (1 / sde.alpha(t))
        if raised > first:
            y = Step.draw(y, math.sqrt(raised**2 - first**2) * self.noise_scale, noise).x
            t = float(sde.time(-2 * math.log(raised)))
        slope = reverse.score.noise(y * sde.alpha(t), t)
        end = reverse.score.noise(add_scaled(y, last - raised, slope) * sde.alpha(s), s)
        y = add_scaled(y, (last - raised) / 2, slope + end) * sde.alpha(s)
        return Step(y, y, 0.0 if self.churn == 0 else None)

    def _gamma(self, rho: float, count: int) -> float:
        inside = self.churn_from <= rho <= self.churn_to
        return min(self.churn / count, math.sqrt(2) - 1) if inside else 0.0


def _rho(sde: LinearSDE, t: float) -> float:
    return float(sde.sigma(t)) / float(sde.alpha(t))
