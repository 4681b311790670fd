"""Conditions on the class of an item (Song et al., 2021, eq. 14 and App. I.1).

Classes are labels y, int64, counted from 0; -1 says that an item has none. The score given a class is

    grad log p_t(x | y) = grad log p_t(x) + grad log p(y | x_t),

from a classifier p(y | x_t) of noisy items, or from a network of the score that is told the label.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self, TypeAlias

import attrs
import torch
from torch import Tensor

from .component import option
from .data import DataSpec
from .interfaces import Condition, Conditioner
from .mixture import Mixture
from .noise import Noise
from .scalars import Scalar
from .sde import SDE

Logits: TypeAlias = Callable[[Tensor, Scalar], Tensor]  # (x (B, *), t) -> logits (B, K) of the classes given x_t


@attrs.frozen(kw_only=True)
class ClassConditioner(Conditioner):
    """Makes conditions on classes, y (B,) int64, which change the score alone."""

    projects: ClassVar[bool] = False
    silenced_by: ClassVar[str | None] = "scale"
    reads_classifier: ClassVar[bool]  # whether ``condition`` takes a classifier; else the score's network is told the label

    scale: float = option(1.0, at_least=0, help="strength: 0 for none, 1 for the score given the class, more for more typical samples")
    classes: tuple[int, ...] = option((), at_least=0, help="the classes that are wanted, in turn; without any, all of the data's")

    @abstractmethod
    def condition(self, sde: SDE, y: Tensor, noise: Noise, *, classifier: Logits | None = None, **observed: Tensor) -> Condition:
        """The condition for the classes y (B,). Raises ValueError, in one line, where y are none, or the classifier is missing."""

    def for_data(self, spec: DataSpec) -> Self:
        count = classes_of(spec)
        outside = [label for label in self.classes if label >= count]
        if outside:
            raise ValueError(f"classes = {list(self.classes)}: there is no class {outside[0]}, the data have 0 to {count - 1}")
        return attrs.evolve(self, classes=self.classes or tuple(range(count)))

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        if not self.classes:
            raise ValueError("which classes is not said: name them, or take for_data(spec)")
        return {"y": torch.tensor([self.classes[place % len(self.classes)] for place in range(len(x))])}

    def check(self, spec: DataSpec, y: Tensor, **observed: Tensor) -> None:
        count = classes_of(spec)
        if len(y) and int(labels(y).max()) >= count:
            raise ValueError(f"y holds the class {int(labels(y).max())}, and the data have 0 to {count - 1}")

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture | None:
        """For classes that are the components of the mixture."""
        return law.component(int(y)) if self.scale == 1 else None


def classes_of(spec: DataSpec) -> int:
    """K. Raises ValueError, in one line, for data without classes."""
    if spec.classes is None:
        raise ValueError("the data have no classes")
    return spec.classes


def labels(y: Tensor) -> Tensor:
    """y, which has to be one class for each sample. Raises ValueError where it is not."""
    whole = y.long() if y.ndim == 1 and not y.is_floating_point() and not y.is_complex() else None
    if whole is None or bool((whole < 0).any()):
        least = "" if whole is None else f", with {int(whole.min())} among them"
        raise ValueError(f"y must be a class for each sample, whole numbers (B,) from 0: got {y.dtype} {tuple(y.shape)}{least}")
    return whole
