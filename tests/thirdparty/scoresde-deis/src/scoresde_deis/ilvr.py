"""Iterative latent variable refinement (Choi et al., 2021, "ILVR: Conditioning Method for Denoising Diffusion Probabilistic Models", ICCV,
arXiv:2108.02938): samples whose coarse content is that of a reference.

With a linear low-pass filter phi, here the average over blocks of ``factor`` entries along each spatial axis, a step's proposal x' becomes

    x = x' - phi(x') + phi(y_s),    y_s ~ p(x_s | x_0 = y)

(their Algorithm 1). phi is a projection and commutes with the kernel's mean, so phi(y_s) is a draw of N(alpha(s) d, sigma(s)^2 / m) of the
downsampled reference d, blown up again, where m is the number of entries of a block: d is all that has to be observed. The method is an
approximation: what it draws is not exactly p(x_0 | d), except where the two parts of x_0 are independent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, Condition, Conditioner, LinearSDE, Mixture, Noise, Reverse, Step, option

_BIAS = "what the refinement draws is not exactly the posterior: the reference is noised without regard to what is finer"


@final
@attrs.frozen(kw_only=True)
class ILVR(Conditioner):
    """Samples with the block averages of a reference (Choi et al., 2021, Algorithm 1)."""

    name = "ilvr"
    needs: ClassVar[type[Any]] = LinearSDE
    projects: ClassVar[bool] = True
    expected_failures: ClassVar[Mapping[str, str]] = {"gaussian": _BIAS, "mixture": _BIAS}

    factor: int = option(2, at_least=1, help="the paper's N: entries of a block along each spatial axis; it divides the axes")
    axes: int | None = option(
        None, at_least=1, help="how many of the last axes are spatial; left out: all but the first (channels), a vector's one"
    )
    until: float = option(0.0, at_least=0, below=1, help="the last time that is refined; after it the sample goes on freely")

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """Raises ValueError where blocks do not fit the items."""
        axes = self.spatial(x)
        if any(size % self.factor for size in x.shape[-axes:]):
            raise ValueError(
                f"ilvr: blocks of factor = {self.factor} do not fit the last {axes} axes of items of shape {tuple(x.shape[1:])}"
            )
        return {"y": averaged(x, self.factor, axes)}

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Tensor) -> Condition:
        """Samples whose block averages are y (B, *), each of its spatial axes ``factor`` times shorter than the sample's."""
        assert isinstance(sde, LinearSDE)
        return CoarsePart(sde, y, self)

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture:
        axes = self.spatial(y)
        units = torch.eye(law.dimension, dtype=torch.float64).reshape(-1, *repeated(y, self.factor, axes).shape[1:])
        return law.given(averaged(units, self.factor, axes).flatten(1).T, y.flatten())

    def spatial(self, x: Tensor) -> int:
        """How many of the last axes of x (B, *) are spatial. Raises ValueError where it has not as many as ``axes``."""
        rank = x.ndim - 1
        if self.axes is not None and self.axes > rank:
            raise ValueError(f"ilvr: axes = {self.axes} is more than items of shape {tuple(x.shape[1:])} have")
        return self.axes or max(1, rank - 1)


def averaged(x: Tensor, factor: int, axes: int) -> Tensor:
    """The means over blocks of ``factor`` entries along each of the last axes."""
    for axis in range(-axes, 0):
        x = torch.unflatten(x, axis, (-1, factor)).mean(axis)
    return x


def repeated(y: Tensor, factor: int, axes: int) -> Tensor:
    """Each entry ``factor`` times along each of the last axes."""
    for axis in range(-axes, 0):
        y = y.repeat_interleave(factor, axis)
    return y


@final
class CoarsePart(Condition):
    """The block averages y of x_0."""

    def __init__(self, sde: LinearSDE, y: Tensor, options: ILVR) -> None:
        self.sde, self.y = sde, y
        self.factor, self.axes, self.until = options.factor, options.spatial(y), options.until

    def refined(self, x: Tensor, coarse: Tensor) -> Tensor:
        """x with these block averages."""
        return x + repeated(coarse - averaged(x, self.factor, self.axes), self.factor, self.axes)

    def coarse(self, t: float, noise: Noise) -> tuple[Tensor, Tensor]:
        """Of the reference at time t, the mean of the block averages and a draw of them."""
        mean, std = self.sde.marginal(self.y, t)
        return mean, Step.draw(mean, std / self.factor ** (self.axes / 2), noise).x

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        expected = tuple(repeated(self.y, self.factor, self.axes).shape)
        if x.shape != expected:
            raise ValueError(
                f"ilvr: block averages of shape {tuple(self.y.shape)} are those of {expected}, not of samples {tuple(x.shape)}"
            )
        return self.refined(x, self.coarse(t, noise)[1]), None

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        if s < self.until:
            return after, memory
        mean, draw = self.coarse(s, noise)
        return Step(self.refined(after.x, draw), self.refined(after.mean, mean), None, after.state), memory
