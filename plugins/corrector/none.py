"""No correction (the P samplers of Song et al., 2021, Table 1)."""

from collections.abc import Mapping
from typing import ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Corrector, Noise, Reverse, Scalar, Step


@final
@attrs.frozen(kw_only=True)
class NoCorrector(Corrector):
    """The identity (Song et al., 2021, Table 1, columns P)."""

    name = "none"
    evaluations: ClassVar[int] = 0
    expected_failures: ClassVar[Mapping[str, str]] = {"approach": "it leaves every state as it is"}

    def correct(self, reverse: Reverse, x: Tensor, t: Scalar, noise: Noise) -> Step:
        return Step(x, x, 0.0)
