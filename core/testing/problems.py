"""Problems whose answers are known exactly, under any linear SDE: what methods are tested against.

Gaussian data N(mu, s^2 I) have the marginals N(alpha mu, (alpha^2 s^2 + sigma^2) I), so score, density and the probability flow are
in closed form; a mixture of Gaussians keeps score, density and moments (``Mixture``).
"""

from typing import Any, Literal, final

import torch
from torch import Tensor

from ..classes import Logits
from ..mixture import Mixture
from ..scalars import Scalar, broadcast, double, sqrt
from ..score import Score
from ..sde import LinearSDE


@final
class Gaussian:
    """Data N(mu, s^2 I): ``mu`` of the shape of one item, ``s`` positive."""

    def __init__(self, mu: Tensor, s: float) -> None:
        self.mu, self.s = mu, s

    def std(self, sde: LinearSDE, t: Scalar) -> Scalar:
        """The standard deviation of each entry of x_t."""
        t = double(t)
        return sqrt((sde.alpha(t) * self.s) ** 2 + sde.sigma(t) ** 2)

    def score(self, sde: LinearSDE) -> Score:
        """The exact score, in x's dtype."""

        def exact(x: Tensor, t: Scalar) -> Tensor:
            centred = x - broadcast(sde.alpha(double(t)), x) * self.mu.to(x)
            return centred * broadcast(-1 / self.std(sde, t) ** 2, x)

        return Score(sde, exact, "score", time=None)

    def flow(self, sde: LinearSDE, x: Tensor, t: float, s: float) -> Tensor:
        """Where the probability flow carries x (B, *) from time t to s: the monotone map between the two Gaussians."""
        mu = self.mu.to(x)
        return sde.alpha(s) * mu + self.std(sde, s) / self.std(sde, t) * (x - sde.alpha(t) * mu)


def mixture_score(sde: LinearSDE, mixture: Mixture) -> Score:
    """The exact score of mixture data, for x (B, D) or items of any shape with D entries; it can be told ``label`` (B,), the component."""

    def exact(x: Tensor, t: Scalar, label: Tensor | None = None) -> Tensor:
        t = double(t)
        return mixture.score(x.flatten(1), sde.alpha(t), sde.sigma(t), label).reshape(x.shape)

    return Score(sde, exact, "score", time=None)


def mixture_classifier(sde: LinearSDE, mixture: Mixture) -> Logits:
    """The exact classifier of noisy mixture data, whose classes are the components: the logits are log w_k p_t(x | k)."""

    def exact(x: Tensor, t: Scalar) -> Tensor:
        t = double(t)
        return mixture.log_joint(x.flatten(1), sde.alpha(t), sde.sigma(t)).to(x.dtype)

    return exact


def mixture_problem(dimension: int, modes: int, covariance: Literal["isotropic", "full"] = "full", seed: int = 0) -> Mixture:
    """A mixture with means of unit scale and components of scale 0.1 to 0.5, unequal weights; a function of its arguments."""
    generator = torch.Generator().manual_seed(seed)
    draw: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    means = torch.randn(modes, dimension, **draw)
    weights = 0.5 + torch.rand(modes, **draw)
    scales = 0.1 + 0.4 * torch.rand(modes, dimension, **draw)
    if covariance == "isotropic":
        scales = scales[:, :1].expand(modes, dimension)
    bases = torch.linalg.qr(torch.randn(modes, dimension, dimension, **draw))[0]
    return Mixture(weights, means, torch.einsum("kij,kj,klj->kil", bases, scales**2, bases))
