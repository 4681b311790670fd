"""NCSNv2 (Song & Ermon, 2020, sec. 3.4 and App. B.1): a RefineNet that is not conditional, its output divided by sigma.

The networks for pictures of 64 (and 32), of 128 and of 256 differ in their stages: multipliers (1, 2, 2, 2), (1, 2, 2, 4, 4) and
(1, 2, 2, 2, 4, 4). The first is the default.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, final

import attrs
from torch import Tensor, nn

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option

from .blocks import ACTIVATIONS, Nonlinearity
from .plan import centring, noise_scale
from .published_refinenet import published_refinenet_names
from .refinenet import InstanceNormPlus, NoNorm, RefineNet, Style, check_stages, max_pool, stage_widths


@final
@attrs.frozen(kw_only=True)
class NCSNv2(ScoreModel):
    """The network of 2020 for pictures of any number of channels (Song & Ermon, 2020, App. B.1)."""

    name = "ncsnv2"

    channels: int = option(128, at_least=2, help="width of the first stage")
    multipliers: tuple[int, ...] = option(
        (1, 2, 2, 2), at_least=1, help="width of each stage in units of channels; each but the first and the last two halves the sides"
    )
    nonlinearity: Nonlinearity = option("elu", help="the activation")
    time_coordinate: Literal["level", "sigma"] = option("level", help="whether sigma is a level's or that of any time")

    def __attrs_post_init__(self) -> None:
        check_stages(self.multipliers)

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        widths = stage_widths(self.name, self.channels, self.multipliers, spec)
        act = ACTIVATIONS[self.nonlinearity]
        field = RefineNet(spec.shape[0], widths, Style(InstanceNormPlus, act), Style(NoNorm, act), max_pool, centring(spec))
        return Scaled(field, noise_scale(sde, self.time_coordinate))

    def published_names(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        return published_refinenet_names(network)

    def prediction(self, sde: SDE) -> Prediction:
        return "score"

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate


class Scaled(nn.Module):
    """forward(x (B, C, H, W), c (B,)) -> (B, C, H, W), the field at x divided by sigma(c)."""

    def __init__(self, field: RefineNet, sigma: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.field, self.sigma = field, sigma

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.field(x, time)
        return out.to(x.dtype) / self.sigma(time).to(x.dtype)[:, None, None, None]
