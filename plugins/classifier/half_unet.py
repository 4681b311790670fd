"""The way down of a U-Net as a classifier of noisy pictures (Dhariwal & Nichol, 2021, sec. 4; Song et al., 2021, App. I.1).

Residual blocks of DDPM++ that are told the time lead to the smallest resolution; there the state, normalised and activated,
is read out by its mean over all places. It has no attention: likelihoods under its guidance differentiate it twice.
"""

from typing import Any, ClassVar, final

import attrs
import torch
from torch import Tensor, nn

from scoresde.core import SDE, Classifier, DataSpec, LinearSDE, TimeCoordinate, option
from scoresde.core.classes import classes_of

from ..model.blocks import Style
from ..model.embedding import POSITIONS, PositionalEmbedding, TimeEmbedding
from ..model.layers import conv3x3, linear
from ..model.plan import Plan, check_multipliers, check_pictures
from ..model.unet import way_down


@final
@attrs.frozen(kw_only=True)
class HalfUNet(Classifier):
    """A convolutional classifier of noisy pictures of any number of channels (Dhariwal & Nichol, 2021)."""

    name = "half_unet"
    needs: ClassVar[type[Any]] = LinearSDE

    channels: int = option(32, at_least=4, help="width at the first resolution")
    multipliers: tuple[int, ...] = option(
        (1, 2, 2), at_least=1, help="width of each resolution in units of channels; each but the first halves the sides"
    )
    blocks: int = option(1, at_least=1, help="residual blocks of each resolution")
    dropout: float = option(0.0, at_least=0, below=1, help="share of activations dropped in training")
    time_coordinate: TimeCoordinate = option("log_snr", help="what the network is told of time")
    input_scaling: bool = option(True, help="whether the network reads x / sqrt(alpha^2 + sigma^2)")

    def __attrs_post_init__(self) -> None:
        check_multipliers(self.multipliers)

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        check_pictures(self.name, spec, len(self.multipliers))
        plan = Plan(
            channels=self.channels,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=(),
            style=Style(dropout=self.dropout),
        )
        features = PositionalEmbedding(self.channels, POSITIONS[self.time_coordinate])
        return HalfUNetLogits(plan, spec.shape, features, classes_of(spec))

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling


class HalfUNetLogits(nn.Module):
    """forward(x (B, *shape), time (B,)) -> (B, classes)."""

    def __init__(self, plan: Plan, shape: tuple[int, ...], features: PositionalEmbedding, classes: int) -> None:
        super().__init__()
        self.style = plan.style
        self.embed = TimeEmbedding(features, features.width, plan.embedding, plan.style.act)
        self.inlet = conv3x3(shape[0], plan.channels)
        self.down, states = way_down(plan, shape)
        self.norm = plan.style.norm(states[-1])
        self.outlet = linear(states[-1], classes, 0.0)
        self.to(memory_format=torch.channels_last)  # as the U-Net's

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedding = self.embed(time, x.dtype)
        h, states = self.inlet(x), list[Tensor]()
        for stage in self.down:
            h, _ = stage(h, x, embedding, states)
        return self.outlet(self.style.activate(self.norm, h).mean((2, 3)))  # type: ignore[no-any-return]
