"""Layers with the published starts: weights uniform with variance s / mean(fan in, fan out), biases 0 (Song et al., 2021, App. H)."""

import math

from torch import Tensor, nn

_NEARLY_ZERO = 1e-10


def initialise(weight: Tensor, scale: float = 1.0) -> None:
    """Uniform with the variance scale / mean(fan in, fan out); a scale of 0 is 1e-10, which lets gradients pass."""
    nn.init.xavier_uniform_(weight, gain=math.sqrt(max(scale, _NEARLY_ZERO)))


def conv3x3(inputs: int, outputs: int, scale: float = 1.0, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding)
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


def group_norm(channels: int, groups: int | None = None) -> nn.GroupNorm:
    """``groups``, or min(C / 4, 32) as published for NCSN++, or the next smaller number that divides C."""
    most = max(min(channels // 4, 32), 1) if groups is None else groups
    return nn.GroupNorm(next(count for count in range(most, 0, -1) if channels % count == 0), channels, eps=1e-6)
