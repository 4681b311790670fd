"""Denoising score matching over continuous time (Song et al., 2021, eq. 7).

With x_t = mean + sigma z and t drawn from q on [t_min, T], the loss of a sample is

    w(t) / q(t) * reduce((sigma score(x_t, t) + z)^2),    w = 1, or g(t)^2 / sigma(t)^2 with likelihood weighting,

where reduce is the mean over dimensions or half of the sum, and a uniform q is 1. Importance sampling (Song et al., 2021, "Maximum
likelihood training", sec. 4.3) draws t with density proportional to g^2 / sigma^2. For every linear SDE that is -d log_snr / dt:
the log-SNR is drawn uniformly.
"""

from typing import Any, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, LinearSDE, Noise, Objective, Scalar, Score, option

from .perturbation import Reduction, at_times, reduced


@final
@attrs.frozen(kw_only=True)
class ScoreMatching(Objective):
    """Continuous denoising score matching (Song et al., 2021, eq. 7)."""

    name = "score_matching"

    likelihood_weighting: bool = option(False, help="weight g(t)^2, whose expectation bounds the negative log-likelihood")
    importance: bool = option(False, help="draw t with density proportional to g^2 / sigma^2 (needs a linear SDE)")
    reduce: Reduction = option("mean", help="mean over dimensions, or half of the sum")

    @property
    def needs(self) -> type[Any]:
        return LinearSDE if self.importance else SDE

    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        sde = score.sde
        t, correction = self._draw_time(score, noise.uniform((len(x0),), dtype=torch.float64, device=x0.device))
        x, _, sigma, z = at_times(score, x0, t, noise)
        predicted = score(x, t)
        if self.likelihood_weighting:
            residual, weight = predicted + z / sigma, sde.diffusion(t) ** 2 * correction
        else:
            residual, weight = sigma * predicted + z, correction
        return reduced(residual.square(), self.reduce) * weight

    def _draw_time(self, score: Score, u: Tensor) -> tuple[Tensor, Scalar]:
        """Times (B,) float64 and 1/q."""
        sde = score.sde
        length = sde.t_max - sde.t_min
        if not self.importance:
            return u * length + sde.t_min, 1.0
        assert isinstance(sde, LinearSDE)
        first, last = sde.log_snr(sde.t_min), sde.log_snr(sde.t_max)
        t = torch.as_tensor(sde.time(first + (last - first) * u)).clamp(sde.t_min, sde.t_max)
        return t, (first - last) / length * (sde.sigma(t) / sde.diffusion(t)) ** 2
