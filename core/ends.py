"""What the probability flow leaves out at its two ends, for a LinearSDE with x_t = alpha x_0 + sigma z in D dimensions.

It is run from t_min, where x is taken to stand, to T, where the prior stands for p_T. Both can be made good from the score s itself.

Start. y = x_t / alpha is x_0 with Gaussian noise of variance tau^2 = sigma^2 / alpha^2, whose density q obeys the heat equation
dq / d(tau^2) = (Laplacian q) / 2, so that to first order in tau^2, with s and its divergence at (alpha x, t_min),

    log p_0(x) = log p_{t_min}(alpha x) + D log alpha - sigma^2 / 2 (div s + |s|^2) + O(tau^4).

End. With the denoised mean m(z) = E[x_0 | x_T = z], gamma = alpha / sigma and u = z / sigma,

    log p_T(z) = log N(z; 0, sigma^2 I) + log E exp(gamma u . x_0 - gamma^2 |x_0|^2 / 2),

whose gradient in u is gamma m(sigma u): along the ray from 0 it is integrated by Gauss's rule; and at 0 it is, up to O(gamma^4),
minus gamma^2 / 2 times E[|x_0|^2 | x_T = 0] = |m(0)|^2 + sigma^2 / alpha div m(0).
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from .reverse import Reverse
from .sde import LinearSDE

Field: TypeAlias = Callable[[Tensor], Tensor]
Traces: TypeAlias = Callable[[Field, Tensor], tuple[Tensor, Tensor]]  # (field, x) -> its values, and (B, n) estimates of its trace

_POINTS = 3


def log_start(reverse: Reverse, x: Tensor, traces: Traces) -> Tensor:
    """log p_0(x / alpha) - log p_t(x) for x (B, *) at t = t_min: (B, n), one value for each estimate of the trace."""
    sde, t = _linear(reverse), reverse.sde.t_min
    score, divergences = traces(lambda y: reverse.score(y, t), x)
    squares = score.double().square().flatten(1).sum(1, keepdim=True)
    return x[0].numel() * math.log(sde.alpha(t)) - sde.sigma(t) ** 2 / 2 * (divergences + squares)


def log_end(reverse: Reverse, z: Tensor, traces: Traces) -> Tensor:
    """log p_T(z) for z (B, *): (B, n), one value for each estimate of the trace."""
    sde, t, dimension = _linear(reverse), reverse.sde.t_max, z[0].numel()
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    u, gamma = (z / sigma).double(), alpha / sigma
    normal = -0.5 * (u.flatten(1).square().sum(1) + dimension * math.log(2 * math.pi * sigma**2))
    ray = torch.zeros_like(normal)
    for point, weight in zip(*_gauss(), strict=True):
        ray += weight * (u * reverse.score.denoised(point * z, t)).flatten(1).sum(1)
    mean, divergences = traces(lambda y: reverse.score.denoised(y, t), torch.zeros_like(z))
    second = mean.double().square().flatten(1).sum(1, keepdim=True) + sigma**2 / alpha * divergences
    return (normal + gamma * ray)[:, None] - gamma**2 / 2 * second


def _gauss() -> tuple[list[float], list[float]]:
    """Points and weights of Gauss's rule on [0, 1]."""
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()


def _linear(reverse: Reverse) -> LinearSDE:
    assert isinstance(reverse.sde, LinearSDE)
    return reverse.sde
