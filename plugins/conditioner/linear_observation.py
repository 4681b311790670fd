"""Replacement for any linear observation y = A x_0 + std z: the common form of inpainting and colorization (Song et al., 2021, App. I;
Song, Shen, Xing & Ermon, 2022, "Solving Inverse Problems in Medical Imaging", for operators that are no masks).

P = A^+ A with the pseudo-inverse A^+ = A^T (A A^T)^-1 projects items on what A sees, and y stands as the item A^+ y: after each step the
state's A x is that of a draw N(alpha y, sigma^2 A A^T). The noise of y itself is not allowed for, and what is drawn is not exactly the
posterior: ``pgdm``, ``mmps`` and ``twisted`` come nearer.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import attrs
from torch import Tensor

from scoresde.core import SDE, Condition, LinearConditioner, Noise, option

from .replacement import BIAS, Lifted, Replacement


@final
@attrs.frozen(kw_only=True)
class LinearObservation(LinearConditioner):
    """Replacement for any linear operator (Song et al., 2021, App. I)."""

    name = "linear_observation"
    projects: ClassVar[bool] = True
    expected_failures: ClassVar[Mapping[str, str]] = {"gaussian": BIAS, "mixture": BIAS}

    noise_at: Literal["s", "t"] = option("s", help="time of the known part's noise: the step's end, or (as the paper inpaints) its start")

    @property
    def reads_s(self) -> bool:
        return self.noise_at == "s"

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        observation = self.observation(y, **observed)

        def replacement(x: Tensor) -> Replacement:
            seen = observation.residual(x)  # whose shape is looked at
            lifted = observation.pseudo_inverse(y.to(seen), x)

            def fill(x: Tensor, k: Tensor) -> Tensor:
                return x + observation.pseudo_inverse(observation.apply(k - x), x)

            return Replacement(sde, lifted, fill, self.noise_at)

        return Lifted(replacement)
