"""Guidance by a score network that was trained with labels, and with some of them hidden (Ho & Salimans, 2022, eq. 6).

With s(x, y) the score that the network gives when it is told the class, and s(x) when it is told none,

    s(x) + scale (s(x, y) - s(x)):

at scale 0 the unconditional score, at 1 that given the class, and above 1 samples more typical of it. In the paper's letters,
(1 + w) s(x, y) - w s(x), the scale is 1 + w.

Strictly between and above these it takes two evaluations of the network, each on the batch as it is, and not one on a batch twice
as large: a network's last bits change with its batch size, so that s(x) is to the last bit that of an unconditional run of the same chunk,
and a chunk takes no more memory than there.
"""

from typing import ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import SDE, ClassConditioner, Condition, Logits, Noise, Scalar, Score
from scoresde.core.classes import labels


@final
@attrs.frozen(kw_only=True)
class ClassifierFree(ClassConditioner):
    """Samples of wanted classes, by a network that is told the class or none (Ho & Salimans, 2022)."""

    name = "classifier_free"
    reads_classifier: ClassVar[bool] = False

    def condition(self, sde: SDE, y: Tensor, noise: Noise, *, classifier: Logits | None = None, **observed: Tensor) -> Condition:
        return Told(labels(y), self.scale)


@final
class Told(Condition):
    """Classes y (B,) that the network is told."""

    def __init__(self, y: Tensor, scale: float) -> None:
        self.y, self.scale = y, scale

    def guide(self, score: Score) -> Score:
        told = score.given(label=self.y)
        if self.scale in (0, 1):
            return told if self.scale else score

        def guided(x: Tensor, t: Scalar) -> Tensor:
            plain = score(x, t)
            return plain + self.scale * (told(x, t) - plain)

        return Score(score.sde, guided, time=None)
