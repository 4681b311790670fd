"""A few states of the first samples of a run, on their way from noise to data, evenly spaced in its steps."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from .interfaces import Interval

STATES, SAMPLES = 9, 8


@final
class Film:
    """Keeps states as they come, where they are to be ``shown``: called with the number of steps that are done and the state x (B, *)."""

    def __init__(self, intervals: Sequence[Interval], *, shown: bool = True) -> None:
        last, self.shown = len(intervals), shown
        self._times = [intervals[0].t, *(max(interval.s, 0.0) for interval in intervals)]
        self._wanted = {round(last * number / (STATES - 1)) for number in range(STATES)}
        self._kept: list[tuple[float, Tensor]] = []

    def __call__(self, number: int, x: Tensor) -> None:
        if self.shown and number in self._wanted:
            self._kept.append((self._times[number], x[:SAMPLES].cpu()))

    def tensors(self, count: int) -> dict[str, Tensor]:
        """The ``states`` (states, samples, *) of at most ``count`` samples, and their ``times`` (states,); nothing where none are shown."""
        if not self.shown:
            return {}
        states = torch.stack([x[:count] for _, x in self._kept])
        return {"states": states.float(), "times": torch.tensor([time for time, _ in self._kept], dtype=torch.float64)}
