"""DDPM's U-Net (Ho et al., 2020), as Song et al. (2021) trained it with their SDEs.

The U-Net of ``ncsnpp`` with sums as they are, 32 groups in every normalisation, resampling between the blocks, by strided convolutions,
and no filter. The defaults are CIFAR-10's network of the VP SDE. The network of the VE SDE has ``scale_by_sigma`` and
``time_coordinate`` "level", and predicts the score.
"""

from collections.abc import Mapping, Sequence
from typing import final

import attrs
from torch import nn

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option

from .blocks import ACTIVATIONS, Nonlinearity, Style
from .embedding import POSITIONS, PositionalEmbedding
from .plan import Plan, centring, check_multipliers, check_pictures, noise_scale
from .published import published_names
from .unet import UNet

_GROUPS = 32


@final
@attrs.frozen(kw_only=True)
class DDPM(ScoreModel):
    """The DDPM network for pictures of any number of channels (Ho et al., 2020)."""

    name = "ddpm"

    channels: int = option(128, at_least=_GROUPS, help="width at the first resolution, a multiple of 32")
    multipliers: tuple[int, ...] = option(
        (1, 2, 2, 2), at_least=1, help="width of each resolution in units of channels; each but the first halves the sides"
    )
    blocks: int = option(2, at_least=1, help="residual blocks of each resolution on the way down")
    attention: tuple[int, ...] = option((16,), at_least=1, help="heights with attention; the bottom always has it")
    dropout: float = option(0.1, at_least=0, below=1, help="share of activations dropped in training")
    resamp_with_conv: bool = option(True, help="whether the layers between blocks convolve as they resample")
    scale_by_sigma: bool = option(False, help="whether the output is divided by sigma")
    nonlinearity: Nonlinearity = option("swish", help="the activation")
    predicts: Prediction = option("noise", help="what the output is")
    time_coordinate: TimeCoordinate = option("999t", help="what the network is told of time")
    input_scaling: bool = option(False, help="whether the network reads x / sqrt(alpha^2 + sigma^2)")

    def __attrs_post_init__(self) -> None:
        check_multipliers(self.multipliers)
        if self.channels % _GROUPS:
            raise ValueError(f"channels = {self.channels} is no multiple of {_GROUPS}, the number of groups in every normalisation")
        if self.scale_by_sigma and self.time_coordinate not in ("sigma", "log_sigma", "level"):
            raise ValueError(f"scale_by_sigma needs time_coordinate sigma, log_sigma or level, not {self.time_coordinate}")

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        check_pictures(self.name, spec, len(self.multipliers))
        style = Style(act=ACTIVATIONS[self.nonlinearity], rescale=False, groups=_GROUPS, dropout=self.dropout, kind="ddpm")
        plan = Plan(
            channels=self.channels,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=self.attention,
            style=style,
            resample_with_conv=self.resamp_with_conv,
        )
        sigma = noise_scale(sde, self.time_coordinate) if self.scale_by_sigma else None
        features = PositionalEmbedding(self.channels, POSITIONS[self.time_coordinate])
        return UNet(plan, spec.shape, features, centring(spec), sigma)

    def published_names(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        return published_names(network)

    def prediction(self, sde: SDE) -> Prediction:
        return self.predicts

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling
