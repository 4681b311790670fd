"""Replacement (Song et al., 2021, eq. 14 and App. I): the part of the state that is observed is put there as it is at time t.

If P projects items on what is observed of them and y is the observation as an item, then after each step

    x <- x + P (k - x),        k ~ p(x_t | x_0 = y) = N(alpha y, sigma^2 I),

so that the score sees the unknown part beside a known one of the same noise level. What is drawn is not exactly the posterior: k is noised
without regard to the unknown part.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, final

from torch import Tensor

from scoresde.core import SDE, Condition, Noise, Reverse, Step

BIAS = "what replacement draws is not exactly the posterior: the known part is noised without regard to the rest"

Fill: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (x, k) -> x + P (k - x)


class Known(NamedTuple):
    """The known part as it is at time t: its mean, and a draw."""

    t: float
    mean: Tensor
    x: Tensor


@final
class Replacement(Condition):
    """The known part y of x_0; the memory is the last draw of it, where that is to be kept.

    ``noise_at`` "s" draws it at the time the step has reached. "t" is the published way: at the time the step started, with the known part
    unnoised at the start, and the denoised value of the unknown part taken from the noisy state. ``redraw`` "time" keeps one draw for all
    steps that end at the same time, as annealed Langevin dynamics inpaints (Song & Ermon, 2019, Algorithm 2). ``published_start`` is the
    first state of "t" from a draw of the prior, where it is another than the draw with the known part filled in.
    """

    def __init__(
        self,
        sde: SDE,
        y: Tensor,
        fill: Fill,
        noise_at: Literal["s", "t"] = "s",
        redraw: Literal["step", "time"] = "step",
        published_start: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.sde, self.y, self.fill, self.noise_at, self.redraw = sde, y, fill, noise_at, redraw
        self.published_start = published_start or (lambda x: fill(x, y))

    def _known(self, t: float, memory: Known | None, noise: Noise) -> Known:
        if self.redraw == "time" and memory is not None and memory.t == t:
            return memory
        mean, std = self.sde.marginal(self.y, t)
        return Known(t, mean, Step.draw(mean, std, noise).x)

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        if self.noise_at == "t":
            return self.published_start(x), None
        known = self._known(t, None, noise)
        return self.fill(x, known.x), known

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        known = self._known(s if self.noise_at == "s" else t, memory, noise)
        x = self.fill(after.x, known.x)
        unknown = after.mean if self.noise_at == "s" else x
        return Step(x, self.fill(unknown, known.mean), None, after.state), known


@final
class Lifted(Condition):
    """A replacement that can be made once the items' shape is known: ``make`` is called with the first state (B, *) of a shape."""

    def __init__(self, make: Callable[[Tensor], Replacement]) -> None:
        self.make = make
        self._made: tuple[Any, Replacement] | None = None

    def _replacement(self, x: Tensor) -> Replacement:
        key = (x.shape, x.dtype, x.device)
        if self._made is None or self._made[0] != key:
            self._made = (key, self.make(x))
        return self._made[1]

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        return self._replacement(x).start(x, t, noise)

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        return self._replacement(after.x).project(before, after, t, s, memory, reverse, noise)
