"""Guidance by a classifier of noisy items (Song et al., 2021, eq. 14 and App. I.1; Dhariwal & Nichol, 2021, for the scale).

The score of x_t is moved by the gradient of the logarithm of what the classifier gives the wanted class,

    score(x, t) + scale grad_x log p(y | x, t),        p(y | x, t) = softmax(logits(x, t) / temperature)_y.

With the exact classifier p(y | x_t), at scale 1 and temperature 1, this is the score of x_t given y, and so is all that is drawn. Above
scale 1 samples are more typical of their class and less various: p(y | x_t)^scale is no classifier's posterior any more.
"""

from typing import ClassVar, final

import attrs
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from scoresde.core import SDE, ClassConditioner, Condition, Logits, Mixture, Noise, Scalar, Score, option
from scoresde.core.classes import labels


@final
@attrs.frozen(kw_only=True)
class ClassGuidance(ClassConditioner):
    """Samples of wanted classes, by the gradient of a classifier of noisy items (Song et al., 2021, App. I.1)."""

    name = "class_guidance"
    reads_classifier: ClassVar[bool] = True

    temperature: float = option(1.0, above=0, help="what the logits are divided by: below 1 the classifier is surer, above 1 less sure")

    def condition(self, sde: SDE, y: Tensor, noise: Noise, *, classifier: Logits | None = None, **observed: Tensor) -> Condition:
        if classifier is None:
            raise ValueError("class_guidance needs a classifier: a callable of (x, t) that gives logits (B, K)")
        return Guided(labels(y), classifier, self)

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture | None:
        return law.component(int(y)) if self.scale == self.temperature == 1 else None


@final
class Guided(Condition):
    """Classes y (B,) that a classifier is to find."""

    def __init__(self, y: Tensor, classifier: Logits, options: ClassGuidance) -> None:
        self.y, self.classifier, self.options = y, classifier, options
        self._highest = int(y.max()) if len(y) else 0

    def guide(self, score: Score) -> Score:
        if self.options.scale == 0:
            return score

        def guided(x: Tensor, t: Scalar) -> Tensor:
            return score(x, t) + self.options.scale * self.gradient(x, t)

        return Score(score.sde, guided, time=None)

    def gradient(self, x: Tensor, t: Scalar) -> Tensor:
        """grad_x log p(y | x, t), shape of x."""
        keeps = torch.is_grad_enabled() and x.requires_grad  # a likelihood differentiates once more
        with torch.enable_grad():
            x = x if keeps else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.log_prob(x, t).sum(), x, create_graph=keeps)
        return gradient

    def log_prob(self, x: Tensor, t: Scalar) -> Tensor:
        """log p(y | x, t), (B,). Raises ValueError where the logits are not those of the samples and their classes."""
        logits = self.classifier(x, t)
        if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] <= self._highest:
            fits = f"({len(x)}, K) with K > {self._highest}"
            raise ValueError(
                f"class_guidance: the classifier gives logits {tuple(logits.shape)}, expected {fits}, the highest class wanted"
            )
        return log_softmax(logits / self.options.temperature, 1).gather(1, self.y.to(x.device)[:, None])[:, 0]
