"""The SDE run backwards (Song et al., 2021, eq. 6) and the probability-flow ODE with the same marginals (eq. 13)."""

from typing import final

from torch import Tensor

from .scalars import Scalar, add_scaled, double
from .score import Score
from .sde import SDE


@final
class Reverse:
    """An SDE with the score of its marginals: all that a sampler or a likelihood needs."""

    def __init__(self, sde: SDE, score: Score) -> None:
        self.sde, self.score = sde, score

    def drift(self, x: Tensor, t: Scalar) -> Tensor:
        """f(x, t) - g(t)^2 score(x, t), shape of x (eq. 6)."""
        return self._drift(x, t, 1.0)

    def ode_drift(self, x: Tensor, t: Scalar) -> Tensor:
        """f(x, t) - g(t)^2 score(x, t) / 2, shape of x (eq. 13)."""
        return self._drift(x, t, 0.5)

    def _drift(self, x: Tensor, t: Scalar, share: float) -> Tensor:
        return add_scaled(self.sde.drift(x, t), -share * self.sde.diffusion(double(t)) ** 2, self.score(x, t))
