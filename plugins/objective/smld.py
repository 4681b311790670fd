"""Denoising score matching on a ladder of noise levels, SMLD (Song & Ermon, 2019, eqs. 5, 6; Song et al., 2021, eq. 1).

With a level drawn uniformly and x = alpha x_0 + sigma z by its kernel, the loss of a sample weighted by lambda = sigma^2 is

    reduce((sigma score(x, t) + z)^2),

reduce the mean over dimensions or, as in eq. 5, half of the sum. On VE's ladder alpha = 1, the levels are geometric, and the network
is told the label of its level, which counts from the noisiest.
"""

from typing import Any, final

import attrs
from torch import Tensor

from scoresde.core import LinearSDE, Noise, Objective, Score, option

from .perturbation import Reduction, at_levels, reduced


@final
@attrs.frozen(kw_only=True)
class SMLD(Objective):
    """Denoising score matching at the SDE's levels (Song & Ermon, 2019)."""

    name = "smld"

    reduce: Reduction = option("sum", help="mean over dimensions, or half of the sum as published")

    @property
    def needs(self) -> type[Any]:
        return LinearSDE

    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        x, t, _, z = at_levels(score, x0, noise)
        return reduced((z - score.noise(x, t)).square(), self.reduce)  # minus sigma score, which a network of noise gives undivided
