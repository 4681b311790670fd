"""RefineNet with dilated convolutions, the network of NCSN and NCSNv2 (Song & Ermon, 2019, App. A; 2020, App. B; Lin et al., 2017).

Down: stages of two residual blocks each, x + C_2 elu(N_2 C_1 elu(N_1 x)). The first stage keeps the picture's sides, each further one but
the last two halves them, by a mean after C_2; the last two keep them and dilate all their convolutions, by 2 and by 4. Where a stage
begins, x goes through a convolution of its own. Up: a refinement block for each stage, the last first, maps the stage's state and the
block's before to

    U_out R M(U_1 x_1, U_2 x_2),    U residual units, x + C elu(N C elu(N x)) in turn, M the sum of 3x3 convolutions enlarged to
                                    the larger picture, R a chain p -> C pool(N p) from elu(x), whose links are all added to it.

InstanceNorm++ (N), with mu_k and s_k the mean and the deviation of channel k over the picture, m and s those of the mu_k over channels, is

    gamma_k ((x_k - mu_k) / s_k + alpha_k (mu_k - m) / s) + beta_k,

conditional where gamma, alpha and beta depend on the noise level. NCSN has it everywhere and mean pooling in R, NCSNv2 only in the residual
blocks, unconditional, and maximum pooling.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from scoresde.core import DataSpec

Norm: TypeAlias = Callable[[int], nn.Module]  # channels -> a module of (x (B, C, H, W), level (B,) int64)
Pool: TypeAlias = Callable[[Tensor], Tensor]


class Style(NamedTuple):
    """What stands before a convolution: the norm and the activation."""

    norm: Norm
    act: Callable[[Tensor], Tensor]


_EPSILON = 1e-5
_UNITS, _LINKS = 2, 2  # convolutions of a residual unit; links of a pooling chain


def standardised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of x (B, C, H, W) each channel of each picture standardised, and (B, C) the channels' means standardised over the channels."""
    means = x.mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(means, 1, keepdim=True)
    return torch.group_norm(x, x.shape[1], eps=_EPSILON), (means - mean) * torch.rsqrt(variance + _EPSILON)


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale x + shift with a number for each channel, in one pass."""
    return torch.addcmul(shift.to(x.dtype)[:, :, None, None], x, scale.to(x.dtype)[:, :, None, None])


class InstanceNormPlus(nn.Module):
    """InstanceNorm++ whatever the level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels).normal_(1, 0.02))
        self.gamma = nn.Parameter(torch.empty(channels).normal_(1, 0.02))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        unit, means = standardised(x)
        return _affine(unit, self.gamma[None], self.beta + self.gamma * self.alpha * means)


class ConditionalInstanceNormPlus(nn.Module):
    """InstanceNorm++ with [gamma, alpha, beta] looked up by the level."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(levels, 3 * channels)
        nn.init.normal_(self.embed.weight[:, : 2 * channels].detach(), 1, 0.02)
        nn.init.zeros_(self.embed.weight[:, 2 * channels :].detach())

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        unit, means = standardised(x)
        gamma, alpha, beta = self.embed(level).chunk(3, 1)
        return _affine(unit, gamma, beta + gamma * alpha * means)


class NoNorm(nn.Module):
    """The identity in a norm's place."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return x


class PooledConv(nn.Module):
    """A convolution, then the mean of each square: (B, C, H, W) to (B, outputs, H/2, W/2)."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(self.conv(x), 2)


class ResidualBlock(nn.Module):
    """A block of the way down: ``pooled`` halves the sides, ``skips`` gives x a convolution of its own."""

    def __init__(self, inputs: int, outputs: int, style: Style, dilation: int, *, pooled: bool, skips: bool) -> None:
        super().__init__()
        between = inputs if skips else outputs
        self.norm_in, self.norm_out, self.act = style.norm(inputs), style.norm(between), style.act
        self.conv_in = _conv(inputs, between, dilation)
        self.conv_out = PooledConv(between, outputs, 3) if pooled else _conv(between, outputs, dilation)
        self.skip = None if not skips else PooledConv(inputs, outputs, 1) if pooled else _conv(inputs, outputs, dilation)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.conv_in(self.act(self.norm_in(x, level)))
        h = self.conv_out(self.act(self.norm_out(h, level)))
        return h + (x if self.skip is None else self.skip(x))  # type: ignore[no-any-return]


class ResidualUnits(nn.Module):
    """U: ``count`` residual units."""

    def __init__(self, channels: int, count: int, style: Style) -> None:
        super().__init__()
        self.act = style.act
        self.norms = nn.ModuleList(style.norm(channels) for _ in range(_UNITS * count))
        self.convs = nn.ModuleList(_conv(channels, channels, bias=False) for _ in range(_UNITS * count))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = x
        for i, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            h = conv(self.act(norm(h, level)))
            if i % _UNITS == _UNITS - 1:
                h = x = h + x
        return h


class Fusion(nn.Module):
    """M: states of several sizes brought to one width and size, and added."""

    def __init__(self, inputs: Sequence[int], outputs: int, norm: Norm) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norm(width) for width in inputs)
        self.convs = nn.ModuleList(_conv(width, outputs) for width in inputs)

    def forward(self, states: Sequence[Tensor], size: Sequence[int], level: Tensor) -> Tensor:
        parts = [conv(norm(x, level)) for x, norm, conv in zip(states, self.norms, self.convs, strict=True)]
        enlarged = [x if x.shape[2:] == size else interpolate(x, tuple(size), mode="bilinear", align_corners=True) for x in parts]
        return sum(enlarged[1:], enlarged[0])


class PoolingChain(nn.Module):
    """R: chained residual pooling."""

    def __init__(self, channels: int, style: Style, pool: Pool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(style.norm(channels) for _ in range(_LINKS))
        self.convs = nn.ModuleList(_conv(channels, channels, bias=False) for _ in range(_LINKS))
        self.act, self.pool = style.act, pool

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        total = path = self.act(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            path = conv(self.pool(norm(path, level)))
            total = total + path
        return total


class RefineBlock(nn.Module):
    """One block of the way up, from states of widths ``inputs`` to ``outputs``; a single state keeps its width."""

    def __init__(self, inputs: Sequence[int], outputs: int, units: int, style: Style, pool: Pool) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(ResidualUnits(width, 2, style) for width in inputs)
        self.fuse = Fusion(inputs, outputs, style.norm) if len(inputs) > 1 else None
        self.chain, self.out = PoolingChain(outputs, style, pool), ResidualUnits(outputs, units, style)

    def forward(self, states: Sequence[Tensor], level: Tensor) -> Tensor:
        states = [adapt(x, level) for adapt, x in zip(self.adapt, states, strict=True)]
        h = states[0] if self.fuse is None else self.fuse(states, states[0].shape[2:], level)
        return self.out(self.chain(h, level), level)  # type: ignore[no-any-return]


class RefineNet(nn.Module):
    """forward(x (B, C, H, W), level (B,)) -> (B, C, H, W); ``centring`` is the (scale, shift) that takes the data's range to [-1, 1].

    ``widths`` are those of the stages, ``down`` the style of the stages and of the end, ``up`` that of the refinement blocks.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], down: Style, up: Style, pool: Pool, centring: tuple[float, float] | None
    ) -> None:
        super().__init__()
        self.centring, last = centring, len(widths) - 1
        self.inlet = _conv(channels, widths[0])
        self.stages = nn.ModuleList()
        for place, (inputs, outputs) in enumerate(zip([widths[0], *widths], widths, strict=False)):
            dilation, pooled = {last - 1: 2, last: 4}.get(place, 1), 0 < place < last - 1
            entry = ResidualBlock(inputs, outputs, down, dilation, pooled=pooled, skips=place > 0)
            self.stages.append(nn.ModuleList([entry, ResidualBlock(outputs, outputs, down, dilation, pooled=False, skips=False)]))
        self.refinements = nn.ModuleList([RefineBlock([widths[-1]], widths[-1], 1, up, pool)])
        before = widths[-1]
        for place in range(last - 1, -1, -1):
            outputs, units = (widths[place - 1], 1) if place else (widths[0], 3)
            self.refinements.append(RefineBlock([widths[place], before], outputs, units, up, pool))
            before = outputs
        self.norm, self.act, self.outlet = down.norm(widths[0]), down.act, _conv(widths[0], channels)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        level = level.long()
        h = self.inlet(x if self.centring is None else x * self.centring[0] + self.centring[1])
        states: list[Tensor] = []
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, level)
            states.append(h)
        before: list[Tensor] = []
        for refine in self.refinements:
            before = [refine([states.pop(), *before], level)]
        return self.outlet(self.act(self.norm(before[0], level)))  # type: ignore[no-any-return]


def mean_pool(x: Tensor) -> Tensor:
    """The mean over 5x5 places, zeros beyond the border counted as well."""
    return avg_pool2d(x, 5, stride=1, padding=2)


def max_pool(x: Tensor) -> Tensor:
    return max_pool2d(x, 5, stride=1, padding=2)


def stage_widths(name: str, channels: int, multipliers: Sequence[int], spec: DataSpec) -> list[int]:
    """The widths of the stages. Raises ValueError where the data's sides cannot be halved evenly by all that halve them."""
    halving = len(multipliers) - 3
    factor = 2**halving
    if len(spec.shape) != 3 or any(side % factor for side in spec.shape[1:]):
        raise ValueError(
            f"{name} with {len(multipliers)} stages, {halving} of which halve the sides, needs items of shape (C, H, W)"
            f" with H and W multiples of {factor}; the data have {spec.shape}"
        )
    return [channels * multiplier for multiplier in multipliers]


def check_stages(multipliers: Sequence[int]) -> None:
    if len(multipliers) < 3:
        raise ValueError(f"multipliers = {tuple(multipliers)} names {len(multipliers)} stages: give at least three numbers")


def _conv(inputs: int, outputs: int, dilation: int = 1, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)
