"""What networks learn: the loss of each item of a batch.

A score learns by an objective. A classifier of noisy items learns the classes of x_t at times t uniform in [t_min, T], by the cross-entropy
(Song et al., 2021, App. I.1)

    -log p(y | x_t),        p(y | x_t) = softmax(logits(x_t, t))_y.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .batches import Batch
from .interfaces import Objective
from .noise import Noise
from .noise_conditional import NoiseConditional
from .scalars import add_scaled
from .score import Score


class Loss(ABC):
    """(network, batch, noise) -> the loss of each item, (B,), at least float32; ``batch`` holds x (B, *) and what stands beside it."""

    words: str  # which loss it is, in a message

    @abstractmethod
    def __call__(self, network: nn.Module, batch: Batch, noise: Noise) -> Tensor: ...


@final
class ScoreLoss(Loss):
    """An objective's, of the score that ``score_of`` makes of the network; what stands beside x are inputs of the network."""

    def __init__(self, objective: Objective, score_of: Callable[[nn.Module], Score]) -> None:
        self.objective, self.score_of, self.words = objective, score_of, f"objective {objective.name!r}"

    def __call__(self, network: nn.Module, batch: Batch, noise: Noise) -> Tensor:
        return score_loss(self.objective, self.score_of(network), batch, noise)


@final
class CrossEntropy(Loss):
    """The cross-entropy of the items' ``label``, of the logits that ``logits_of`` makes of the network."""

    words = "the classifier"

    def __init__(self, logits_of: Callable[[nn.Module], NoiseConditional]) -> None:
        self.logits_of = logits_of

    def __call__(self, network: nn.Module, batch: Batch, noise: Noise) -> Tensor:
        logits, x0 = self.logits_of(network), batch["x"]
        sde = logits.sde
        t = sde.t_min + (sde.t_max - sde.t_min) * noise.uniform((len(x0),), dtype=torch.float64, device=x0.device)
        mean, std = sde.marginal(x0, t)
        return cross_entropy(logits(add_scaled(mean, std, noise.normal_like(x0)), t).float(), batch["label"], reduction="none")


def score_loss(objective: Objective, score: Score, batch: Batch, noise: Noise) -> Tensor:
    """An objective's loss of each item."""
    inputs = {key: value for key, value in batch.items() if key != "x"}
    return objective.loss(score.given(**inputs), batch["x"], noise)
