"""The U-Net of DDPM, DDPM++ and NCSN++ (Ho et al., 2020; Song et al., 2021, App. H).

With resolutions r_0 = H, r_1 = H/2, ..., each of width multipliers[i] x channels, the way down is ``blocks`` residual blocks each, the
way up ``blocks + 1``, each of which also reads one state of the way down, the last first; attention follows every block on the way
down, and the last of a resolution on the way up, at the listed resolutions, and stands between two blocks at the bottom. Beside the
states, a pyramid of the input may join on the way down, and one of the output be gathered on the way up:

    progressive_input  input_skip   the shrunken input joins the state by a 1x1 convolution
                       residual     the shrunken and convolved pyramid is added to the state, and both are the sum
    progressive        output_skip  the output is the sum of enlarged pictures, one read out of each resolution
                       residual     the enlarged and convolved pyramid is added to the state, and both are the sum

Modules are made, and stand, in the order of the published network's.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .blocks import Head
from .embedding import FourierFeatures, PositionalEmbedding, TimeEmbedding, Waves
from .layers import conv3x3
from .plan import Plan
from .pyramids import InputResidual, InputSkip, OutputResidual, OutputSkip


class Descent(nn.Module):
    """One resolution of the way down, then halved (but for the last) and joined by the input's pyramid; appends its states."""

    def __init__(self, blocks: nn.ModuleList, shrink: nn.Module | None, join: nn.Module | None) -> None:
        super().__init__()
        self.blocks, self.shrink, self.join = blocks, shrink, join

    def forward(self, h: Tensor, picture: Tensor, embedding: Tensor | None, states: list[Tensor]) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            h = block(h, embedding)
            states.append(h)
        if self.shrink is not None:
            h = self.shrink(h, embedding)
            if self.join is not None:
                picture, h = self.join(picture, h)
            states.append(h)
        return h, picture


class Ascent(nn.Module):
    """One resolution of the way up, read out for the output's pyramid and then doubled (but for the first); takes states away."""

    def __init__(self, blocks: nn.ModuleList, read: nn.Module | None, enlarge: nn.Module | None) -> None:
        super().__init__()
        self.blocks, self.read, self.enlarge = blocks, read, enlarge

    def forward(self, h: Tensor, picture: Tensor | None, embedding: Tensor | None, states: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        for block in self.blocks:
            h = block(torch.cat((h, states.pop()), 1), embedding)
        if self.read is not None:
            h, picture = self.read(h, picture)
        return (h if self.enlarge is None else self.enlarge(h, embedding)), picture


class UNet(nn.Module):
    """forward(x (B, *shape), time (B,)) -> (B, *shape); with ``classes`` it takes a ``label`` (B,) too.

    The network reads ``scale x + shift`` for ``affine`` = (scale, shift), beside it the ``Waves`` of the exponents ``waves``; its output is
    divided by ``sigma(time)`` where one is given.
    """

    def __init__(
        self,
        plan: Plan,
        shape: tuple[int, ...],
        features: PositionalEmbedding | FourierFeatures,
        affine: tuple[float, float] | None = None,
        sigma: Callable[[Tensor], Tensor] | None = None,
        waves: Sequence[int] = (),
        classes: int | None = None,
    ) -> None:
        super().__init__()
        self.conditional, self.affine, self.sigma = plan.conditional, affine, sigma
        embed = partial(TimeEmbedding, features, features.width, plan.embedding, plan.style.act, classes)
        self.embed = embed() if plan.conditional else features
        self.waves = Waves(waves) if waves else None
        self.inlet = conv3x3(shape[0] * (1 + 2 * len(waves)), plan.channels)
        self.down, states = way_down(plan, shape)
        bottom = states[-1]
        self.middle = nn.ModuleList([plan.block(bottom, bottom, attention=True), plan.block(bottom, bottom)])
        self.up = _way_up(plan, shape, states)
        width = plan.channels * plan.multipliers[0]
        self.outlet = None if plan.progressive == "output_skip" else Head(width, shape[0], plan.style, plan.style.init_scale)
        # Convolutions answer in the format of their weights: on CPUs and in half precision this one is the fastest.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        embedding = self.embed(time, x.dtype, label) if self.conditional else None
        picture = x if self.affine is None else x * self.affine[0] + self.affine[1]
        h = self._enter(picture)
        states = [h]
        for stage in self.down:
            h, picture = stage(h, picture, embedding, states)
        for block in self.middle:
            h = block(h, embedding)
        out: Tensor | None = None
        for stage in self.up:
            h, out = stage(h, out, embedding, states)
        if self.outlet is not None:
            out = self.outlet(h)
        assert out is not None
        out = out.contiguous()
        return out if self.sigma is None else out / self.sigma(time).to(x.dtype).reshape(-1, 1, 1, 1)

    def _enter(self, picture: Tensor) -> Tensor:
        if self.waves is None:
            return self.inlet(picture)  # type: ignore[no-any-return]
        with torch.autocast(picture.device.type, enabled=False):  # half precision would round what the waves are there to show
            return self.inlet(self.waves(picture))  # type: ignore[no-any-return]


def _stages(plan: Plan, height: int) -> list[tuple[int, bool]]:
    """(width, whether there is attention) of each resolution."""
    return [(plan.channels * factor, height >> level in plan.attention) for level, factor in enumerate(plan.multipliers)]


def way_down(plan: Plan, shape: tuple[int, ...]) -> tuple[nn.ModuleList, list[int]]:
    """The way down, and the widths of all its states, the inlet's first."""
    down, states, pyramid = nn.ModuleList(), [plan.channels], shape[0]
    stages = _stages(plan, shape[1])
    for level, (width, attends) in enumerate(stages):
        blocks = nn.ModuleList()
        for _ in range(plan.blocks):
            blocks.append(plan.block(states[-1], width, attention=attends))
            states.append(width)
        last = level == len(stages) - 1
        shrink = None if last else plan.shrink(width)
        join: nn.Module | None = None
        if not last and plan.progressive_input == "input_skip":
            join = InputSkip(plan, shape[0], width)
        elif not last and plan.progressive_input == "residual":
            join, pyramid = InputResidual(plan, pyramid, width), width
        if not last:
            states.append(width * (2 if isinstance(join, InputSkip) and plan.progressive_combine == "cat" else 1))
        down.append(Descent(blocks, shrink, join))
    return down, states


def _way_up(plan: Plan, shape: tuple[int, ...], states: list[int]) -> nn.ModuleList:
    """The way up, from the widths of the states on the way down, which are read from the last."""
    up, left, width, pyramid = nn.ModuleList(), list(states), states[-1], None
    stages = _stages(plan, shape[1])
    for level, (outputs, attends) in reversed(list(enumerate(stages))):
        blocks = nn.ModuleList()
        for place in range(plan.blocks + 1):
            blocks.append(plan.block(width + left.pop(), outputs, attention=attends and place == plan.blocks))
            width = outputs
        read: nn.Module | None = None
        if plan.progressive == "output_skip":
            read = OutputSkip(plan, width, shape[0])
        elif plan.progressive == "residual":
            read, pyramid = OutputResidual(plan, pyramid, width), width
        up.append(Ascent(blocks, read, plan.enlarge(width) if level > 0 else None))
    return up
