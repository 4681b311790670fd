"""Means of blocks: what super-resolution starts from (Kawar et al., 2022, "Denoising Diffusion Restoration Models", sec. 5).

Blocks do not overlap: with f^d entries each, A A^T = f^-d I.
"""

from typing import ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import Operator, option


@final
@attrs.frozen(kw_only=True)
class BlockAverage(Operator):
    """The mean of every block of ``factor`` x ``factor`` entries of the last two axes, or of ``factor`` where an item has one axis
    (Kawar et al., 2022)."""

    name = "block_average"
    positive: ClassVar[bool] = True

    factor: int = option(2, at_least=1, help="side of a block, which the sides of an item are multiples of")

    def apply(self, x: Tensor) -> Tensor:
        axes = range(max(1, x.ndim - 2), x.ndim)
        if any(x.shape[axis] % self.factor for axis in axes):
            raise ValueError(f"blocks of side {self.factor} do not fit items of shape {tuple(x.shape[1:])}")
        for axis in axes:
            x = x.reshape(*x.shape[:axis], -1, self.factor, *x.shape[axis + 1 :]).mean(axis + 1)
        return x
