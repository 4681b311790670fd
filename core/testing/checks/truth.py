"""The true score of a mixture at every time, as a network that predicts any of its forms, and made wrong on purpose."""

from typing import Literal, NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from ...interfaces import Objective
from ...mixture import Mixture
from ...scalars import Scalar, broadcast, double
from ...score import Prediction, Score
from ...sde import SDE, LinearSDE
from ..statistics import BatchNoise
from .component import state

Direction: TypeAlias = Literal["score", "noise"]


class Wrong(NamedTuple):
    """An error of the score within a window of times, in shares of t_max: ``size`` times the score itself, or times 1 / sigma."""

    direction: Direction
    window: tuple[float, float]
    size: float = 0.0


@final
class Truth:
    """The law of data under an SDE; ``levels`` says whether the kernels are those of the SDE's ladder, at the times of its levels."""

    def __init__(self, sde: LinearSDE, law: Mixture, levels: bool = False) -> None:
        self.sde, self.law, self.ladder = sde, law, sde.ladder() if levels else None

    @property
    def words(self) -> str:
        return f"{self.sde.name}, {self.law.dimension} entries"

    def score(self, predicts: Prediction = "score", factor: float | Tensor = 1.0, wrong: Wrong | None = None) -> Score:
        """``factor`` times the true score, as a network that predicts this; in x's dtype."""

        def network(x: Tensor, c: Scalar) -> Tensor:
            t = double(c) if self.ladder is None else self.ladder.time(c)
            kernel = (self.sde.alpha(t), self.sde.sigma(t)) if self.ladder is None else self.ladder.kernel(t)
            exact = self.law.score(x.flatten(1), *kernel).reshape(x.shape)
            alpha, sigma = (broadcast(value, x) for value in kernel)
            value = factor * exact
            if wrong is not None:
                first, last = (share * self.sde.t_max for share in wrong.window)
                inside = broadcast(((torch.as_tensor(t) >= first) & (torch.as_tensor(t) < last)).double(), x)
                value = value + wrong.size * inside * (exact if wrong.direction == "score" else 1 / sigma)
            return converted(predicts, value, x, alpha, sigma)

        return Score(self.sde, network, predicts, time=None if self.ladder is None else "level")


def draws_levels(objective: Objective, sde: SDE) -> bool:
    """Whether all the times of a loss are those of the levels of the SDE's ladder."""
    seen: list[Tensor] = []

    def network(x: Tensor, t: Scalar) -> Tensor:
        seen.append(torch.as_tensor(t, dtype=torch.float64).reshape(-1))
        return -x

    objective.loss(Score(sde, network, time=None), state((2,), torch.float64), BatchNoise())
    assert seen, "the loss does not look at the score at all"
    ladder, times = sde.ladder(), torch.cat(seen)
    levels = torch.as_tensor(ladder.time(torch.as_tensor(ladder.label(times)).round()))
    return bool(((levels - times).abs() < 1e-9).all())


def converted(predicts: Prediction, score: Tensor, x: Tensor, alpha: Scalar, sigma: Scalar) -> Tensor:
    """What a network with this prediction gives: from E[z | x] = -sigma score and alpha E[x_0 | x] + sigma E[z | x] = x."""
    if predicts == "score":
        return score
    noise = -sigma * score
    if predicts == "noise":
        return noise
    denoised = (x - sigma * noise) / alpha
    if predicts == "denoised":
        return denoised
    return (alpha * noise - sigma * denoised) / (alpha**2 + sigma**2) ** 0.5
