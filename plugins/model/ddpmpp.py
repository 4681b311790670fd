"""DDPM++, the network of the VP and sub-VP SDEs (Song et al., 2021, App. H): DDPM's U-Net (Ho et al., 2020) with residual blocks of
the BigGAN type, rescaled sums and no FIR resampling.

With resolutions r_0 = H, r_1 = H/2, ..., each of width multipliers[i] x channels, the way down is ``blocks`` residual blocks each, the
way up ``blocks + 1``, each of which also reads one state of the way down, the last first; attention follows every block on the way
down, and the last of a resolution on the way up, at the listed resolutions, and stands between two blocks at the bottom. CIFAR-10's
DDPM++ is the default; the deep one has 8 blocks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import final

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option

from .blocks import POSITIONS, PositionalEmbedding, ResidualBlock, TimeEmbedding, conv3x3, downsample, group_norm, upsample


@final
@attrs.frozen(kw_only=True)
class DDPMpp(ScoreModel):
    """The DDPM++ network for pictures of any number of channels (Song et al., 2021, App. H)."""

    name = "ddpmpp"

    channels: int = option(128, at_least=4, help="width at the first resolution")
    multipliers: tuple[int, ...] = option(
        (1, 2, 2, 2), at_least=1, help="width of each resolution in units of channels; each but the first halves the sides"
    )
    blocks: int = option(4, at_least=1, help="residual blocks of each resolution on the way down")
    attention: tuple[int, ...] = option((16,), at_least=1, help="heights with attention; the bottom always has it")
    dropout: float = option(0.1, at_least=0, below=1, help="share of activations dropped in training")
    predicts: Prediction = option("noise", help="what the output is")
    time_coordinate: TimeCoordinate = option("999t", help="what the network is told of time")
    input_scaling: bool = option(False, help="whether the network reads x / sqrt(alpha^2 + sigma^2)")

    def __attrs_post_init__(self) -> None:
        if not self.multipliers:
            raise ValueError("multipliers = () names no resolution: give at least one number")

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        factor = 2 ** (len(self.multipliers) - 1)
        if len(spec.shape) != 3 or any(side % factor for side in spec.shape[1:]):
            raise ValueError(
                f"ddpmpp with {len(self.multipliers)} resolutions needs items of shape (C, H, W) with H and W multiples of {factor};"
                f" the data have {spec.shape}"
            )
        return DDPMppNetwork(self, spec.shape)

    def prediction(self, sde: SDE) -> Prediction:
        return self.predicts

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling


class DDPMppNetwork(nn.Module):
    """forward(x (B, C, H, W), time (B,)) -> (B, C, H, W)."""

    def __init__(self, options: DDPMpp, shape: tuple[int, ...]) -> None:
        super().__init__()
        width = options.channels
        features = PositionalEmbedding(width, POSITIONS[options.time_coordinate])
        self.embed = TimeEmbedding(features, features.width, 4 * width)
        self.inlet = conv3x3(shape[0], width)
        block = partial(ResidualBlock, embedding=4 * width, dropout=options.dropout)
        stages = [(width * factor, shape[1] >> level in options.attention) for level, factor in enumerate(options.multipliers)]
        self.down, skips = _way_down(block, width, stages, options.blocks)
        bottom = skips[-1]
        self.middle = nn.ModuleList([block(bottom, bottom, attention=True), block(bottom, bottom)])
        self.up = _way_up(block, skips, stages, options.blocks)
        last = stages[0][0]
        self.norm, self.outlet = group_norm(last), conv3x3(last, shape[0], 0.0)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedding = self.embed(time, x.dtype)
        h = self.inlet(x)
        skips = [h]
        for block in self.down:
            h = block(h, embedding)
            skips.append(h)
        for block in self.middle:
            h = block(h, embedding)
        for block in self.up:
            h = block(h if block.resample is not None else torch.cat((h, skips.pop()), 1), embedding)
        return self.outlet(silu(self.norm(h)))  # type: ignore[no-any-return]


def _way_down(
    block: Callable[..., ResidualBlock], width: int, stages: Sequence[tuple[int, bool]], blocks: int
) -> tuple[nn.ModuleList, list[int]]:
    """Blocks for stages of (width, attention), and the widths of all states on the way, the inlet's first."""
    down, skips = nn.ModuleList(), [width]
    for level, (outputs, attends) in enumerate(stages):
        if level > 0:
            down.append(block(skips[-1], skips[-1], resample=downsample))
            skips.append(skips[-1])
        for _ in range(blocks):
            down.append(block(skips[-1], outputs, attention=attends))
            skips.append(outputs)
    return down, skips


def _way_up(block: Callable[..., ResidualBlock], skips: Sequence[int], stages: Sequence[tuple[int, bool]], blocks: int) -> nn.ModuleList:
    """Blocks that read the states of the way down, the last first, with one block to double the sides between two stages."""
    up, left, last = nn.ModuleList(), list(skips), skips[-1]
    for level, (outputs, attends) in enumerate(reversed(stages)):
        if level > 0:
            up.append(block(last, last, resample=upsample))
        for place in range(blocks + 1):
            up.append(block(last + left.pop(), outputs, attention=attends and place == blocks))
            last = outputs
    return up
