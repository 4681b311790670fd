"""The singlestep DPM-Solver of orders 2 and 3 (Lu et al., 2022, "DPM-Solver", Algorithms 1 and 2), for any linear SDE.

With lambda = log(alpha / sigma), h its step, and eps the predicted noise, from t through inner times where lambda has gone the part r of h,

    order 1    x_s = alpha_s / alpha_t x_t - sigma_s (e^h - 1) eps_t,
    order 2    x_s = alpha_s / alpha_t x_t - sigma_s (e^h - 1) [eps_t + (eps(u1) - eps_t) / (2 r1)],
    order 3    x_s = alpha_s / alpha_t x_t - sigma_s (e^h - 1) eps_t - sigma_s / r2 ((e^h - 1) / h - 1) (eps(u2) - eps_t),

where u1, at the first inner time, is the step of order 1 to there, and u2, at the second, that of order 3 with u1 for its u2. Here r1 = 1/2
at order 2, and r1 = 1/3, r2 = 2/3 at order 3.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, LinearSDE, Noise, Predictor, Reverse, Step, option
from scoresde.core.multistep import Update, half_log_snr


def updates(sde: LinearSDE, times: Sequence[float]) -> tuple[Update, ...]:
    """One step, from the first of the times, t, through inner ones to the last, s, whose order is the number of times after t: to each of
    these from t, by the latest predicted noise and that at t."""
    t, *later = times
    gone = [half_log_snr(sde, time) - half_log_snr(sde, t) for time in later]
    found = []
    for place, (time, h) in enumerate(zip(later, gone, strict=True)):
        scale, sigma = float(sde.alpha(time)) / float(sde.alpha(t)), float(sde.sigma(time))
        whole = sigma * math.expm1(h)
        if place == 0:
            found.append(Update(scale, (-whole,)))
            continue
        r = gone[place - 1] / h
        bend = whole / (2 * r) if len(later) == 2 else (whole / h - sigma) / r
        found.append(Update(scale, (-bend, bend - whole)))
    return tuple(found)


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
        assert isinstance(reverse.sde, LinearSDE)
        if interval.s == interval.t:
            return Step(x, x, 0.0)
        times, (first, *later) = _planned(reverse.sde, interval.t, interval.s, self.order)
        start, slope = x, reverse.score.noise(x, interval.t)
        x = first(start, (slope,))
        for time, update in zip(times, later, strict=True):
            x = update(start, (reverse.score.noise(x, time), slope))
        return Step(x, x, 0.0)


@lru_cache(maxsize=4096)
def _planned(sde: LinearSDE, t: float, s: float, order: int) -> tuple[tuple[float, ...], tuple[Update, ...]]:
    """The inner times of a step and its updates: the same in each chunk of a run."""
    first, last = float(sde.log_snr(t)), float(sde.log_snr(s))
    times = tuple(float(sde.time(first + (last - first) * (part / order))) for part in range(1, order))
    return times, updates(sde, (t, *times, s))
