"""Langevin dynamics with a step size set by a signal-to-noise ratio r (Song et al., 2021, eq. 2, App. G, Algorithms 4 and 5):

    eps = 2 a (r |z| / |score|)^2,    x' = x + eps score + sqrt(2 eps) z,

where the two norms are means over the batch, so a sample depends on its batch-mates: a norm of one sample's own diverges in low
dimension. a is 1, or the published chain's alpha_i with ``ladder``. The uncoupled rule, with the expectations |z| ~ sqrt(d) and
|score| ~ sqrt(d) / sigma, is ``annealed_langevin``.
"""

from typing import ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Corrector, Noise, Reverse, Scalar, Step, broadcast, option


@final
@attrs.frozen(kw_only=True)
class Langevin(Corrector):
    """Langevin dynamics at a signal-to-noise ratio (Song et al., 2021, App. G, Algorithms 4 and 5)."""

    name = "langevin"
    couples: ClassVar[bool] = True

    snr: float = option(0.16, above=0, help="signal-to-noise ratio r; the paper's best: 0.16 for VE, 0.01 for VP")
    ladder: bool = option(False, help="multiply the step by the published chain's alpha_i")

    @property
    def reads_ladder(self) -> bool:
        return self.ladder

    def correct(self, reverse: Reverse, x: Tensor, t: Scalar, noise: Noise) -> Step:
        score = reverse.score(x, t)
        z = noise.normal_like(x)
        factor = reverse.sde.ladder().alpha(t) if self.ladder else 1.0
        eps = torch.as_tensor(broadcast(2 * factor * (self.snr * _mean_norm(z) / _mean_norm(score)) ** 2, x))
        mean = torch.addcmul(x, eps, score)
        return Step(torch.addcmul(mean, torch.sqrt(2 * eps), z), mean)


def _mean_norm(x: Tensor) -> Tensor:
    """The mean over the batch of each sample's Euclidean norm: (1,), at least float32."""
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norms.mean().reshape(1)
