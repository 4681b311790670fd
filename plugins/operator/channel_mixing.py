"""One channel mixed of all: the grey picture of a colour picture (colorization; Song et al., 2021, App. I.3).

With weights w, scaled to sum 1, y = sum_c w_c x_c at every place, so that A A^T = |w|^2 I.
"""

from typing import ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Operator, option


@final
@attrs.frozen(kw_only=True)
class ChannelMixing(Operator):
    """The weighted mean over the first axis of an item, (B, 1, ...): of a colour picture the grey one (Song et al., 2021, App. I.3)."""

    name = "channel_mixing"
    positive: ClassVar[bool] = True

    weights: tuple[float, ...] = option((), above=0, help="one for each channel, such as [0.299, 0.587, 0.114]; left out: equal ones")

    def apply(self, x: Tensor) -> Tensor:
        if not self.weights:
            return x.mean(1, keepdim=True)
        if len(self.weights) != x.shape[1]:
            raise ValueError(f"{len(self.weights)} weights do not fit the {x.shape[1]} channels of items of shape {tuple(x.shape[1:])}")
        weights = x.new_tensor(self.weights)
        return torch.einsum("bc...,c->b...", x, weights / weights.sum()).unsqueeze(1)
