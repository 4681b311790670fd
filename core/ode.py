"""Adaptive Runge-Kutta integration of batches, with a step size of its own for every sample.

The pair of Dormand & Prince (1980), orders 5 and 4: y_{n+1} = y_n + h sum_i b_i k_i with the error estimate h sum_i e_i k_i,
measured in units of atol + rtol |y| as a root mean square over a sample's entries. A step is accepted where that is below 1; the
next one is h * 0.9 error^(-1/5), within a factor of 0.2 to 10 (Hairer, Noersett & Wanner, 1993, sec. II.4, which also gives the
first step). The whole batch is evaluated at once, each sample at its own time, and finished samples are masked: batch-mates change
no result. Between the ends of a step the state is known to order 4 from the same slopes, y(theta) = y_n + h sum_i b_i(theta) k_i
(ibid., sec. II.6): ``stops`` cost no evaluations and do not shorten steps.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_DENSE = (  # b_i(theta) by powers of theta, from the first to the fourth
    (1.0, -1337 / 480, 1039 / 360, -1163 / 1152),
    (0.0, 0.0, 0.0, 0.0),
    (0.0, 100 / 3 * 1054 / 9275, -100 / 3 * 4682 / 27825, 100 / 3 * 379 / 5565),
    (0.0, -5 / 2 * 27 / 40, 5 / 2 * 9 / 5, -5 / 2 * 83 / 96),
    (0.0, -18225 / 848 * 3 / 250, 18225 / 848 * 22 / 375, -18225 / 848 * 37 / 600),
    (0.0, 22 / 7 * 3 / 10, -22 / 7 * 29 / 30, 22 / 7 * 17 / 24),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class Solution(NamedTuple):
    """The state (B, n) at the end; per sample the number of evaluations made for it and its status: 0 done, 1 stopped at the limit; and
    the states (stops, B, n) at the stops, nan where a sample did not get there."""

    y: Tensor
    evaluations: Tensor
    status: Tensor
    at: Tensor


def solve(
    f: Callable[[Tensor, Tensor], Tensor],
    y: Tensor,
    start: float,
    end: float,
    *,
    rtol: float,
    atol: float,
    max_evaluations: int,
    stops: Sequence[float] = (),
    time: Callable[[float], float] = float,
    allowance: Callable[[Tensor], Tensor] = torch.ones_like,
) -> Solution:
    """Integrates dy/dt = f(t, y) for a batch of independent systems.

    ``f`` takes t (B,) float64 and y (B, n) and gives (B, n); ``y`` is the state at ``start``; ``end`` may lie on either side, and
    the ``stops``, where the state is wanted as well, between them. A step that begins at t may err by ``allowance`` (B,) of t, in
    units of the tolerances. A sample that has not arrived after ``max_evaluations`` evaluations is returned where it is, with status
    1. Raises FloatingPointError, with what ``time`` makes of t, where an evaluation is not finite.
    """
    direction = 1.0 if end >= start else -1.0
    t = torch.full((len(y),), start, dtype=torch.float64, device=y.device)
    k1 = f(t, y)
    h = _first_step(f, t, y, k1, abs(end - start), direction, (atol + rtol * y.abs()) * allowance(t)[:, None])
    evaluations = torch.full((len(y),), 2, device=y.device)
    at = y.new_full((len(stops), *y.shape), torch.nan)
    while True:
        remaining = (end - t) * direction
        active = (remaining > 0) & (evaluations + 6 <= max_evaluations)
        if not bool(active.any()):
            return Solution(y, evaluations, (remaining > 0).long(), at)
        step = torch.where(active, torch.minimum(h, remaining), 0.0)
        candidate, slopes, error = _attempt(f, t, y, k1, direction * step)
        scale = (atol + rtol * torch.maximum(y.abs(), candidate.abs())) * allowance(t)[:, None]
        error = _rms(error / scale)
        if not bool(torch.isfinite(error).all()):
            where = time(float(t[~torch.isfinite(error)][0]))
            raise FloatingPointError(f"the ODE's right-hand side is not finite near t = {where:.6g}")
        accepted = active & (error < 1)
        _keep(at, stops, t, direction * step, y, slopes, accepted)
        t = torch.where(accepted, torch.where(step >= remaining, end, t + direction * step), t)
        y = torch.where(accepted[:, None], candidate, y)
        k1 = torch.where(accepted[:, None], slopes[-1], k1)
        factor = (0.9 * error.clamp_min(1e-10) ** -0.2).clamp(0.2, 10.0)
        h = torch.where(active, step * torch.where(accepted, factor, factor.clamp_max(1.0)), h)
        evaluations = evaluations + 6 * active


def _attempt(f: Callable[[Tensor, Tensor], Tensor], t: Tensor, y: Tensor, k1: Tensor, h: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
    """One step of each sample: the new state (B, n), its slopes, the last of which is the derivative there, and the error (B, n)."""
    width = h.to(y.dtype)[:, None]
    slopes, state = [k1], y
    for place, row in zip(_C[1:], _A[1:], strict=True):
        state = y + width * _combine(row, slopes)
        slopes.append(f(t + place * h, state))
    return state, slopes, width * _combine(_E, slopes)


def _keep(at: Tensor, stops: Sequence[float], t: Tensor, h: Tensor, y: Tensor, slopes: Sequence[Tensor], accepted: Tensor) -> None:
    """Writes the states at those stops that lie within an accepted step."""
    for place, stop in enumerate(stops):
        theta = (stop - t) / torch.where(h == 0, torch.ones_like(h), h)
        inside = accepted & (h != 0) & (theta >= 0) & (theta <= 1)
        if not bool(inside.any()):
            continue
        state = y
        for row, slope in zip(_DENSE, slopes, strict=False):
            weight = theta * (row[0] + theta * (row[1] + theta * (row[2] + theta * row[3])))
            state = state + (weight * h).to(y.dtype)[:, None] * slope
        at[place] = torch.where(inside[:, None], state, at[place])


def _first_step(
    f: Callable[[Tensor, Tensor], Tensor], t: Tensor, y: Tensor, k1: Tensor, length: float, direction: float, scale: Tensor
) -> Tensor:
    size, slope = _rms(y / scale), _rms(k1 / scale)
    small = (size < 1e-5) | (slope < 1e-5)
    h0 = torch.where(small, 1e-6, 0.01 * size / slope.clamp_min(1e-300)).clamp_max(length)
    ahead = f(t + direction * h0, y + (direction * h0).to(y.dtype)[:, None] * k1)
    largest = torch.maximum(slope, _rms((ahead - k1) / scale) / h0.clamp_min(1e-300))
    h1 = torch.where(largest <= 1e-15, (1e-3 * h0).clamp_min(1e-6), (0.01 / largest.clamp_min(1e-300)) ** 0.2)
    return torch.minimum(100 * h0, h1).clamp_max(length)


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = torch.add(total, slope, alpha=weight)
    return total


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(1).sqrt().double()
