"""A Gaussian blur: each axis of a picture convolved with the weights w_j proportional to exp(-j^2 / (2 std^2)), |j| <= 3 std, the
outermost entries repeated beyond the edge (Kawar et al., 2022, "Denoising Diffusion Restoration Models", sec. 5).

As a matrix the blur of an axis is symmetric but for its edges and nearly singular for a wide one: give its observation some noise.
"""

import math
from typing import ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Operator, option


@final
@attrs.frozen(kw_only=True)
class Blur(Operator):
    """A Gaussian blur along the last two axes (Kawar et al., 2022)."""

    name = "blur"
    positive: ClassVar[bool] = True

    std: float = option(1.0, above=0, help="the Gaussian's standard deviation, in entries")

    def apply(self, x: Tensor) -> Tensor:
        for axis in range(max(1, x.ndim - 2), x.ndim):
            x = (x.movedim(axis, -1) @ self.along(x.shape[axis]).to(x).T).movedim(-1, axis)
        return x

    def along(self, size: int) -> Tensor:
        """The blur of an axis with so many entries, (size, size); its rows sum to 1."""
        reach = math.ceil(3 * self.std)
        places = torch.arange(size)
        rows = torch.zeros(size, size, dtype=torch.float64)
        for shift in range(-reach, reach + 1):
            rows[places, (places + shift).clamp(0, size - 1)] += math.exp(-(shift**2) / (2 * self.std**2))
        return rows / rows.sum(1, keepdim=True)
