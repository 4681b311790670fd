"""DDPM++, the network of the VP and sub-VP SDEs (Song et al., 2021, App. H): DDPM's U-Net (Ho et al., 2020) with residual blocks of
the BigGAN type, rescaled sums and no FIR resampling.

The network is ``ncsnpp`` without its filter and its pyramids. CIFAR-10's DDPM++ is the default; the deep one has 8 blocks.
"""

from collections.abc import Mapping, Sequence
from typing import final

import attrs
from torch import nn

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option
from scoresde.core.classes import classes_of

from .blocks import Style
from .embedding import POSITIONS, PositionalEmbedding
from .plan import Plan, check_multipliers, check_pictures
from .published import published_names
from .unet import UNet


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
    labels: bool = option(False, help="whether the network is told the class of an item, or that it has none")

    waves: tuple[int, ...] = option(
        (), help="exponents n of further input channels sin and cos(2^n pi x), for data with fine levels (Kingma et al., 2021)"
    )

    def __attrs_post_init__(self) -> None:
        check_multipliers(self.multipliers)

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        check_pictures(self.name, spec, len(self.multipliers))
        plan = Plan(
            channels=self.channels,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=self.attention,
            style=Style(dropout=self.dropout),
        )
        features, classes = PositionalEmbedding(self.channels, POSITIONS[self.time_coordinate]), classes_of(spec) if self.labels else None
        return UNet(plan, spec.shape, features, waves=self.waves, classes=classes)

    @property
    def reads_labels(self) -> bool:
        return self.labels

    def published_names(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        return {} if self.labels else published_names(network)

    def prediction(self, sde: SDE) -> Prediction:
        return self.predicts

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling
