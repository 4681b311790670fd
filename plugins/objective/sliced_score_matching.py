"""Sliced score matching of perturbed data (Song et al., 2019, "Sliced score matching"; Song & Ermon, 2019, eq. 3).

Integration by parts turns the Fisher divergence between a score s and the data's, without the latter, into the expectation of

    v . (ds/dx) v + |s|^2 / 2        or        v . (ds/dx) v + (v . s)^2 / 2

over directions v with covariance I; the first, of less variance, is the paper's SSM-VR. Here x is the data perturbed at a random time
or level, and the loss of a sample is that value times sigma^2 (as half of a sum; or times 2 / D, as a mean over dimensions). Its
expectation is that of denoising score matching with the same reduction less D/2 (less 1), so both have one minimum; but it needs no z,
and the network's second derivatives.
"""

from typing import Any, Literal, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, LinearSDE, Noise, Objective, Score, option

from .perturbation import Reduction, at_levels, at_times, uniform_times


@final
@attrs.frozen(kw_only=True)
class SlicedScoreMatching(Objective):
    """Score matching by random directions (Song et al., 2019)."""

    name = "sliced_score_matching"

    directions: int = option(1, at_least=1, help="directions v for each sample, averaged")
    law: Literal["rademacher", "normal"] = option("rademacher", help="law of the directions")
    variance_reduced: bool = option(True, help="the norm of the score in place of its square along v")
    ladder: bool = option(False, help="draw one of the SDE's levels (needs a linear SDE) instead of a time in [t_min, t_max]")
    reduce: Reduction = option("sum", help="half of a sum as published, or a mean over dimensions")

    @property
    def needs(self) -> type[Any]:
        return LinearSDE if self.ladder else SDE

    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        trains = torch.is_grad_enabled()
        perturbed = at_levels(score, x0, noise) if self.ladder else at_times(score, x0, uniform_times(score, x0, noise), noise)
        with torch.enable_grad():  # the derivative along v is part of the value
            x = perturbed.x.detach().requires_grad_()
            s = score(x, perturbed.t)
            values = [self._along(s, x, noise, trains) for _ in range(self.directions)]
        weight = perturbed.sigma.flatten() ** 2 * (1.0 if self.reduce == "sum" else 2 / x0[0].numel())
        value = torch.stack(values).mean(0) * weight
        return value if trains else value.detach()

    def _along(self, s: Tensor, x: Tensor, noise: Noise, trains: bool) -> Tensor:
        """v . (ds/dx) v and half of the squares, for one direction of each sample: (B,)."""
        v = noise.rademacher_like(x) if self.law == "rademacher" else noise.normal_like(x)
        along = (v * s).flatten(1).sum(1)
        (slope,) = torch.autograd.grad(along.sum(), x, create_graph=trains, retain_graph=True)
        squares = s.flatten(1).square().sum(1) if self.variance_reduced else along.square()
        return (v * slope).flatten(1).sum(1) + 0.5 * squares
