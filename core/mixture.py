"""Gaussian mixtures, whose marginals under a linear SDE are mixtures again: the exact answers that methods are held to.

If p_0 = sum_k w_k N(m_k, C_k), then p_t = sum_k w_k N(alpha m_k, alpha^2 C_k + sigma^2 I). With the eigendecompositions
C_k = Q_k diag(L_k) Q_k^T every marginal is diagonal in the same bases.
"""

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .scalars import Scalar


@final
class Mixture:
    """A mixture of K Gaussians in D dimensions, float64.

    ``weights`` (K,) positive, normalised here; ``means`` (K, D); ``covariances`` (K, D, D) symmetric positive semi-definite.
    Raises ValueError where the shapes or the signs are wrong.
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        weights, means, covariances = weights.double(), means.double(), covariances.double()
        count, dimension = means.shape
        if weights.shape != (count,) or covariances.shape != (count, dimension, dimension):
            raise ValueError(
                f"{count} means in {dimension} dimensions do not fit weights {tuple(weights.shape)}"
                f" and covariances {tuple(covariances.shape)}"
            )
        if not bool((weights > 0).all()):
            raise ValueError("the weights of a mixture must be positive")
        self.weights, self.means, self.covariances = weights / weights.sum(), means, covariances
        self.variances, self.bases = torch.linalg.eigh(covariances)
        if bool((self.variances < -1e-9 * self.variances.abs().amax()).any()):
            raise ValueError("the covariances of a mixture must be positive semi-definite")
        self.variances = self.variances.clamp_min(0)

    def to(self, device: torch.device | str) -> "Mixture":
        """The same mixture with its tensors on this device."""
        moved = object.__new__(Mixture)
        for name, value in vars(self).items():
            setattr(moved, name, value.to(device))
        return moved

    @property
    def dimension(self) -> int:
        return self.means.shape[1]

    def mean(self) -> Tensor:
        """(D,)."""
        return self.weights @ self.means

    def covariance(self) -> Tensor:
        """(D, D)."""
        centred = self.means - self.mean()
        return torch.einsum("k,kij->ij", self.weights, self.covariances) + torch.einsum("k,ki,kj->ij", self.weights, centred, centred)

    def component(self, number: int) -> "Mixture":
        """The law of one of its Gaussians."""
        only = slice(number, number + 1)
        return Mixture(torch.ones_like(self.weights[only]), self.means[only], self.covariances[only])

    def marginal(self, alpha: float, sigma: float) -> "Mixture":
        """The law of alpha x_0 + sigma z."""
        unit = torch.eye(self.dimension, dtype=torch.float64, device=self.means.device)
        return Mixture(self.weights, alpha * self.means, alpha**2 * self.covariances + sigma**2 * unit)

    def given(self, operator: Tensor, y: Tensor, std: float = 0.0) -> "Mixture":
        """The law of x_0 given y = A x_0 + std z, for ``operator`` A (m, D) with independent rows and ``y`` (m,).

        With S_k = A C_k A^T + std^2 I and K_k = C_k A^T S_k^-1 its weights are w_k N(y; A m_k, S_k), normalised, its means
        m_k + K_k (y - A m_k) and its covariances (I - K_k A) C_k (I - K_k A)^T + std^2 K_k K_k^T, semi-definite in spite of rounding.
        """
        a, y = operator.to(self.means), y.to(self.means)
        spread = a @ self.covariances @ a.T + std**2 * torch.eye(len(a)).to(a)
        gain = torch.linalg.solve(spread, a @ self.covariances).mT
        missed = y - self.means @ a.T
        kept = torch.eye(self.dimension).to(a) - gain @ a
        distance = (missed * torch.linalg.solve(spread, missed)).sum(1)
        weights = (self.weights.log() - 0.5 * (distance + torch.logdet(spread))).softmax(0)
        return Mixture(
            weights.clamp_min(1e-300),  # a weight may round to 0
            self.means + torch.einsum("kdm,km->kd", gain, missed),
            kept @ self.covariances @ kept.mT + std**2 * gain @ gain.mT,
        )

    def sample(self, uniform: Tensor, normal: Tensor) -> Tensor:
        """Draws (B, D) from uniform numbers (B,) in [0, 1) and standard normal ones (B, D)."""
        component = self.components(uniform)
        scaled = self.variances[component].sqrt() * normal.double()
        return self.means[component] + torch.einsum("bij,bj->bi", self.bases[component], scaled)

    def components(self, uniform: Tensor) -> Tensor:
        """The component that ``sample`` takes with each of these uniform numbers (B,), int64."""
        return torch.bucketize(uniform.double(), self.weights.cumsum(0)[:-1], right=True)

    def log_prob(self, x: Tensor, alpha: Scalar = 1.0, sigma: Scalar = 0.0) -> Tensor:
        """log p_t of x (B, D) in nats, (B,) float64; alpha and sigma are floats or (B,)."""
        return self._joint(x, alpha, sigma)[0].logsumexp(1)

    def log_joint(self, x: Tensor, alpha: Scalar = 1.0, sigma: Scalar = 0.0) -> Tensor:
        """log w_k N(x; ...) for each component, (B, K) float64: logits of the component that x (B, D) is of."""
        return self._joint(x, alpha, sigma)[0]

    def score(self, x: Tensor, alpha: Scalar = 1.0, sigma: Scalar = 0.0, label: Tensor | None = None) -> Tensor:
        """grad log p_t of x (B, D), in x's dtype; alpha and sigma are floats or (B,). Of the component ``label`` (B,) alone, but where it
        is below 0."""
        joint, rotated, variances = self._joint(x, alpha, sigma)
        responsibility = joint.softmax(1)
        if label is not None:
            only = one_hot(label.clamp_min(0), len(self.weights)).to(responsibility)
            responsibility = torch.where(label[:, None] < 0, responsibility, only)
        pulled = torch.einsum("kij,bkj->bki", self.bases, rotated / variances)
        return -torch.einsum("bk,bki->bi", responsibility, pulled).to(x.dtype)

    def responsibilities(self, x: Tensor, alpha: Scalar = 1.0, sigma: Scalar = 0.0) -> Tensor:
        """The posterior probability of each component given x (B, D): (B, K) float64."""
        return self._joint(x, alpha, sigma)[0].softmax(1)

    def _joint(self, x: Tensor, alpha: Scalar, sigma: Scalar) -> tuple[Tensor, Tensor, Tensor]:
        """log(w_k N(x; ...)) (B, K), the centred x in each component's basis (B, K, D), and its variances ((B, K, D) or (1, K, D))."""
        alpha, sigma = (v.reshape(-1, 1, 1) if isinstance(v, Tensor) else v for v in (alpha, sigma))
        centred = x.double()[:, None] - alpha * self.means
        rotated = torch.einsum("kji,bkj->bki", self.bases, centred)
        variances = alpha**2 * self.variances[None] + sigma**2
        exponent = (rotated.square() / variances + variances.log()).sum(2)
        constant = self.dimension * math.log(2 * math.pi)
        return self.weights.log() - 0.5 * (exponent + constant), rotated, variances
