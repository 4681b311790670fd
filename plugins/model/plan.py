"""What the U-shaped networks are made from: their options, the data they fit, and the noise their output is divided by."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import attrs
import torch
from torch import Tensor, nn

from scoresde.core import SDE, DataSpec, TimeCoordinate

from .blocks import ResidualBlock, Style
from .resampling import Downsample, Upsample, doubling, halving

InputPyramid: TypeAlias = Literal["none", "input_skip", "residual"]
OutputPyramid: TypeAlias = Literal["none", "output_skip", "residual"]


@attrs.frozen(kw_only=True)
class Plan:
    """The options of a U-Net; ``attention`` lists heights, ``taps`` are the FIR filter's, empty for means and repetition."""

    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    style: Style
    taps: tuple[float, ...] = ()
    resample_with_conv: bool = True
    progressive: OutputPyramid = "none"
    progressive_input: InputPyramid = "none"
    progressive_combine: Literal["sum", "cat"] = "sum"
    conditional: bool = True

    @property
    def embedding(self) -> int:
        return 4 * self.channels

    def block(self, inputs: int, outputs: int, *, attention: bool = False, resample: nn.Module | None = None) -> ResidualBlock:
        return ResidualBlock(inputs, outputs, self.embedding, self.style, attention=attention, resample=resample)

    def shrink(self, width: int) -> nn.Module:
        """A block (B, width, H, W) to half the sides."""
        if self.style.kind == "biggan":
            return self.block(width, width, resample=halving(self.taps))
        return Downsample(self.taps, width, width if self.resample_with_conv else None)

    def enlarge(self, width: int) -> nn.Module:
        if self.style.kind == "biggan":
            return self.block(width, width, resample=doubling(self.taps))
        return Upsample(self.taps, width, width if self.resample_with_conv else None)


def check_multipliers(multipliers: Sequence[int]) -> None:
    """Raises ValueError where they name no resolution."""
    if not multipliers:
        raise ValueError("multipliers = () names no resolution: give at least one number")


def check_pictures(name: str, spec: DataSpec, resolutions: int) -> None:
    """Raises ValueError where the data's sides cannot be halved evenly to the last of the resolutions."""
    factor = 2 ** (resolutions - 1)
    if len(spec.shape) != 3 or any(side % factor for side in spec.shape[1:]):
        raise ValueError(
            f"{name} with {resolutions} resolutions needs items of shape (C, H, W) with H and W multiples of {factor};"
            f" the data have {spec.shape}"
        )


def centring(spec: DataSpec) -> tuple[float, float] | None:
    """(scale, shift) that maps the data's range to [-1, 1], the pictures that the networks read; None where nothing changes."""
    if spec.range is None or spec.range == (-1.0, 1.0):
        return None
    low, high = spec.range
    return 2 / (high - low), -(low + high) / (high - low)


def noise_scale(sde: SDE, time: TimeCoordinate) -> Callable[[Tensor], Tensor]:
    """sigma as a function of the coordinate; a level's label is rounded down. Raises ValueError where it is not to be had."""
    if time == "sigma":
        return _same
    if time == "log_sigma":
        return torch.exp
    if time == "level":
        return LevelSigma(sde)
    raise ValueError(f"scale_by_sigma needs time_coordinate sigma, log_sigma or level, not {time}")


def _same(value: Tensor) -> Tensor:
    return value


@attrs.frozen
class LevelSigma:
    """sigma of the level whose label is trunc(c), for the labels c of the SDE's ladder."""

    sde: SDE

    def __call__(self, label: Tensor) -> Tensor:
        ladder = self.sde.ladder()
        return ladder.kernel(ladder.time(label.trunc()))[1]  # type: ignore[return-value]
