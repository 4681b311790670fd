"""The simple loss of DDPM (Ho et al., 2020, eq. 14; Song et al., 2021, eq. 3).

With a level i drawn uniformly and x = sqrt(abar_i) x_0 + sqrt(1 - abar_i) z, the loss of a sample is

    reduce((E[z | x] - z)^2),

where a network that predicts noise gives E[z | x] itself, any other by its score, and reduce is the mean over dimensions or half of
the sum.
"""

from typing import Any, final

import attrs
from torch import Tensor

from scoresde.core import LinearSDE, Noise, Objective, Score, option

from .perturbation import Reduction, at_levels, reduced


@final
@attrs.frozen(kw_only=True)
class DDPMLoss(Objective):
    """The noise's mean squared error at the SDE's levels (Ho et al., 2020)."""

    name = "ddpm"

    reduce: Reduction = option("mean", help="mean over dimensions, or half of the sum")

    @property
    def needs(self) -> type[Any]:
        return LinearSDE

    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        x, t, _, z = at_levels(score, x0, noise)
        return reduced((score.noise(x, t) - z).square(), self.reduce)
