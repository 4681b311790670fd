"""The probability-flow ODE between two times (Song et al., 2021, eq. 13): a map from samples to latent codes and back.

For a LinearSDE it is solved in the angle's coordinates. With rho = sigma / alpha = tan(phi), n = sqrt(alpha^2 + sigma^2) and the velocity
v = cos(phi) eps - sin(phi) E[x_0 | x] (Salimans & Ho, 2022, App. D), y = x / n obeys

    dy / d phi = v(y, phi),    log p(x) = log p(y) - D log n:

the linear part is gone, both ends are regular points, and one tolerance means the same for every SDE. On the way to the latent code a
difference between two points grows as sin(phi), the noise in y: an error made at phi is allowed sin(phi) of the tolerance, so that the code
itself has it. (Of pictures with 256 levels the details are as small as 0.001: without this their codes, and above all the divergence
along the path, are wrong by far more than the tolerance.) Other SDEs are solved in t and x as they are.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .ode import Solution, solve
from .reverse import Reverse
from .scalars import broadcast
from .sde import LinearSDE

Field = Callable[[Tensor, Tensor], Tensor]


class Coordinates(NamedTuple):
    """The ODE in the coordinates that it is solved in: the ``field`` (phi (B,), y (B, *)) -> dy / d phi, ``clock`` from t to phi, ``time``
    back, ``scale``, n(t), and ``allowance``, what errors are measured in on the way to the latent code."""

    field: Field
    clock: Callable[[float], float]
    time: Callable[[float], float]
    scale: Callable[[float], float]
    allowance: Callable[[Tensor], Tensor] = torch.ones_like


def coordinates(reverse: Reverse) -> Coordinates:
    """Those of the angle for a LinearSDE, and t and x for any other."""
    sde = reverse.sde
    if not isinstance(sde, LinearSDE):
        return Coordinates(lambda t, y: reverse.ode_drift(y, t), float, float, lambda t: 1.0)
    linear = sde

    def field(phi: Tensor, y: Tensor) -> Tensor:
        t = torch.as_tensor(linear.time(-2 * phi.tan().log())).clamp(linear.t_min, linear.t_max)
        alpha, sigma = torch.as_tensor(linear.alpha(t)), torch.as_tensor(linear.sigma(t))
        n = (alpha**2 + sigma**2).sqrt()
        eps = reverse.score.noise(y * broadcast(n, y), t)
        return (eps - y * broadcast(sigma / n, y)) * broadcast(n / alpha, y)

    return Coordinates(
        field,
        lambda t: math.atan2(float(linear.sigma(t)), float(linear.alpha(t))),
        lambda phi: float(linear.time(-2 * math.log(math.tan(phi)))),
        lambda t: math.hypot(float(linear.alpha(t)), float(linear.sigma(t))),
        torch.sin,
    )


class Path(NamedTuple):
    """x at the end, in float64; y at the stops (stops, B, *); and the solution."""

    x: Tensor
    at: Tensor
    solution: Solution


def path(
    reverse: Reverse,
    x: Tensor,
    start: float,
    end: float,
    *,
    rtol: float,
    atol: float,
    max_evaluations: int,
    stops: Sequence[float] = (),
) -> Path:
    """Carries x (B, *) along the flow from time ``start`` to ``end``, with a float64 state; ``stops`` are values of phi."""
    field, clock, time, scale, allowance = coordinates(reverse)

    def derivative(phi: Tensor, y: Tensor) -> Tensor:
        return field(phi, y.reshape(x.shape)).reshape(y.shape)

    y = x.double().flatten(1) / scale(start)
    with torch.no_grad():
        solution = solve(
            derivative,
            y,
            clock(start),
            clock(end),
            rtol=rtol,
            atol=atol,
            max_evaluations=max_evaluations,
            stops=stops,
            time=time,
            allowance=torch.ones_like if end < start else allowance,
        )
    return Path((solution.y * scale(end)).reshape(x.shape), solution.at.reshape(-1, *x.shape), solution)


def flow(
    reverse: Reverse, x: Tensor, start: float, end: float, *, rtol: float, atol: float, max_evaluations: int
) -> tuple[Tensor, Solution]:
    """Carries x (B, *) along the flow from time ``start`` to ``end``: (x at the end, in x's dtype, the solution)."""
    carried = path(reverse, x, start, end, rtol=rtol, atol=atol, max_evaluations=max_evaluations)
    return carried.x.to(x.dtype), carried.solution
