"""Embeddings of a time coordinate c (Vaswani et al., 2017; Tancik et al., 2020; Song et al., 2021, App. H).

Positions are [sin, cos](u c 10000^(-i / (n - 1))), i < n, with u what one unit of c counts; Fourier features are
[sin, cos](2 pi w_i c) at frequencies w_i drawn once from N(0, scale^2) and then fixed.

Beside a picture x its waves [sin, cos](2^n pi x) may stand as further channels (Kingma et al., 2021, "Variational diffusion models",
App. C): differences of 2^-n, too small for a convolution of x to tell apart, are of order 1 in them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from scoresde.core import NO_CLASS, TimeCoordinate

from .layers import linear

# Positions are made for numbers up to about a thousand, as 999 t is: what one unit of each coordinate counts. 50 log SNR and
# 100 log sigma differ in sign only where alpha = 1.
POSITIONS: Mapping[TimeCoordinate, float] = {"t": 999.0, "999t": 1.0, "level": 1.0, "sigma": 100.0, "log_sigma": 100.0, "log_snr": 50.0}


_SPREAD = 0.1  # of the first vectors of classes, about a tenth of what they are added to


class PositionalEmbedding(nn.Module):
    """[sin, cos] of a coordinate (B,) at geometric frequencies, (B, width), in float32 or better; an odd width ends in a zero."""

    def __init__(self, width: int, unit: float = 1.0) -> None:
        super().__init__()
        self.width, self.count, self.unit = width, width // 2, unit

    def forward(self, coordinate: Tensor) -> Tensor:
        position = _float(coordinate) * self.unit
        place = torch.arange(self.count, dtype=position.dtype, device=position.device)
        angle = position[:, None] * torch.exp(place * (-math.log(10000.0) / max(self.count - 1, 1)))
        value = torch.cat((angle.sin(), angle.cos()), 1)
        return pad(value, (0, 1)) if self.width % 2 else value


class FourierFeatures(nn.Module):
    """[sin, cos] of a coordinate (B,), or of its logarithm, at ``count`` random frequencies: (B, 2 count), in float32 or better."""

    def __init__(self, count: int, scale: float, log: bool = False) -> None:
        super().__init__()
        self.width, self.log = 2 * count, log
        self.frequencies = nn.Parameter(torch.randn(count) * scale, requires_grad=False)

    def forward(self, coordinate: Tensor) -> Tensor:
        value = _float(coordinate)
        angle = (value.log() if self.log else value)[:, None] * self.frequencies.to(value.dtype) * (2 * math.pi)
        return torch.cat((angle.sin(), angle.cos()), 1)


class Waves(nn.Module):
    """x (B, C, H, W) and [sin, cos](2^n pi x) for each n: (B, C (1 + 2 len(exponents)), H, W), in x's dtype."""

    def __init__(self, exponents: Sequence[int]) -> None:
        super().__init__()
        self.factors = [math.pi * 2.0**exponent for exponent in exponents]

    def forward(self, x: Tensor) -> Tensor:
        angles = [x * factor for factor in self.factors]
        return torch.cat([x, *(angle.sin() for angle in angles), *(angle.cos() for angle in angles)], 1)


class TimeEmbedding(nn.Module):
    """a(W_2 a(W_1 f(c))), with the activation a, of a time coordinate c (B,) with its features f: the e that blocks read, (B, outputs).

    Where there are ``classes``, it is a(W_2 a(W_1 f(c)) + v_y), with a vector v_y for each class y and one more for none.
    """

    def __init__(
        self, features: nn.Module, inputs: int, outputs: int, act: Callable[[Tensor], Tensor] = silu, classes: int | None = None
    ) -> None:
        super().__init__()
        self.features = features
        self.inner, self.outer = linear(inputs, outputs), linear(outputs, outputs)
        self.act = act
        self.classes = None if classes is None else ClassEmbedding(classes, outputs)

    def forward(self, coordinate: Tensor, dtype: torch.dtype, label: Tensor | None = None) -> Tensor:
        if label is not None and self.classes is None:
            raise TypeError("the network reads no labels: it was built without classes")
        e: Tensor = self.outer(self.act(self.inner(self.features(coordinate).to(dtype))))
        return self.act(e if self.classes is None else e + self.classes(label, len(e)).to(e.dtype))


class ClassEmbedding(nn.Module):
    """v_y of each class y (B,), 0, ..., K - 1, or -1 for none: (B, outputs). Without labels, none for all (Ho & Salimans, 2022).

    Raises IndexError for what is no class.
    """

    def __init__(self, classes: int, outputs: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(classes + 1, outputs)
        nn.init.normal_(self.vectors.weight, std=_SPREAD)

    def forward(self, label: Tensor | None, count: int) -> Tensor:
        if label is None:
            label = torch.full((count,), NO_CLASS, device=self.vectors.weight.device)
        return self.vectors(label + 1)  # type: ignore[no-any-return]


def _float(coordinate: Tensor) -> Tensor:
    return coordinate if coordinate.dtype == torch.float64 else coordinate.float()
