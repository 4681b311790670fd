"""Linear observations with Gaussian noise, y = A x_0 + std z: what inpainting, colorization, deblurring and super-resolution share.

If x_0 is a Gaussian mixture, so is x_0 given y, which is what samples are held to (``Mixture.given``).
"""

from typing import Any, final

import attrs
from torch import Tensor

from .component import option
from .interfaces import Conditioner, Operator
from .linear_map import Linear, adjoint, conjugate_gradients, matrix
from .mixture import Mixture
from .noise import Noise
from .scalars import add_scaled

_ITERATIONS = 50  # of conjugate gradients on A A^T, which cost no evaluation of a network
_TOLERANCE = 1e-6


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

    def weighted(self, v: Tensor, like: Tensor, noise: float, spread: float) -> Tensor:
        """(noise^2 I + spread^2 A A^T)^-1 v, shape of y, where items are like ``like``."""

        def system(u: Tensor) -> Tensor:
            return noise**2 * u + spread**2 * self.apply(self.adjoint(u, like))

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

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture | None:
        return law.given(matrix(self.operator.apply, shape), y.flatten(), self.std)
