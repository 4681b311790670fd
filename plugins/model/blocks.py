"""Building blocks of the U-shaped networks of Song et al. (2021, App. H).

A residual block of the BigGAN type (Brock et al., 2019) takes a state x and an embedding e of time to

    (S R x + C_2 dropout(silu(N_2(C_1 R silu(N_1 x) + W e)))) / sqrt 2,

with group normalisations N, 3x3 convolutions C, a resampling R by 2 (or none), and S a 1x1 convolution where R or the width changes
anything, else the identity. Self-attention over the places of a picture of C channels, in one head, is

    (x + O V softmax(K^T Q / sqrt C)) / sqrt 2,    Q, K, V and O 1x1 convolutions, the first three of N x,

and a position p is embedded as [sin, cos](p 10000^(-i / (n - 1))), i < n. Weights start uniform with variance s / mean(fan in, fan out),
s = 1, and next to nothing in the last layer of a branch, so that a new block is the identity but for its factor.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, scaled_dot_product_attention, silu

from scoresde.core import TimeCoordinate

# Positions are made for numbers up to about a thousand, as 999 t is: what one unit of each coordinate counts. 50 log SNR and
# 100 log sigma differ in sign only where alpha = 1.
POSITIONS: Mapping[TimeCoordinate, float] = {"t": 999.0, "999t": 1.0, "level": 1.0, "sigma": 100.0, "log_sigma": 100.0, "log_snr": 50.0}

_NEARLY_ZERO = 1e-10
_ROOT_HALF = math.sqrt(0.5)


def initialise(weight: Tensor, scale: float = 1.0) -> None:
    """Uniform with the variance scale / mean(fan in, fan out); a scale of 0 is 1e-10, which lets gradients pass."""
    nn.init.xavier_uniform_(weight, gain=math.sqrt(max(scale, _NEARLY_ZERO)))


def conv3x3(inputs: int, outputs: int, scale: float = 1.0) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    initialise(conv.weight, scale)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def conv1x1(inputs: int, outputs: int, scale: float = 1.0) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 1)
    initialise(conv.weight, scale)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    initialise(layer.weight, scale)
    nn.init.zeros_(layer.bias)
    return layer


def group_norm(channels: int) -> nn.GroupNorm:
    """min(C / 4, 32) groups as published, or the next smaller number that divides C."""
    groups = next(count for count in range(max(min(channels // 4, 32), 1), 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)


def downsample(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, H/2, W/2) by the mean of each square."""
    return avg_pool2d(x, 2)


def upsample(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H, 2W) by repetition."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


class PositionalEmbedding(nn.Module):
    """[sin, cos] of a coordinate (B,) at geometric frequencies, (B, width), in float32 or better; an odd width is raised by one."""

    def __init__(self, width: int, unit: float = 1.0) -> None:
        super().__init__()
        self.count, self.unit = max((width + 1) // 2, 2), unit
        self.width = 2 * self.count

    def forward(self, coordinate: Tensor) -> Tensor:
        position = (coordinate if coordinate.dtype == torch.float64 else coordinate.float()) * self.unit
        place = torch.arange(self.count, dtype=position.dtype, device=position.device)
        angle = position[:, None] * torch.exp(place * (-math.log(10000.0) / (self.count - 1)))
        return torch.cat((angle.sin(), angle.cos()), 1)


class TimeEmbedding(nn.Module):
    """silu(W_2 silu(W_1 f(c))) of a time coordinate c (B,) with its features f: the e that blocks read, (B, outputs)."""

    def __init__(self, features: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__()
        self.features = features
        self.inner, self.outer = linear(inputs, outputs), linear(outputs, outputs)

    def forward(self, coordinate: Tensor, dtype: torch.dtype) -> Tensor:
        inner = self.inner(self.features(coordinate).to(dtype))
        return silu(self.outer(silu(inner)))


class Attention(nn.Module):
    """Self-attention over the places of (B, C, H, W), in one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv = conv1x1(channels, 3 * channels)
        for part in self.qkv.weight.detach().chunk(3):
            initialise(part, 0.1)
        self.out = conv1x1(channels, channels, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)[:, None]
        mixed = scaled_dot_product_attention(*rows.chunk(3, 3))
        h: Tensor = self.out(mixed[:, 0].transpose(1, 2).reshape(x.shape))
        return (x + h) * _ROOT_HALF


class ResidualBlock(nn.Module):
    """A residual block of the BigGAN type, followed by attention where asked; ``resample`` maps (B, C, H, W) to another H and W."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        dropout: float,
        *,
        attention: bool = False,
        resample: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.norm_in, self.conv_in = group_norm(inputs), conv3x3(inputs, outputs)
        self.time = linear(embedding, outputs)
        self.norm_out, self.dropout, self.conv_out = group_norm(outputs), nn.Dropout(dropout), conv3x3(outputs, outputs, 0.0)
        self.skip = conv1x1(inputs, outputs) if inputs != outputs or resample is not None else None
        self.attention = Attention(outputs) if attention else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = silu(self.norm_in(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv_in(h) + self.time(embedding)[:, :, None, None]
        h = self.conv_out(self.dropout(silu(self.norm_out(h))))
        if self.skip is not None:
            x = self.skip(x)
        h = (x + h) * _ROOT_HALF
        return h if self.attention is None else self.attention(h)  # type: ignore[no-any-return]
