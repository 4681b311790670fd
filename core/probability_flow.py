"""The probability-flow ODE between two times (Song et al., 2021, eq. 13): a map from samples to latent codes and back."""

import torch
from torch import Tensor

from .ode import Solution, solve
from .reverse import Reverse


def flow(
    reverse: Reverse, x: Tensor, start: float, end: float, *, rtol: float, atol: float, max_evaluations: int
) -> tuple[Tensor, Solution]:
    """Carries x (B, *) along the flow from time ``start`` to ``end``, with a float64 state: (x at the end, in x's dtype, the solution)."""

    def derivative(t: Tensor, y: Tensor) -> Tensor:
        return reverse.ode_drift(y.reshape(x.shape), t).reshape(y.shape)

    with torch.no_grad():
        solution = solve(derivative, x.double().flatten(1), start, end, rtol=rtol, atol=atol, max_evaluations=max_evaluations)
    return solution.y.reshape(x.shape).to(x.dtype), solution
