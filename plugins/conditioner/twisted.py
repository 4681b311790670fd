"""Twisted diffusion sampling (Wu, Trippe, Naesseth, Blei & Cunningham, 2023, "Practical and Asymptotically Exact Conditional Sampling in
Diffusion Models"): sequential Monte Carlo over the batch, exact as the number of particles grows.

The rows of a batch with the same observation y are its particles. With x_0 | x_t ~ N(D, C), D the denoised mean, the twisting function

    log tau_t(x) = log N(y; A D, S),    S = std^2 I + A C A^T,    guides by   g = J^T A^T S^-1 (y - A D) ~ grad log tau_t(x).

A step whose mean has the guided score in it, N(m + gain g, s^2), stands for the unguided one, N(m, s^2), by the weight

    w <- w [N(x_s; m, s^2) / N(x_s; m + gain g, s^2)] tau_s(x_s) / tau_t(x_t),        w = tau_T(x_T) at the start.

Particles are drawn anew by their weights (systematic resampling) where the effective sample size falls below a share of their number, and
at the end. C is r^2 I as in ``pgdm``, or (sigma^2 / alpha) J by a backward pass for each entry of y, which leaves far fewer particles
to be thrown away where there are many entries.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, final

import attrs
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from scoresde.core import SDE, Condition, Denoised, LinearConditioner, LinearSDE, Noise, Observation, Reverse, Score, Step, option

from .pgdm import spread_of


@final
@attrs.frozen(kw_only=True)
class Twisted(LinearConditioner):
    """Twisted diffusion sampling (Wu et al., 2023)."""

    name = "twisted"
    needs: ClassVar[type[Any]] = LinearSDE
    projects: ClassVar[bool] = True
    weighs: ClassVar[bool] = True
    couples: ClassVar[bool] = True
    silenced_by: ClassVar[str | None] = "scale"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "projection": "it draws among particles: it maps to no set whose points it would keep"
    }

    covariance: Literal["isotropic", "exact"] = option(
        "isotropic", help="of x_0 given x_t: r^2 I, or by Tweedie's formula, with a backward pass for each entry of y"
    )
    data_std: float = option(1.0, above=0, help="the data's standard deviation in r, of one entry")
    threshold: float = option(0.5, above=0, at_most=1, help="share of the particles that the effective sample size may fall to")
    scale: float = option(1.0, at_least=0, help="power of p(y | x_0); 1 is Bayes' rule, 0 leaves y out")

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        """The rows of y (B, *) that are alike are particles of one another, or those with the same number in ``particles`` (B,).

        The last draw among them is at sde.sampling_end, where the grid has to end.
        """
        return Particles(self.observation(y, **observed), sde, self, observed.get("particles")) if self.scale else Condition()


class Evaluated(NamedTuple):
    """At (x, t): score, guidance (both as x) and log tau (B,), the powers of ``scale`` included."""

    x: Tensor
    t: float
    score: Tensor
    guidance: Tensor
    log_twist: Tensor

    def chosen(self, x: Tensor, rows: Tensor) -> "Evaluated":
        """That of x, which is self.x[rows]."""
        return Evaluated(x, self.t, self.score[rows], self.guidance[rows], self.log_twist[rows])


@final
class Twist:
    """The guided score with log tau. It keeps its last evaluation, which a solver's step and the weights share."""

    def __init__(self, score: Score, observation: Observation, options: Twisted) -> None:
        self.score, self.observation, self.options = score, observation, options
        self.last: Evaluated | None = None

    def __call__(self, x: Tensor, t: float) -> Tensor:
        at = self.at(x, t)
        return at.score + at.guidance

    def at(self, x: Tensor, t: float) -> Evaluated:
        if self.last is None or self.last.x is not x or self.last.t != t:
            self.last = self._evaluate(x, t)
        return self.last

    def _evaluate(self, x: Tensor, t: float) -> Evaluated:
        at, observation, scale = Denoised(self.score, x, t), self.observation, self.options.scale
        residual = observation.residual(at.mean)
        if self.options.covariance == "exact":
            weighted, log_det = self._exact(at, residual)
        else:  # the same determinant for all particles
            weighted = observation.weighted(residual, at.mean, self.options.std, spread_of(at, self.options.data_std))
            log_det = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        log_twist = -0.5 * ((residual * weighted).flatten(1).sum(1).double() + log_det)
        return Evaluated(x, t, at.score, scale * at.pull(observation.adjoint(weighted, at.mean)), scale * log_twist)

    def _exact(self, at: Denoised, residual: Tensor) -> tuple[Tensor, Tensor]:
        """(S^-1 (y - A D), log |S|), with S of each sample made whole."""
        observation, size = self.observation, residual[0].numel()
        columns = []
        for unit in torch.eye(size, dtype=residual.dtype, device=residual.device):
            u = unit.reshape(residual.shape[1:]).expand_as(residual)
            columns.append(observation.apply(at.pull(observation.adjoint(u, at.mean))).flatten(1))
        spread = at.variance * torch.stack(columns, 2).double()
        values, basis = torch.linalg.eigh(0.5 * (spread + spread.mT))
        values = values.clamp_min(1e-3 * at.sigma**2 / (at.alpha**2 + at.sigma**2)) + self.options.std**2
        rotated = (basis.mT @ residual.flatten(1).double()[..., None])[..., 0]
        weighted = (basis @ (rotated / values)[..., None])[..., 0]
        return weighted.reshape(residual.shape).to(residual), values.log().sum(1)


@final
class Particles(Condition):
    """The rows with the same y, or number, are particles; the memory holds the logarithm of their weights, (B,) float64."""

    def __init__(self, observation: Observation, sde: SDE, options: Twisted, rows: Tensor | None = None) -> None:
        self.observation, self.sde, self.options = observation, sde, options
        if rows is None:
            _, rows = torch.unique(observation.y.flatten(1), dim=0, return_inverse=True)
        self.groups = [(rows == group).nonzero()[:, 0] for group in range(int(rows.max()) + 1)]
        self.twist: Twist | None = None

    def guide(self, score: Score) -> Score:
        self.twist = Twist(score, self.observation, self.options)
        return Score(score.sde, self.twist, time=None)

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        if s == t:
            return after, memory
        if after.gain is None or not isinstance(after.std, float) or not after.std > 0:
            raise ValueError("twisted: weighs Gaussian steps of a known mean, which this predictor does not make: take reverse_diffusion")
        assert self.twist is not None
        was = self.twist.at(before.x, t)
        now = self.twist.at(after.x, s)
        drawn, shift = (after.x - after.mean).flatten(1).double(), after.gain * was.guidance.flatten(1).double()
        ratio = -(shift * (2 * drawn + shift)).sum(1) / (2 * after.std**2)
        gained = ratio + now.log_twist
        weights = gained if memory is None else memory + gained - was.log_twist
        rows, weights = self._survivors(weights, s, noise.uniform((len(weights),), device=weights.device))
        x = after.x[rows]
        self.twist.last = now.chosen(x, rows)
        state = tree_map(lambda part: part[rows] if isinstance(part, Tensor) and part.shape[:1] == rows.shape else part, after.state)
        return Step(x, after.mean[rows], None, state), weights

    def _survivors(self, weights: Tensor, s: float, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (B,) that go on, and the logarithms of their weights."""
        end = s <= self.sde.sampling_end * (1 + 1e-9)
        rows, weights = torch.arange(len(weights), device=weights.device), weights.clone()
        for group in self.groups:
            shares = weights[group].softmax(0)
            if end or 1 / shares.square().sum() < self.options.threshold * len(group):
                places = (torch.arange(len(group)).to(shares) + uniform[group[0]]) / len(group)
                rows[group] = group[torch.searchsorted(shares.cumsum(0), places).clamp(max=len(group) - 1)]
                weights[group] = 0.0
        return rows, weights
