"""No prediction: the state passes unchanged, for samplers that only correct (annealed Langevin dynamics, Song & Ermon, 2019)."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Interval, Noise, Predictor, Reverse, Step


@final
@attrs.frozen(kw_only=True)
class NoPredictor(Predictor):
    """The identity (Song & Ermon, 2019, Algorithm 1, has correctors alone)."""

    name = "none"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "order": "it is no solver: a corrector does all the work",
        "distribution": "alone it leaves the prior's draws as they are",
    }

    @property
    def evaluations(self) -> int | None:
        return 0

    @property
    def reads_s(self) -> bool:
        return False

    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        return Step(x, x, 0.0)
