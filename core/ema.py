"""The exponential moving average of a network's parameters, as the papers use it for sampling (Song et al., 2021, App. H).

After the n-th update, n = 1, 2, ..., average <- d average + (1 - d) parameters, with d = min(rate, (1 + n) / (10 + n)), which soon
forgets the first weights, or d = rate without a ramp. Buffers are copied.
"""

import copy
from typing import final

import torch
from torch import Tensor, nn


@final
class EMA:
    """The average of ``network``'s parameters; ``network`` of this object is a copy that holds them, in evaluation mode."""

    def __init__(self, network: nn.Module, rate: float, *, ramp: bool = True) -> None:
        self.rate, self.ramp, self.updates = rate, ramp, 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes in the parameters after an optimiser step."""
        self.updates += 1
        decay = min(self.rate, (1 + self.updates) / (10 + self.updates)) if self.ramp else self.rate
        averaged: list[Tensor] = list(self.network.parameters())
        current: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)

    def result(self, network: nn.Module) -> nn.Module:
        """The copy with the averages, to be trained on where ``network`` is."""
        for average, parameter in zip(self.network.parameters(), network.parameters(), strict=True):
            average.requires_grad_(parameter.requires_grad)
        return self.network
