"""Diffusion posterior sampling, DPS (Chung, Kim, McCann, Klasky & Ye, 2023, "Diffusion Posterior Sampling for General Noisy Inverse
Problems", Algorithms 1 and 2).

After each step from x_t the state is moved towards agreement of the denoised mean D(x_t) with the observation,

    x_s <- x_s - step grad_{x_t} |y - A D(x_t)|.

The size of the move is a setting and no consequence of Bayes' rule: what is drawn depends on it and on the number of steps, and is not the
posterior. ``pgdm`` and ``mmps`` weigh by the covariance of x_0 given x_t instead.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import SDE, Condition, Denoised, LinearConditioner, LinearSDE, Noise, Observation, Reverse, Score, Step, option

_BIAS = "the size of its moves is a setting: Bayes' rule is not kept"


@final
@attrs.frozen(kw_only=True)
class DPS(LinearConditioner):
    """Diffusion posterior sampling (Chung et al., 2023)."""

    name = "dps"
    needs: ClassVar[type[Any]] = LinearSDE
    projects: ClassVar[bool] = True
    silenced_by: ClassVar[str | None] = "step"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "gaussian": _BIAS,
        "mixture": _BIAS,
        "projection": "it moves down a gradient, every time: it maps to no set whose points it would keep",
    }

    step: float = option(1.0, at_least=0, help="the move's size; the paper takes 0.3 to 1 for pictures and 1,000 steps")

    @property
    def reads_s(self) -> bool:
        return False

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        return Moved(self.observation(y, **observed), self.step) if self.step else Condition()


@final
class Differentiated:
    """A score that keeps its last evaluation with its derivative, which a solver's step and the move share."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self._last: tuple[Tensor, float, Denoised] | None = None

    def __call__(self, x: Tensor, t: float) -> Tensor:
        return self.at(x, t).score

    def at(self, x: Tensor, t: float) -> Denoised:
        if self._last is None or self._last[0] is not x or self._last[1] != t:
            self._last = x, t, Denoised(self.score, x, t)
        return self._last[2]


@final
class Moved(Condition):
    """Moves the state down the gradient of |y - A D|, after each step that goes down in time."""

    def __init__(self, observation: Observation, step: float) -> None:
        self.observation, self.step = observation, step
        self._score: Differentiated | None = None

    def guide(self, score: Score) -> Score:
        self._score = Differentiated(score)
        return Score(score.sde, self._score, time=None)

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        if s == t:
            return after, memory
        assert self._score is not None
        at = self._score.at(before.x, t)
        residual = self.observation.residual(at.mean)
        size = residual.flatten(1).norm(dim=1).clamp_min(1e-12).reshape(-1, *(1,) * (residual.ndim - 1))
        move = self.step * at.pull(self.observation.adjoint(residual / size, at.mean))
        return Step(after.x + move, after.mean + move, after.std, after.state), memory
