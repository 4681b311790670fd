"""Building blocks of the U-shaped networks of Ho et al. (2020) and Song et al. (2021, App. H).

A residual block takes a state x and an embedding e of time to

    (S R x + C_2 dropout(a(N_2(C_1 R a(N_1 x) + W e)))) / sqrt 2,

with group normalisations N, an activation a, 3x3 convolutions C, a resampling R by 2 (or none), and S a 1x1 convolution where R or the
width changes anything, else the identity. With resampling it is BigGAN's (Brock et al., 2019); DDPM's has none, and resamples between
blocks. Self-attention over the places of a picture of C channels, in one head, is

    (x + O V softmax(K^T Q / sqrt C)) / sqrt 2,    Q, K, V and O 1x1 convolutions, the first three of N x.

Sums are divided by sqrt 2 in NCSN++ and DDPM++ alone. The last layer of a branch starts next to zero, so that a new block is the identity
but for its factor.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, TypeAlias

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import elu, leaky_relu, relu, scaled_dot_product_attention, silu

from scoresde.core.dropout import Dropout

from .layers import conv1x1, conv3x3, group_norm, initialise, linear

Nonlinearity: TypeAlias = Literal["swish", "elu", "relu", "lrelu"]
ACTIVATIONS: Mapping[Nonlinearity, Callable[..., Tensor]] = {
    "swish": silu,
    "elu": elu,
    "relu": relu,
    "lrelu": partial(leaky_relu, negative_slope=0.2),
}
_ROOT_HALF = math.sqrt(0.5)


@attrs.frozen(kw_only=True)
class Style:
    """What all blocks of a network share: the activation, the factor of sums, the groups of a normalisation (None for NCSN++'s rule),
    the dropout, the start of last layers, and the kind of residual block."""

    act: Callable[..., Tensor] = silu
    rescale: bool = True
    groups: int | None = None
    dropout: float = 0.0
    init_scale: float = 0.0
    kind: Literal["biggan", "ddpm"] = "biggan"

    def norm(self, channels: int) -> nn.GroupNorm:
        return group_norm(channels, self.groups)

    def activate(self, norm: nn.GroupNorm, x: Tensor) -> Tensor:
        """a(N x), in the precision of the weights of N; in place where no gradient needs N x again."""
        return self.act(normalise(norm, x), inplace=not torch.is_grad_enabled())

    def add(self, x: Tensor, h: Tensor) -> Tensor:
        """x + h, divided by sqrt 2 where sums are."""
        return (x + h).mul_(_ROOT_HALF) if self.rescale else x + h


def normalise(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """N x in the precision of N's weights: float32 under autocast, which is also several times faster on CPUs than half precision."""
    return norm(x.to(norm.weight.dtype))  # type: ignore[no-any-return]


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt C) v for rows (B, 1, N, C); in two products where that is faster, for half precision on CPUs."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        return torch.softmax((q * q.shape[3] ** -0.5) @ k.transpose(2, 3), 3).to(v.dtype) @ v
    return scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Self-attention over the places of (B, C, H, W), in one head."""

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        self.style = style
        self.norm = style.norm(channels)
        self.qkv = conv1x1(channels, 3 * channels)
        for part in self.qkv.weight.detach().chunk(3):
            initialise(part, 0.1)
        self.out = conv1x1(channels, channels, style.init_scale)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.qkv(normalise(self.norm, x)).flatten(2).transpose(1, 2)[:, None]
        mixed = attend(*rows.chunk(3, 3))
        return self.style.add(x, self.out(mixed[:, 0].transpose(1, 2).reshape(x.shape)))


class ResidualBlock(nn.Module):
    """A residual block, followed by attention where asked; ``resample`` maps (B, C, H, W) to another H and W.

    ``embedding`` is the width of e. A network that is told no time has e None, and its blocks the unused W of the published ones.
    """

    def __init__(
        self, inputs: int, outputs: int, embedding: int, style: Style, *, attention: bool = False, resample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.style = style
        self.resample = resample
        self.norm_in, self.conv_in = style.norm(inputs), conv3x3(inputs, outputs)
        self.time = linear(embedding, outputs)
        self.norm_out, self.dropout = style.norm(outputs), Dropout(style.dropout)
        self.conv_out = conv3x3(outputs, outputs, style.init_scale)
        changes = inputs != outputs or resample is not None
        self.skip = conv1x1(inputs, outputs, 1.0 if style.kind == "biggan" else 0.1) if changes else None
        self.attention = Attention(outputs, style) if attention else None

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        h = self.style.activate(self.norm_in, x)
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv_in(h)
        if embedding is not None:
            h = h + self.time(embedding)[:, :, None, None]
        h = self.conv_out(self.dropout(self.style.activate(self.norm_out, h)))
        h = self.style.add(x if self.skip is None else self.skip(x), h)
        return h if self.attention is None else self.attention(h)


class Head(nn.Module):
    """C a(N x): a state read out as (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, style: Style, scale: float) -> None:
        super().__init__()
        self.style = style
        self.norm, self.conv = style.norm(inputs), conv3x3(inputs, outputs, scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.style.activate(self.norm, x))  # type: ignore[no-any-return]


class Combine(nn.Module):
    """A 1x1 convolution of a smaller picture, added to the state (B, C, H, W) or put before it in 2C channels."""

    def __init__(self, inputs: int, channels: int, method: Literal["sum", "cat"]) -> None:
        super().__init__()
        self.conv, self.method = conv1x1(inputs, channels), method

    def forward(self, picture: Tensor, h: Tensor) -> Tensor:
        seen = self.conv(picture)
        return torch.cat((seen, h), 1) if self.method == "cat" else seen + h
