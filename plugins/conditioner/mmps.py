"""Moment-matching posterior sampling, MMPS (Rozet, Andry, Lanusse & Louppe, 2024, "Learning Diffusion Priors from Observations by
Expectation Maximization", sec. 4.2).

With the denoised mean D(x_t), its derivative J and the covariance V = (sigma^2 / alpha) J of x_0 given x_t (exact, by Tweedie's formula),
the approximation x_0 | x_t ~ N(D, V) gives the guided score

    score(x_t) + J^T A^T (std^2 I + A V A^T)^-1 (y - A D),

whose system is solved by conjugate gradients with a backward pass through the network for each of ``iterations`` and one more at the
end. With enough of them it is exact for all Gaussian data; for others x_0 | x_t is no Gaussian, and it is biased.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import attrs
from torch import Tensor

from scoresde.core import SDE, Condition, Denoised, LinearConditioner, LinearSDE, Noise, broadcast, conjugate_gradients, option

from .guided import Guided


@final
@attrs.frozen(kw_only=True)
class MMPS(LinearConditioner):
    """Moment-matching posterior sampling (Rozet et al., 2024)."""

    name = "mmps"
    needs: ClassVar[type[Any]] = LinearSDE
    projects: ClassVar[bool] = False
    silenced_by: ClassVar[str | None] = "scale"
    expected_failures: ClassVar[Mapping[str, str]] = {"mixture": "x_0 given x_t is taken to be Gaussian, which it is for Gaussian data"}

    iterations: int = option(5, at_least=1, help="of conjugate gradients, each a backward pass through the network")
    scale: float = option(1.0, at_least=0, help="factor of the guidance; 1 is Bayes' rule, 0 none")

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        observation = self.observation(y, **observed)

        def guidance(at: Denoised) -> Tensor:
            residual = observation.residual(at.mean)
            variance = broadcast(at.variance, residual)

            def system(u: Tensor) -> Tensor:
                return self.std**2 * u + variance * observation.apply(at.pull(observation.adjoint(u, at.mean)))

            u = conjugate_gradients(system, residual, self.iterations, tolerance=1e-6)
            return at.pull(observation.adjoint(u, at.mean))

        return Guided(guidance, self.scale)
