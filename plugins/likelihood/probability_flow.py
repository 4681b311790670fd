"""Log-densities by the instantaneous change of variables along the probability-flow ODE (Song et al., 2021, eqs. 38 to 40, App.
D.2):

    log p(x) = log prior(z) + integral from t_min to T of div v(x_t, t) dt,    dx/dt = v(x, t) = f - g^2 score / 2,    x at t_min, z
    at T.

The divergence is exact (one vector-Jacobian product a dimension) or Skilling-Hutchinson's e^T J e with Rademacher or Gaussian e,
one draw for the whole path. x is taken to stand at t_min: nothing is added for the stretch from 0, and the prior stands for p_T.
"""

import math
from typing import Literal, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Likelihood, LogProb, Noise, Reverse, flow, option, solve


@final
@attrs.frozen(kw_only=True)
class ProbabilityFlow(Likelihood):
    """Exact likelihood through the probability-flow ODE (Song et al., 2021, App. D.2)."""

    name = "probability_flow"

    divergence: Literal["rademacher", "gaussian", "exact"] = option("rademacher", help="how the divergence is found")
    draws: int = option(1, at_least=1, help="Hutchinson draws per sample; two or more give a standard error")
    rtol: float = option(1e-5, above=0, below=1, help="relative tolerance of the solver")
    atol: float = option(1e-5, above=0, below=1, help="absolute tolerance of the solver")
    max_nfe: int = option(10_000, at_least=8, help="evaluations per sample after which it is given up, with status 1")

    def log_prob(self, reverse: Reverse, x: Tensor, noise: Noise) -> LogProb:
        sde, dimension = reverse.sde, x[0].numel()
        probes = self._probes(x, noise)

        def derivative(t: Tensor, y: Tensor) -> Tensor:
            drift, divergence = _divergence(reverse, y[:, :dimension].reshape(x.shape), t, probes)
            return torch.cat([drift.flatten(1), divergence if self.divergence != "exact" else divergence.sum(1, keepdim=True)], 1)

        columns = 1 if self.divergence == "exact" else self.draws
        state = torch.cat([x.double().flatten(1), torch.zeros(len(x), columns, dtype=torch.float64, device=x.device)], 1)
        solution = solve(derivative, state, sde.t_min, sde.t_max, rtol=self.rtol, atol=self.atol, max_evaluations=self.max_nfe)
        latent, gains = solution.y[:, :dimension].reshape(x.shape), solution.y[:, dimension:]
        return LogProb(
            sde.prior_log_prob(latent) + gains.mean(1),
            self._standard_error(gains),
            latent.to(x.dtype),
            solution.evaluations,
            solution.status,
        )

    def encode(self, reverse: Reverse, x: Tensor) -> Tensor:
        return self._carry(reverse, x, reverse.sde.t_min, reverse.sde.t_max)

    def decode(self, reverse: Reverse, z: Tensor) -> Tensor:
        return self._carry(reverse, z, reverse.sde.t_max, reverse.sde.t_min)

    def _carry(self, reverse: Reverse, x: Tensor, start: float, end: float) -> Tensor:
        return flow(reverse, x, start, end, rtol=self.rtol, atol=self.atol, max_evaluations=self.max_nfe)[0]

    def _probes(self, x: Tensor, noise: Noise) -> Tensor:
        """The vectors e, (draws, B, *) float64; for the exact trace the unit vectors, (D, 1, *)."""
        if self.divergence == "exact":
            unit = torch.eye(x[0].numel(), dtype=torch.float64, device=x.device)
            return unit.reshape(-1, 1, *x.shape[1:])
        draw = noise.rademacher_like if self.divergence == "rademacher" else noise.normal_like
        return torch.stack([draw(x).double() for _ in range(self.draws)])

    def _standard_error(self, gains: Tensor) -> Tensor:
        if self.divergence == "exact":
            return torch.zeros_like(gains[:, 0])
        return gains.std(1) / math.sqrt(self.draws) if self.draws > 1 else torch.full_like(gains[:, 0], math.nan)


def _divergence(reverse: Reverse, x: Tensor, t: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """The drift (shape of x) and e^T J e for each probe, (B, probes), from one evaluation of the score."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        drift = reverse.ode_drift(x, t)
        columns = []
        for i, probe in enumerate(probes):
            (product,) = torch.autograd.grad(drift, x, probe.expand_as(x), retain_graph=i + 1 < len(probes))
            columns.append((product * probe).flatten(1).sum(1))
    return drift.detach(), torch.stack(columns, 1)
