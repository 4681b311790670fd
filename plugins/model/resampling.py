"""Resampling of pictures by 2: by means and repetition, or by a FIR filter against aliasing (Zhang, 2019; Karras et al., 2020).

With taps k, normalised to sum 1, and the outer product K = k k^T, a picture x is halved and doubled as

    down(x) = (K * x) at every second place,        up(x) = 4 K * (x with a zero after each row and column),

where * is the convolution of pictures that are 0 outside: the reference (StyleGAN2's) places the filter so that for an even number of taps
both are symmetric, and an odd number, which lags by one, is the even number with a zero before the first. With a 3x3 convolution,
the filter comes before a strided one on the way down and the doubled picture is convolved on the way up, its values just outside
included.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad

from .layers import conv3x3


def downsample(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, H/2, W/2) by the mean of each square."""
    return avg_pool2d(x, 2)


def upsample(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H, 2W) by repetition."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def fir_kernel(taps: Sequence[float]) -> Tensor:
    """K (L, L) in float32, with an even L of at least 4: zeros stand before and after where there are fewer taps."""
    row = torch.tensor([0.0] * (len(taps) % 2) + list(taps), dtype=torch.float32)
    if len(row) < 4:
        row = pad(row, (1, 1))
    kernel = torch.outer(row, row)
    return kernel / kernel.sum()


class FIR(nn.Module):
    """The filter K as a depthwise convolution: at all places (H + 1, one more on the left than on the right), or at every second."""

    kernel: Tensor

    def __init__(self, taps: Sequence[float], stride: int = 2) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("kernel", fir_kernel(taps).flip(0, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padding = len(self.kernel) // 2 - (self.stride - 1)
        return _depthwise(conv2d, x, self.kernel, self.stride, padding)


class FIRUp(nn.Module):
    """(B, C, H, W) to (B, C, 2H + 2m, 2W + 2m) by the filter 4 K, with a margin m of 0 or 1."""

    kernel: Tensor

    def __init__(self, taps: Sequence[float], margin: int = 0) -> None:
        super().__init__()
        self.margin = margin
        self.register_buffer("kernel", 4 * fir_kernel(taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return _depthwise(conv_transpose2d, x, self.kernel, 2, len(self.kernel) // 2 - 1 - self.margin)


def _depthwise(convolve: Callable[..., Tensor], x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """In float32 or better whatever autocast says: CPUs have no fast strided depthwise convolution in half precision."""
    weight = kernel.expand(x.shape[1], 1, -1, -1)
    if torch.is_autocast_enabled(x.device.type) or x.dtype != kernel.dtype:
        with torch.autocast(x.device.type, enabled=False):
            out = convolve(x.to(kernel.dtype), weight, stride=stride, padding=padding, groups=x.shape[1])
            return out.to(x.dtype)
    return convolve(x, weight, stride=stride, padding=padding, groups=x.shape[1])


class Mean(nn.Module):
    """``downsample`` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return downsample(x)


class Repeat(nn.Module):
    """``upsample`` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return upsample(x)


def halving(taps: Sequence[float]) -> nn.Module:
    """The filter at every second place, or the mean of each square where there are no taps."""
    return FIR(taps) if taps else Mean()


def doubling(taps: Sequence[float]) -> nn.Module:
    """The filter between zeros, or repetition where there are no taps."""
    return FIRUp(taps) if taps else Repeat()


class PadRightBottom(nn.Module):
    """One row and one column of zeros after the last: DDPM's strided convolutions look ahead, not back."""

    def forward(self, x: Tensor) -> Tensor:
        return pad(x, (0, 1, 0, 1))


class Downsample(nn.Module):
    """(B, inputs, H, W) to (B, outputs, H/2, W/2) by a strided 3x3 convolution after the filter; the filter alone without ``outputs``."""

    def __init__(self, taps: Sequence[float], inputs: int, outputs: int | None = None) -> None:
        super().__init__()
        self.filtered = bool(taps)
        self.conv = None if outputs is None else conv3x3(inputs, outputs, stride=2, padding=0)
        self.before = halving(taps) if self.conv is None else FIR(taps, stride=1) if taps else PadRightBottom()

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        x = self.before(x)
        return x if self.conv is None else self.conv(x)


class Upsample(nn.Module):
    """(B, inputs, H, W) to (B, outputs, 2H, 2W) by a 3x3 convolution after doubling; by doubling alone without ``outputs``."""

    def __init__(self, taps: Sequence[float], inputs: int, outputs: int | None = None) -> None:
        super().__init__()
        self.filtered = bool(taps)
        self.conv = None if outputs is None else conv3x3(inputs, outputs, padding=0 if taps else 1)
        self.before = FIRUp(taps, margin=int(outputs is not None)) if taps else Repeat()

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        x = self.before(x)
        return x if self.conv is None else self.conv(x)
