"""Likelihoods of exact mixtures: mean error in nats a point against network calls: python benchmarks/likelihood.py [DIMENSION ...]

Mixtures in 2, 64 and 784 dimensions under VE, VP and sub-VP, whose log-density p_0(x) is known. For each tolerance

- published: scipy's RK45 in t on state and log-density together, for one batch with one error norm, one Rademacher draw for the whole path,
  drift and divergence evaluated apart (two calls each time);
- ours: ``probability_flow`` as it is by default (probing), with the exact trace, and with the exact trace and corrected ends.

A call is one evaluation of the score for the whole batch; an exact trace takes one with D products.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from scoresde.core import LinearSDE, Reverse
from scoresde.core.divergence import products
from scoresde.core.mixture import Mixture
from scoresde.core.testing import BatchNoise, mixture_problem, mixture_score
from scoresde.plugins.likelihood.probability_flow import ProbabilityFlow
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
PROBLEMS = {2: (mixture_problem(2, 8), 32), 64: (mixture_problem(64, 10), 16), 784: (mixture_problem(784, 3), 2)}
EXACT = 64  # the largest dimension in which the exact trace is taken
Method = Callable[[Reverse, Tensor, float], tuple[Tensor, float]]


def published(reverse: Reverse, x: Tensor, tolerance: float) -> tuple[Tensor, float]:
    """(log-densities, calls) by scipy."""
    sde, signs = reverse.sde, BatchNoise(1).rademacher_like(x)
    count, dimension = x.shape

    def derivative(t: float, flat: np.ndarray) -> np.ndarray:
        y = torch.from_numpy(flat[: count * dimension].reshape(count, dimension))
        drift, estimate = products(lambda y: reverse.ode_drift(y, t), y, signs[None])
        return np.concatenate([drift.numpy().ravel(), estimate[:, 0].numpy()])

    state = np.concatenate([x.numpy().ravel(), np.zeros(count)])
    found = solve_ivp(derivative, (sde.t_min, sde.t_max), state, method="RK45", rtol=tolerance, atol=tolerance)
    end = torch.from_numpy(found.y[:, -1])
    return sde.prior_log_prob(end[: count * dimension].reshape(count, dimension)) + end[count * dimension :], 2.0 * found.nfev


def ours(**options: object) -> Method:
    def method(reverse: Reverse, x: Tensor, tolerance: float) -> tuple[Tensor, float]:
        result = ProbabilityFlow(rtol=tolerance, atol=tolerance, **options).log_prob(reverse, x, BatchNoise(1))  # type: ignore[arg-type]
        return result.value, float(result.evaluations.double().mean())

    return method


METHODS: dict[str, Method] = {
    "published": published,
    "probing": ours(),
    "exact trace": ours(divergence="exact"),
    "exact, both ends": ours(divergence="exact", ends="corrected"),
}


def line(sde: LinearSDE, mixture: Mixture, count: int, tolerance: float) -> str:
    noise = BatchNoise(0)
    x = mixture.sample(noise.uniform((count,), dtype=torch.float64), noise.normal((count, mixture.dimension), dtype=torch.float64))
    columns = ""
    for name, method in METHODS.items():
        if "exact" in name and mixture.dimension > EXACT:
            continue
        value, calls = method(Reverse(sde, mixture_score(sde, mixture)), x, tolerance)
        columns += f"{float((value - mixture.log_prob(x)).abs().mean()):>12.2g}{calls:>6.0f}"
    return f"{mixture.dimension:>5} {sde.name:<7}{tolerance:>9g}{columns}"


if __name__ == "__main__":
    chosen = [int(argument) for argument in sys.argv[1:]] or list(PROBLEMS)
    print("    D SDE    tolerance" + "".join(f"{name:>18}" for name in METHODS))
    for dimension in chosen:
        for sde in (VE(), VP(), SubVP()):
            for tolerance in TOLERANCES if dimension <= EXACT else TOLERANCES[1:4:2]:
                print(line(sde, *PROBLEMS[dimension], tolerance), flush=True)
