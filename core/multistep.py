"""Linear multistep methods for the reverse process of a LinearSDE, whose linear part they solve exactly: what several predictors share.

With lambda = log(alpha / sigma), half the log-SNR, the probability flow (Song et al., 2021, eq. 13) is linear but for what the network
says, the noise eps or the denoised mean D (Lu et al., 2022, "DPM-Solver", eq. 3.4, and "DPM-Solver++", eq. 8): from t to s

    noise      x_s = alpha_s / alpha_t x_t - alpha_s (integral of e^-lambda eps d lambda),
    denoised   x_s = sigma_s / sigma_t x_t + sigma_s (integral of e^lambda D d lambda).

The second form has a stochastic companion with the same marginals for every tau >= 0 (Xue et al., 2023, "SA-Solver", eq. 14):

    x_s = sigma_s / sigma_t e^(-tau^2 h) x_t + sigma_s (1 + tau^2) (integral of e^(lambda - tau^2 (lambda_s - lambda)) D d lambda)
          + sigma_s sqrt(1 - e^(-2 tau^2 h)) z,    h = lambda_s - lambda_t.

Under the integral stands the polynomial through the latest values, so that every step is a sum

    x_s = a x_t + sum_j w_j v_j + std z

whose numbers depend on the grid alone: they are found before the loop, by Gauss-Legendre quadrature in float64.

The polynomial is one in lambda, as in these papers, or in the angle phi = arctan(sigma / (alpha c)) = arctan(e^-lambda / c). The values are
smooth functions of phi up to both of its ends, 0 and pi/2, where the data, or nothing but noise, are left; in lambda they approach
constants there as e^-lambda and e^lambda do, which no polynomial follows over long steps. c is the noise at which they change most, where
the data begin to show.

A step extrapolates through as many values as there are, but with noise through one alone where it is more than half as long again in
lambda as the step before: values along a rough path say little that far ahead. The first one, with its single value, has order 1,
which would bound every method's order of convergence by 2: so where a step had fewer values than it should, the next value, once it is
known, corrects it (``Plan.corrections``). That bound is then 3, with so small a constant that methods of higher order keep theirs down to
errors of 1e-7: where sampling starts, x is nearly noise, and the values hardly change.

An extrapolation multiplies whatever the polynomial does not follow, a network's errors or a change of the values within a step, by up to
A = sum |w_j| / |sum w_j|: equal steps have A = 1, 2, 11/3 and 20/3 through 1 to 4 values, long steps at the turn of the angle more. With an
``amplification`` a step goes through more values only as far as A stays below it; it is a mean of two polynomials where that lies between.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from .interfaces import Interval, Step
from .noise import Noise
from .reverse import Reverse
from .sde import LinearSDE

Form: TypeAlias = Literal["noise", "denoised"]
Variable: TypeAlias = Literal["log_snr", "angle"]

_EQUAL_STEPS = (1, 2, 11 / 3, 20 / 3)  # A of 1 to 4 values
_LONGEST = 1.5  # of the step before, for a step that extrapolates with noise
_REACH = 40.0  # of the kernel's exponent: what lies further back has e^-40 of its weight, and would take the quadrature's points
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(32)


class Along(NamedTuple):
    """The variable of the polynomials, and c, the noise-to-signal ratio at which the angle is pi / 4."""

    variable: Variable = "log_snr"
    scale: float = 1.0

    def __call__(self, half: Any) -> Any:
        """Its values where lambda has these."""
        return half if self.variable == "log_snr" else np.arctan(np.exp(-half) / self.scale)


class Update(NamedTuple):
    """x_s = scale x_t + sum of weights values + std z, the latest value first."""

    scale: float
    weights: tuple[float, ...]
    std: float = 0.0

    def __call__(self, x: Tensor, values: Sequence[Tensor]) -> Tensor:
        """The step without its noise."""
        out = x * self.scale
        for weight, value in zip(self.weights, values[: len(self.weights)], strict=True):
            out.add_(value, alpha=weight)
        return out


def update(sde: LinearSDE, t: float, s: float, nodes: Sequence[float], form: Form, tau: float = 0.0, along: Along = Along()) -> Update:
    """The step from t to s through the values at the times ``nodes``; ``tau`` (denoised form only) is 0 for the probability flow."""
    first, last = half_log_snr(sde, t), half_log_snr(sde, s)
    places = along(np.array([half_log_snr(sde, node) for node in nodes])).tolist()
    h, ratio = last - first, float(sde.alpha(s)) / float(sde.alpha(t))
    rate = 1 + tau**2
    start = first if form == "noise" else max(first, last - _REACH / rate)
    points = start + (last - start) / 2 * (_POINTS + 1)
    if form == "noise":
        kernel = -ratio * float(sde.sigma(t)) * np.exp(first - points)
        scale, std = ratio, 0.0
    else:
        kernel = float(sde.alpha(s)) * rate * np.exp(rate * (points - last))
        scale = float(sde.sigma(s)) / float(sde.sigma(t)) * math.exp(-(tau**2) * h)
        std = float(sde.sigma(s)) * math.sqrt(-math.expm1(-2 * tau**2 * h))
    weights = [float((last - start) / 2 * (_WEIGHTS * kernel * _lagrange(along(points), places, j)).sum()) for j in range(len(places))]
    return Update(scale, tuple(weights), std)


class Plan(NamedTuple):
    """What the steps of a grid need of it: the step of every interval, a correction of it by the value at its end or None, and the index of
    the first interval. ``kept`` values are remembered."""

    form: Form
    kept: int
    steps: tuple[Update, ...]
    corrections: tuple[Update | None, ...]
    first: int


class History(NamedTuple):
    """The plan, the values at the times before, the latest first; and where the last step is to be corrected, the state that it started
    from, and the noise that it drew, if any."""

    plan: Plan
    values: tuple[Tensor, ...] = ()
    start: Tensor | None = None
    drawn: Tensor | None = None


def begin(
    sde: LinearSDE,
    intervals: Sequence[Interval],
    order: int,
    form: Form,
    *,
    tau: float = 0.0,
    correct: bool = False,
    along: Along = Along(),
    amplification: float | None = None,
) -> History:
    """Steps through up to ``order`` values (Adams-Bashforth); with ``correct`` all of them are corrected through one more (Adams-Moulton),
    else those that had fewer."""
    return History(_plan(sde, tuple(intervals), order, form, tau, correct, along, math.inf if amplification is None else amplification))


@lru_cache(maxsize=16)
def _plan(
    sde: LinearSDE,
    intervals: tuple[Interval, ...],
    order: int,
    form: Form,
    tau: float,
    correct: bool,
    along: Along,
    amplification: float,
) -> Plan:
    """One for all the batches of a run: at few samples it takes longer than the steps."""
    steps, corrections = list[Update](), list[Update | None]()
    for row, (t, s, _, _) in enumerate(intervals):
        nodes = _nodes(sde, intervals[: row + 1], order, longest=math.inf if tau == 0 else _LONGEST)
        steps.append(_bounded(lambda nodes, t=t, s=s: update(sde, t, s, nodes, form, tau, along), nodes, amplification))  # type: ignore[misc]
        nodes = nodes[: len(steps[-1].weights)]
        corrected = (correct or len(nodes) < order) and row + 1 < len(intervals)
        corrections.append(update(sde, t, s, [s, *nodes], form, tau, along) if corrected else None)
    return Plan(form, order, tuple(steps), tuple(corrections), intervals[0].index)


def _bounded(through: Callable[[Sequence[float]], Update], nodes: Sequence[float], amplification: float) -> Update:
    """The step through these values, or as far towards it from that through fewer as the bound lets it go."""
    found = through(nodes[:1])
    total = abs(found.weights[0])  # of any number of values
    if math.isinf(amplification) or total == 0:
        return through(nodes)
    for count in range(2, len(nodes) + 1):
        more = through(nodes[:count])
        before, after = (sum(map(abs, each.weights)) / total for each in (found, more))
        share = 1.0 if after <= amplification else (amplification - before) / (after - before)
        found = more._replace(weights=tuple(share * w + (1 - share) * v for w, v in zip(more.weights, (*found.weights, 0.0), strict=True)))
        if share < 1:
            return found
    return found


def _nodes(sde: LinearSDE, intervals: Sequence[Interval], order: int, longest: float) -> list[float]:
    """The times of the values that the last of these steps extrapolates, the latest first."""
    times = [interval.t for interval in intervals[-order:]][::-1]
    if len(times) > 1:
        here, after, before = (half_log_snr(sde, t) for t in (times[0], intervals[-1].s, times[1]))
        if after - here > longest * (here - before):
            return times[:1]
    return times


def values_of(order: int, amplification: float | None) -> int:
    """Those that predictions over many short steps, which are nearly equal, go through."""
    return order if amplification is None else min(order, sum(most <= amplification for most in _EQUAL_STEPS))


def advance(history: History, reverse: Reverse, x: Tensor, interval: Interval, noise: Noise) -> Step:
    """One step, with the history as its state."""
    plan, before, _, _ = history
    if interval.s == interval.t:
        return Step(x, x, 0.0, history)
    row, score = interval.index - plan.first, reverse.score
    values = (score.noise(x, interval.t) if plan.form == "noise" else score.denoised(x, interval.t), *before)
    x = _corrected(history, x, values, row)
    update, later = plan.steps[row], plan.corrections[row] is not None
    mean = update(x, values)
    after = Step(mean, mean, 0.0) if update.std == 0 else Step.draw(mean, update.std, noise)
    drawn = after.x - mean if later and update.std > 0 else None
    return after._replace(state=History(plan, values[: plan.kept], x if later else None, drawn))


def _corrected(history: History, x: Tensor, values: Sequence[Tensor], row: int) -> Tensor:
    """The state that the last step led to, found again with the value there; x where it stays as it is."""
    if history.start is None:
        return x
    correction = history.plan.corrections[row - 1]
    assert correction is not None
    found = correction(history.start, values)
    return found if history.drawn is None else found.add_(history.drawn)


def half_log_snr(sde: LinearSDE, t: float) -> float:
    """lambda = log(alpha / sigma)."""
    return 0.5 * float(sde.log_snr(t))


def _lagrange(points: Any, nodes: Sequence[float], own: int) -> Any:
    """The Lagrange polynomial of one node at the points."""
    factors = [(points - node) / (nodes[own] - node) for place, node in enumerate(nodes) if place != own]
    return np.prod(factors, axis=0) if factors else np.ones_like(points)
