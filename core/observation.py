"""Linear observations with Gaussian noise, y = A x_0 + std z: what inpainting, colorization, deblurring and super-resolution share.

If x_0 is a Gaussian mixture, so is x_0 given y, which is what samples are held to (``Mixture.given``).
"""

from typing import Any, final

import attrs
import torch
from torch import Tensor

from .component import option
from .data import DataSpec
from .interfaces import Conditioner, Operator
from .linear_map import Linear, adjoint, conjugate_gradients, matrix
from .mixture import Mixture
from .noise import Noise
from .scalars import Scalar, add_scaled, broadcast

_ITERATIONS = 50  # of conjugate gradients on A A^T, which cost no evaluation of a network
_TOLERANCE = 1e-6
_FAR = 6.0  # standard deviations of the noise that an observation may be out of the range of A x


@final
class Observation:
    """y (B, *) = A x_0 + std z for A = ``apply``."""

    def __init__(self, apply: Linear, y: Tensor, std: float = 0.0) -> None:
        self.apply, self.y, self.std = apply, y, std

    def residual(self, x: Tensor) -> Tensor:
        """y - A x, shape of y. Raises ValueError where A makes another shape of items like x (B, *)."""
        seen = self.apply(x)
        if seen.shape != self.y.shape:
            made, given = tuple(seen.shape[1:]), tuple(self.y.shape[1:])
            raise ValueError(
                f"the operator makes observations of shape {made} of items of shape {tuple(x.shape[1:])}; y has the shape {given}"
            )
        return self.y.to(seen) - seen

    def adjoint(self, v: Tensor, like: Tensor) -> Tensor:
        """A^T v, shape of ``like``."""
        return adjoint(self.apply, v, like)

    def weighted(self, v: Tensor, like: Tensor, noise: float, spread: Scalar) -> Tensor:
        """(noise^2 I + spread^2 A A^T)^-1 v, shape of y, where items are like ``like``."""
        variance = broadcast(spread**2, v)

        def system(u: Tensor) -> Tensor:
            return noise**2 * u + variance * self.apply(self.adjoint(u, like))

        return conjugate_gradients(system, v, _ITERATIONS, _TOLERANCE)

    def pseudo_inverse(self, v: Tensor, like: Tensor) -> Tensor:
        """A^T (A A^T)^-1 v: the smallest item that A maps to v, shape of ``like``."""
        return self.adjoint(self.weighted(v, like, 0.0, 1.0), like)


@attrs.frozen(kw_only=True)
class LinearConditioner(Conditioner):
    """Conditions on a linear observation. ``condition`` takes a callable ``operator`` in place of the component's, if one is given."""

    operator: Operator = option(help="the linear map from an item to what is observed of it")
    std: float = option(0.0, at_least=0, help="standard deviation of the observation's noise, in the model's range")

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        seen = self.operator.apply(x)
        return {"y": add_scaled(seen, self.std, noise.normal_like(seen)) if self.std else seen}

    def observation(self, y: Tensor, **observed: Any) -> Observation:
        return Observation(observed.get("operator", self.operator.apply), y, self.std)

    def check(self, spec: DataSpec, y: Tensor, **observed: Tensor) -> None:
        low, high = (torch.full((1, *spec.shape), end) for end in spec.range or (0.0, 0.0))
        least, most = self.operator.apply(low), self.operator.apply(high)
        fits(y, tuple(least.shape[1:]))
        if spec.range is not None and self.operator.positive:
            margin = _FAR * self.std + _TOLERANCE * (spec.range[1] - spec.range[0])
            within(y, least - margin, most + margin)

    def shown(self, x: Tensor, y: Tensor, **observed: Tensor) -> Tensor:
        """y itself where it is as large as an item, or else the smallest item that A maps to it."""
        return y if y.shape == x.shape else self.observation(y).pseudo_inverse(y.to(x), x)

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture | None:
        return law.given(matrix(self.operator.apply, shape), y.flatten(), self.std)


def fits(y: Tensor, shape: tuple[int, ...]) -> None:
    """Raises ValueError where observations (N, *) are not of this shape, or not finite numbers."""
    if tuple(y.shape[1:]) != shape:
        raise ValueError(f"y has the shape {tuple(y.shape[1:])}, expected {shape}")
    if not y.is_floating_point() or not bool(y.isfinite().all()):
        raise ValueError(f"y must be finite numbers: it is {y.dtype}{'' if y.is_floating_point() else ', not float32'}")


def within(y: Tensor, low: Tensor, high: Tensor, known: Tensor | None = None) -> None:
    """Raises ValueError for the first entry of y (N, *), of those that are ``known``, that is not between low and high (1, *)."""
    outside = ~((y >= low) & (y <= high)) & (torch.ones_like(y, dtype=torch.bool) if known is None else known)
    if bool(outside.any()):
        place = tuple(outside.nonzero()[0].tolist())
        least, most = (float(bound.expand_as(y)[place]) for bound in (low, high))
        words = f"observation {place[0]} holds {y[place].item():.6g} at {place[1:]}"
        raise ValueError(f"{words}; the data's range allows {least:.6g} to {most:.6g}")
