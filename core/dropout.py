"""Dropout whose draws belong to the sample and the step, so that a batch may be shared by processes or cut into parts.

Entry j of a sample with the key k is dropped in layer l of a network where a counter-based generator (Steele et al., 2014, SplitMix64) at
k + l C + j // 4 has, in its 16 bits number j mod 4, a number below the share, which is thus taken to the nearest 1 / 65536. Without keys,
and in layers of other kinds, draws come from torch's global generator.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from .noise import stream_seed

_GOLDEN, _LAYER = -0x61C8864680B583EB, 0x1E35A7BD27220A95  # odd numbers as int64
_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


@final
class Dropout(nn.Module):
    """Sets a share of the activations to 0 in training and divides the others by what is left."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.offset = share, 0
        self.keys: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        if self.keys is not None and len(self.keys) == len(x):
            return x * _kept(x, self.share, _bits(self.keys + self.offset, x[0].numel()))
        if x.device.type != "cpu":
            return dropout(x, self.share)
        words = torch.randint(-(2**63), 2**63 - 1, ((x.numel() + 3) // 4,))  # CPUs draw slowly: one draw serves four entries
        return x * _kept(x, self.share, words.view(torch.int16)[: x.numel()])


def dropout_layers(network: nn.Module) -> list[Dropout]:
    """The layers of a network that drop anything, told their numbers."""
    layers = [module for module in network.modules() if isinstance(module, Dropout) and module.share > 0]
    for number, layer in enumerate(layers):
        layer.offset = (number * _LAYER + 2**63) % 2**64 - 2**63
    return layers


def key_dropout(layers: Sequence[Dropout], seed: int, places: Sequence[int], device: torch.device | str) -> None:
    """What these layers draw next is for the samples with these places in a run with this seed."""
    if layers:
        seeds = torch.tensor([stream_seed(seed, place, "dropout") for place in places])
        keys = _mixed(seeds * _GOLDEN).to(device)
        for layer in layers:
            layer.keys = keys


def _bits(keys: Tensor, count: int) -> Tensor:
    """16 random bits for each of ``count`` entries of the samples with these keys (B,): (B count,) int16."""
    counters = torch.arange((count + 3) // 4, device=keys.device) * _GOLDEN
    words = _mixed(keys[:, None] + counters)
    return words.view(torch.int16)[:, :count].reshape(-1)


def _mixed(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection of the 64-bit numbers; in place."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        z ^= (z >> shift) & ((1 << (64 - shift)) - 1)
        z *= factor
    z ^= (z >> 31) & ((1 << 33) - 1)
    return z


def _kept(x: Tensor, share: float, bits: Tensor) -> Tensor:
    """0 or 1 / (1 - share) by 16 random bits each, like x: in the order of its memory, which is channels last where x has four axes
    and is not contiguous."""
    dropped = round(share * 65536)
    kept = (bits >= dropped - 32768).to(x.dtype).mul_(65536 / (65536 - dropped))
    if x.is_contiguous():
        return kept.view(x.shape)
    batch, channels, *sides = x.shape
    return kept.view(batch, *sides, channels).permute(0, 3, 1, 2)
