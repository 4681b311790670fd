"""The names that the published U-Nets give to the tensors of ours.

The published network keeps its modules in one list, ``all_modules``, in the order in which ours stand; residual blocks, attentions and
layers take a number each. Their 1x1 convolutions are partly matrices ``NIN_i.W`` of shape (in, out), and an attention's keys, queries and
values are three of them. The table ``sigmas``, a buffer of all published networks, is no tensor of ours.
"""

from collections.abc import Iterator

from torch import nn

from .blocks import Attention, Combine, ResidualBlock
from .embedding import FourierFeatures
from .resampling import Downsample, Upsample

_LEAVES = (nn.Linear, nn.Conv2d, nn.GroupNorm)


def published_names(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """For each parameter of a U-Net, the published tensors that are it: one, or several that follow each other along its first axis."""
    places = {module: name for name, module in network.named_modules()}
    names: dict[str, tuple[str, ...]] = {}
    for number, unit in enumerate(_units(network)):
        for ours, theirs in _parts(unit).items():
            module = unit.get_submodule(ours)
            for kind in [name for name, _ in module.named_parameters(recurse=False)]:
                own = ".".join(filter(None, (places[unit], ours, kind)))
                names[own] = tuple(f"all_modules.{number}.{_joined(part, kind)}" for part in theirs)
    return names


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that have a number, in their order."""
    if _parts(module) or isinstance(module, (Downsample, Upsample)):
        yield module
        if isinstance(module, ResidualBlock) and module.attention is not None:
            yield module.attention
        return
    for child in module.children():
        yield from _units(child)


def _parts(unit: nn.Module) -> dict[str, tuple[str, ...]]:
    """For each part of a numbered module that has parameters, its published names."""
    if isinstance(unit, ResidualBlock):
        skip = "NIN_0" if unit.style.kind == "ddpm" else "Conv_2"
        names = {"norm_in": "GroupNorm_0", "conv_in": "Conv_0", "time": "Dense_0", "norm_out": "GroupNorm_1", "conv_out": "Conv_1"}
        return {ours: (theirs,) for ours, theirs in (names | ({"skip": skip} if unit.skip is not None else {})).items()}
    if isinstance(unit, Attention):
        return {"norm": ("GroupNorm_0",), "qkv": ("NIN_0", "NIN_1", "NIN_2"), "out": ("NIN_3",)}
    if isinstance(unit, Combine):
        return {"conv": ("Conv_0",)}
    if isinstance(unit, (Downsample, Upsample)):
        return {} if unit.conv is None else {"conv": ("Conv2d_0" if unit.filtered else "Conv_0",)}
    return {"": ("",)} if isinstance(unit, (*_LEAVES, FourierFeatures)) else {}


def _joined(part: str, kind: str) -> str:
    """A published parameter's name: matrices have W and b, Fourier features W alone."""
    letters = {"weight": "W", "bias": "b"} if part.startswith("NIN") else {"frequencies": "W"}
    return ".".join(filter(None, (part, letters.get(kind, kind))))
