"""A residual perceptron that finds the class of a noisy vector: the score's network ``mlp`` with K outputs.

The items are flattened to x in R^D; with an embedding e of time,

    h_0 = A x,    h_{i+1} = h_i + V_i silu(W_i silu(h_i) + U_i e),    logits B silu(h_depth),

where the V_i and B start next to zero (residual blocks: He et al., 2016). Told the noise level, it is the time-dependent classifier
of Song et al. (2021, App. I.1).
"""

from typing import Any, ClassVar, final

import attrs
from torch import Tensor, nn
from torch.nn.functional import silu

from scoresde.core import SDE, Classifier, DataSpec, LinearSDE, TimeCoordinate, option
from scoresde.core.classes import classes_of

from ..model.embedding import POSITIONS, PositionalEmbedding, TimeEmbedding
from ..model.layers import linear
from ..model.mlp import Block


@final
@attrs.frozen(kw_only=True)
class MLPClassifier(Classifier):
    """A residual perceptron for noisy items of any shape, which it flattens."""

    name = "mlp"
    needs: ClassVar[type[Any]] = LinearSDE

    width: int = option(64, at_least=4, help="width of the hidden layers and of the embedding of time")
    depth: int = option(2, at_least=1, help="number of residual blocks")
    time_coordinate: TimeCoordinate = option("log_snr", help="what the network is told of time")
    input_scaling: bool = option(True, help="whether the network reads x / sqrt(alpha^2 + sigma^2)")

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        return MLPLogits(self, spec.dimension, classes_of(spec))

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling


class MLPLogits(nn.Module):
    """forward(x (B, *shape), time (B,)) -> (B, classes)."""

    def __init__(self, options: MLPClassifier, dimension: int, classes: int) -> None:
        super().__init__()
        width = options.width
        features = PositionalEmbedding(width, POSITIONS[options.time_coordinate])
        self.embed = TimeEmbedding(features, features.width, width)
        self.inlet = linear(dimension, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(options.depth))
        self.outlet = linear(width, classes, 0.0)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedding = self.embed(time, x.dtype)
        h = self.inlet(x.flatten(1))
        for block in self.blocks:
            h = block(h, embedding)
        return self.outlet(silu(h))  # type: ignore[no-any-return]
