"""Guidance by what the denoised mean says of the observation: score(x_t) + scale * guidance (Song et al., 2021, eq. 14)."""

from collections.abc import Callable
from typing import final

from torch import Tensor

from scoresde.core import Condition, Denoised, Scalar, Score


@final
class Guided(Condition):
    """Adds an estimate of grad log p(y | x_t), (B, *) as x_t, to the score; ``scale`` 0 leaves the score as it is."""

    def __init__(self, guidance: Callable[[Denoised], Tensor], scale: float = 1.0) -> None:
        self.guidance, self.scale = guidance, scale

    def guide(self, score: Score) -> Score:
        if self.scale == 0:
            return score

        def guided(x: Tensor, t: Scalar) -> Tensor:
            at = Denoised(score, x, t)
            return at.score + self.scale * self.guidance(at)

        return Score(score.sde, guided, time=None)
