"""Log-densities by the instantaneous change of variables along the probability-flow ODE (Song et al., 2021, eqs. 38 to 40, App. D.2).

In the coordinates y = x / n and phi of ``scoresde.core.probability_flow``, where the ODE is dy / d phi = v,

    log p(x) = log p_T(z) + D log(n(T) / n(t_min)) + integral of div v(y_phi, phi) d phi,    x at t_min, z at T.

First the path is solved, to the tolerance and without any derivative; then the integral over it is taken by Gauss's rule at a fixed
number of ``nodes`` in asinh(phi / 0.002), a variable in which details of every size take an equal length: so products with the Jacobian
are spent at these nodes alone. The divergence there is exact (one product a dimension), or Skilling-Hutchinson's e^T J e: with one
Rademacher or Gaussian e for the whole path, as published, or by ``probing``, where node after node takes the next of a set of orthogonal
sign vectors (``scoresde.core.divergence``), whose errors cancel along the path. All are unbiased.

With ``ends`` "published" x is taken to stand at t_min and the prior stands for p_T; "corrected" makes both good to leading order
(``scoresde.core.ends``), for densities of the data themselves, which a network must know well at both ends.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, final

import attrs
import numpy as np
import torch
from torch import Tensor

from scoresde.core import SDE, Likelihood, LinearSDE, LogProb, Noise, Reverse, flow, option
from scoresde.core.divergence import hadamard, products, unit_vectors
from scoresde.core.ends import log_end, log_start
from scoresde.core.probability_flow import coordinates, path

_FINEST = 2e-3  # of the angle: data with 256 levels between -1 and 1 have the standard deviation 0.0023 within a level
_END_EVALUATIONS = 5  # one at the start, three along the ray from 0 and one at 0


@final
@attrs.frozen(kw_only=True)
class ProbabilityFlow(Likelihood):
    """Exact likelihood through the probability-flow ODE (Song et al., 2021, App. D.2)."""

    name = "probability_flow"

    divergence: Literal["probing", "rademacher", "gaussian", "exact"] = option("probing", help="how the divergence is found")
    draws: int = option(1, at_least=1, help="independent draws per sample; two or more give a standard error")
    nodes: int = option(64, at_least=2, help="points of the integral of the divergence")
    ends: Literal["published", "corrected"] = option("published", help="whether t_min and the prior stand for 0 and p_T, or are made good")
    rtol: float = option(1e-5, above=0, below=1, help="relative tolerance of the solver")
    atol: float = option(1e-5, above=0, below=1, help="absolute tolerance of the solver")
    max_nfe: int = option(10_000, at_least=8, help="evaluations of the solver per sample after which it is given up, with status 1")

    @property
    def corrects_start(self) -> bool:
        return self.ends == "corrected"

    def check(self, sde: SDE, dtype: torch.dtype) -> None:
        smallest = torch.finfo(dtype).eps
        if self.rtol < smallest:
            raise ValueError(f"rtol = {self.rtol:g} is less than {str(dtype).removeprefix('torch.')} holds: take {smallest:.1e} or more")
        if self.corrects_start and not isinstance(sde, LinearSDE):
            raise ValueError(f'ends = "corrected" needs a LinearSDE, and {sde.name} is not one')

    def log_prob(self, reverse: Reverse, x: Tensor, noise: Noise) -> LogProb:
        sde, dimension = reverse.sde, x[0].numel()
        corrected = self.corrects_start
        if corrected and not isinstance(sde, LinearSDE):
            raise ValueError(f'ends = "corrected" needs a LinearSDE, and {sde.name} is not one')
        dtype, x = x.dtype, x.double()
        x = x * float(sde.alpha(sde.t_min)) if corrected and isinstance(sde, LinearSDE) else x
        field, clock, _, scale, _ = coordinates(reverse)
        points, weights = _gauss(clock(sde.t_min), clock(sde.t_max), self.nodes)
        z, states, solution = path(
            reverse, x, sde.t_min, sde.t_max, rtol=self.rtol, atol=self.atol, max_evaluations=self.max_nfe, stops=points
        )
        probes = self._probes(x, noise)
        gains = torch.zeros(len(x), 1, dtype=torch.float64, device=x.device)
        for node, (point, weight) in enumerate(zip(points, weights, strict=True)):
            phi = torch.full((len(x),), point, dtype=torch.float64, device=x.device)
            gains = gains + weight * self._traces(partial(field, phi), states[node], probes, node)[1]
        traces: Callable[..., tuple[Tensor, Tensor]] = partial(self._traces, probes=probes, node=0)
        last = log_end(reverse, z, traces) + log_start(reverse, x, traces) if corrected else sde.prior_log_prob(z).double()[:, None]
        isotropic = dimension if self.divergence != "gaussian" else probes.square().flatten(2).sum(2).T  # of signs it is D as well
        values = last + isotropic * math.log(scale(sde.t_max) / scale(sde.t_min)) + gains
        further = self.nodes + (_END_EVALUATIONS if corrected else 0)
        return LogProb(values.mean(1), self._standard_error(values), z.to(dtype), solution.evaluations + further, solution.status)

    def encode(self, reverse: Reverse, x: Tensor) -> Tensor:
        return self._carry(reverse, x, reverse.sde.t_min, reverse.sde.t_max)

    def decode(self, reverse: Reverse, z: Tensor) -> Tensor:
        return self._carry(reverse, z, reverse.sde.t_max, reverse.sde.t_min)

    def _carry(self, reverse: Reverse, x: Tensor, start: float, end: float) -> Tensor:
        carried, solution = flow(reverse, x, start, end, rtol=self.rtol, atol=self.atol, max_evaluations=self.max_nfe)
        given_up = int((solution.status != 0).sum())
        if given_up:
            raise ArithmeticError(f"{given_up} of {len(x)} stopped at max_nfe = {self.max_nfe} evaluations: raise it or the tolerances")
        return carried

    def _probes(self, x: Tensor, noise: Noise) -> Tensor:
        """The vectors e, (draws, B, *) float64; for the exact trace the unit vectors, (D, 1, *)."""
        if self.divergence == "exact":
            return unit_vectors(x)
        draw = noise.normal_like if self.divergence == "gaussian" else noise.rademacher_like
        return torch.stack([draw(x).double() for _ in range(self.draws)])

    def _traces(self, field: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor, node: int) -> tuple[Tensor, Tensor]:
        """The field's values at x, and the estimate of its trace by each draw, (B, draws), or the exact one, (B, 1)."""
        if self.divergence == "probing":
            probes = probes * hadamard(x.shape[1:], [node]).to(x.device)
        value, found = products(field, x, probes)
        return value, found.sum(1, keepdim=True) if self.divergence == "exact" else found

    def _standard_error(self, values: Tensor) -> Tensor:
        if self.divergence == "exact":
            return torch.zeros_like(values[:, 0])
        return values.std(1) / math.sqrt(self.draws) if self.draws > 1 else torch.full_like(values[:, 0], math.nan)


def _gauss(first: float, last: float, count: int) -> tuple[list[float], list[float]]:
    """Points and weights of the integral from first to last, by Gauss's rule in asinh(phi / c)."""
    points, weights = np.polynomial.legendre.leggauss(count)
    low, high = math.asinh(first / _FINEST), math.asinh(last / _FINEST)
    angles = _FINEST * np.sinh(low + (high - low) / 2 * (points + 1))
    return angles.tolist(), ((high - low) / 2 * weights * np.hypot(angles, _FINEST)).tolist()
