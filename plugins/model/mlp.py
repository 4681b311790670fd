"""A residual perceptron for vectors and point clouds.

The items are flattened to x in R^D; with an embedding e of time as in DDPM++ (Song et al., 2021, App. H),

    h_0 = A x,    h_{i+1} = h_i + V_i silu(W_i silu(h_i) + U_i e),    output B silu(h_depth),

where the V_i and B start next to zero (residual blocks: He et al., 2016).
"""

from typing import final

import attrs
from torch import Tensor, nn
from torch.nn.functional import silu

from scoresde.core import SDE, DataSpec, Prediction, ScoreModel, TimeCoordinate, option
from scoresde.core.classes import classes_of

from .embedding import POSITIONS, PositionalEmbedding, TimeEmbedding
from .layers import linear


@final
@attrs.frozen(kw_only=True)
class MLP(ScoreModel):
    """A residual perceptron for items of any shape, which it flattens."""

    name = "mlp"

    width: int = option(128, at_least=4, help="width of the hidden layers and of the embedding of time")
    depth: int = option(3, at_least=1, help="number of residual blocks")
    predicts: Prediction = option("noise", help="what the output is")
    time_coordinate: TimeCoordinate = option("999t", help="what the network is told of time")
    input_scaling: bool = option(False, help="whether the network reads x / sqrt(alpha^2 + sigma^2)")
    labels: bool = option(False, help="whether the network is told the class of an item, or that it has none")

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        return MLPNetwork(self, spec.dimension, classes_of(spec) if self.labels else None)

    @property
    def reads_labels(self) -> bool:
        return self.labels

    def prediction(self, sde: SDE) -> Prediction:
        return self.predicts

    def time(self, sde: SDE) -> TimeCoordinate:
        return self.time_coordinate

    def scales_input(self, sde: SDE) -> bool:
        return self.input_scaling


class MLPNetwork(nn.Module):
    """forward(x (B, *shape), time (B,)) -> (B, *shape); with ``classes`` it takes a ``label`` (B,) too."""

    def __init__(self, options: MLP, dimension: int, classes: int | None = None) -> None:
        super().__init__()
        width = options.width
        features = PositionalEmbedding(width, POSITIONS[options.time_coordinate])
        self.embed = TimeEmbedding(features, features.width, width, classes=classes)
        self.inlet = linear(dimension, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(options.depth))
        self.outlet = linear(width, dimension, 0.0)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        embedding = self.embed(time, x.dtype, label)
        h = self.inlet(x.flatten(1))
        for block in self.blocks:
            h = block(h, embedding)
        out: Tensor = self.outlet(silu(h))
        return out.reshape(x.shape)


class Block(nn.Module):
    """h + V silu(W silu(h) + U e)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.time, self.outer = linear(width, width), linear(width, width), linear(width, width, 0.0)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = self.outer(silu(self.inner(silu(h)) + self.time(embedding)))
        return h + out
