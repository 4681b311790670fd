"""A mask: A x holds the known entries of x and no others, so that A A^T = I (inpainting; Song et al., 2021, App. I.2)."""

from functools import lru_cache
from typing import ClassVar, Literal, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Operator, option

from ..known_part import known_part


@final
@attrs.frozen(kw_only=True)
class Mask(Operator):
    """The known entries of an item, (B, m), as inpainting has them (Song et al., 2021, App. I.2)."""

    name = "mask"
    positive: ClassVar[bool] = True

    known: Literal["left", "right", "top", "bottom", "border", "random"] = option(
        "left", help="the part that is known: a half of the last two axes, the border around the centre, or entries at random"
    )
    share: float = option(0.5, above=0, below=1, help='share of the entries that are known, for "random"')
    seed: int = option(0, at_least=0, help='which entries are known, for "random": the same of all items')

    def apply(self, x: Tensor) -> Tensor:
        places = _places(self, tuple(x.shape[1:]))
        if len(places) == 0:
            raise ValueError(f"known = {self.known!r} leaves no entry of items of shape {tuple(x.shape[1:])} known")
        return x.flatten(1)[:, places.to(x.device)]


@lru_cache(maxsize=16)
def _places(mask: Mask, shape: tuple[int, ...]) -> Tensor:
    """The known entries of a flattened item of this shape, rising."""
    if mask.known != "random":
        return known_part(shape, mask.known).flatten().nonzero()[:, 0]
    size = torch.Size(shape).numel()
    order = torch.randperm(size, generator=torch.Generator().manual_seed(mask.seed))
    return order[: max(1, round(mask.share * size))].sort().values
