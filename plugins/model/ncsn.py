"""NCSN, the noise conditional score network (Song & Ermon, 2019, App. A).

A RefineNet whose InstanceNorm++ is conditional on the noise level everywhere. Its output is the score itself, not divided by sigma; it is
told the label of a level of the SDE's ladder, which for VE counts from the noisiest. CIFAR-10's network is the default.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import final

import attrs
from torch import nn

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option

from .blocks import ACTIVATIONS, Nonlinearity
from .plan import centring
from .published_refinenet import published_refinenet_names
from .refinenet import ConditionalInstanceNormPlus, RefineNet, Style, check_stages, mean_pool, stage_widths


@final
@attrs.frozen(kw_only=True)
class NCSN(ScoreModel):
    """The network of 2019 for pictures of any number of channels (Song & Ermon, 2019, App. A)."""

    name = "ncsn"

    channels: int = option(128, at_least=2, help="width of the first stage")
    multipliers: tuple[int, ...] = option(
        (1, 2, 2, 2), at_least=1, help="width of each stage in units of channels; each but the first and the last two halves the sides"
    )
    nonlinearity: Nonlinearity = option("elu", help="the activation")

    def __attrs_post_init__(self) -> None:
        check_stages(self.multipliers)

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        widths = stage_widths(self.name, self.channels, self.multipliers, spec)
        style = Style(partial(ConditionalInstanceNormPlus, levels=sde.levels), ACTIVATIONS[self.nonlinearity])
        return RefineNet(spec.shape[0], widths, style, style, mean_pool, centring(spec))

    def published_names(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        return published_refinenet_names(network)

    def prediction(self, sde: SDE) -> Prediction:
        return "score"

    def time(self, sde: SDE) -> TimeCoordinate:
        return "level"
