"""Whether samples follow a known law: deviations of their moments in standard errors, which the law itself gives.

For n draws of a mixture with covariance C and y = x - mean, the standard error of a mean is sqrt(C_ii / n) and that of a covariance
sqrt((E[y_i^2 y_j^2] - C_ij^2) / n). The fourth moments follow from those of its components N(mu, S), in the centred coordinates,

    E[y_i^2 y_j^2] = (mu_i^2 + S_ii) (mu_j^2 + S_jj) + 2 S_ij^2 + 4 mu_i mu_j S_ij.

The share of a mode is the mean of its posterior probability, whose variance is measured on exact draws.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from ..mixture import Mixture
from ..noise import Noise


class Deviations(NamedTuple):
    """In standard errors: of the means (D,), of the covariances (D, D), of the total variance () and of the modes' shares (K,)."""

    mean: Tensor
    covariance: Tensor
    spread: Tensor
    shares: Tensor

    def worst(self) -> float:
        return max(float(value.abs().max()) for value in self)


@final
class Law:
    """A mixture whose samples are to be recognised."""

    def __init__(self, mixture: Mixture, draws: int = 10_000) -> None:
        self.mixture = mixture
        generator = torch.Generator().manual_seed(0)
        uniform = torch.rand(draws, dtype=torch.float64, generator=generator)
        exact = mixture.sample(uniform, torch.randn(draws, mixture.dimension, dtype=torch.float64, generator=generator))
        self._share_std = mixture.responsibilities(exact).std(0)

    def deviations(self, x: Tensor) -> Deviations:
        """How far the moments of x (n, D) are from the law's."""
        mixture, root = self.mixture, len(x) ** 0.5
        x = x.double()
        centred = x - mixture.mean()
        exact, fourth = mixture.covariance(), self._fourth_moments()
        sampled = centred.T @ centred / len(x)
        diagonal = exact.diagonal()
        spread_std = (fourth - torch.outer(diagonal, diagonal)).sum().sqrt()
        shares = mixture.responsibilities(x).mean(0) - mixture.weights
        return Deviations(
            centred.mean(0) * root / diagonal.sqrt(),
            (sampled - exact) * root / (fourth - exact**2).sqrt(),
            (sampled - exact).trace() * root / spread_std,
            shares * root / self._share_std.clamp_min(0.02),  # not a mode's that all but never occurs
        )

    def _fourth_moments(self) -> Tensor:
        """E[y_i^2 y_j^2], (D, D)."""
        mixture = self.mixture
        mu = mixture.means - mixture.mean()
        second = mu**2 + mixture.covariances.diagonal(dim1=1, dim2=2)
        parts = second[:, :, None] * second[:, None] + 2 * mixture.covariances**2 + 4 * mu[:, :, None] * mu[:, None] * mixture.covariances
        return torch.einsum("k,kij->ij", mixture.weights, parts)


@final
class BatchNoise(Noise):
    """One stream for a whole batch: much faster than a stream for each sample, where thousands of small ones are drawn."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return torch.randn(tuple(shape), dtype=dtype, device=device, generator=self._generator)

    def uniform(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return torch.rand(tuple(shape), dtype=dtype, device=device, generator=self._generator)

    def integers(self, high: int, shape: Sequence[int], *, device: torch.device | str = "cpu") -> Tensor:
        return torch.randint(high, tuple(shape), device=device, generator=self._generator)
