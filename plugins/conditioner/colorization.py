"""Colorization by replacement (Song et al., 2021, App. I.3): the grey picture is known, the colours are not.

With C channels the orthonormal transform of the channels has the grey direction g = (1, ..., 1) / sqrt(C) first; its other directions
do not matter, for only the first coordinate g . x = sqrt(C) (mean of the channels) is replaced: P x = g (g . x). What is drawn is not
exactly the posterior. The published runs (``noise_at`` "t") start from the grey picture plus a draw of the prior whose first channel is 0.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, Condition, Conditioner, DataSpec, Mixture, Noise, matrix, option
from scoresde.core.observation import fits, within

from .replacement import BIAS, Lifted, Replacement


@final
@attrs.frozen(kw_only=True)
class Colorization(Conditioner):
    """Colours a grey picture, by replacement (Song et al., 2021, App. I.3)."""

    name = "colorization"
    projects: ClassVar[bool] = True
    expected_failures: ClassVar[Mapping[str, str]] = {"gaussian": BIAS, "mixture": BIAS}

    noise_at: Literal["s", "t"] = option("s", help="time of the grey part's noise: the step's end, or (published) its start")

    @property
    def reads_s(self) -> bool:
        return self.noise_at == "s"

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        return {"y": grey(x)}

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        """Colours y (B, 1, *), the mean of the channels, in the model's range. Raises ValueError for another shape."""
        if y.ndim < 2 or y.shape[1] != 1:
            raise ValueError(f"a grey picture has one channel, (B, 1, ...): y has the shape {tuple(y.shape)}")

        def replacement(x: Tensor) -> Replacement:
            if x[:, :1].shape != y.shape:
                raise ValueError(f"a grey picture of shape {tuple(y.shape[1:])} does not fit items of shape {tuple(x.shape[1:])}")
            root = math.sqrt(x.shape[1])
            return Replacement(
                sde,
                y * root,
                lambda x, k: x + (k / root - grey(x)),
                self.noise_at,
                published_start=lambda x: torch.cat([y, y + x[:, 1:]], 1),
            )

        return Lifted(replacement)

    def check(self, spec: DataSpec, y: Tensor, **observed: Tensor) -> None:
        fits(y, (1, *spec.shape[1:]))
        if spec.range is not None:
            within(y, *(torch.full((1, 1, *spec.shape[1:]), end) for end in spec.range))

    def shown(self, x: Tensor, y: Tensor, **observed: Tensor) -> Tensor:
        return y.expand_as(x)

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture:
        return law.given(matrix(grey, shape), y.flatten())


def grey(x: Tensor) -> Tensor:
    """The mean of the channels of x (B, C, *), (B, 1, *)."""
    return x.mean(1, keepdim=True)
