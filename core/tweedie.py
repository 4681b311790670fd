"""The denoised mean with its derivative, by which a score is guided.

Under a linear SDE x_t = alpha x_0 + sigma z has (Tweedie's formula, and its derivative)

    D(x_t) = E[x_0 | x_t] = (x_t + sigma^2 score) / alpha,        Cov[x_0 | x_t] = (sigma^2 / alpha) J,    J = dD / dx_t.

Products with J^T are one backward pass through the network, whose forward pass the score has cost already.
"""

from typing import final

import torch
from torch import Tensor

from .scalars import Scalar, broadcast
from .score import Score
from .sde import LinearSDE


@final
class Denoised:
    """Score and denoised mean at (x (B, *), t), t one time or one for each sample (B,), with products by J^T. One evaluation of the score.

    Where x itself is differentiated, as for the divergence of a guided score, so are the products.
    """

    def __init__(self, score: Score, x: Tensor, t: Scalar) -> None:
        sde = score.sde
        assert isinstance(sde, LinearSDE)
        self.alpha, self.sigma = sde.alpha(t), sde.sigma(t)
        self._outer = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            self._x = x if self._outer else x.detach().requires_grad_()
            self._score = score(self._x, t)
            self._mean = (self._x + broadcast(self.sigma**2, x) * self._score) / broadcast(self.alpha, x)
        self.score, self.mean = (self._score, self._mean) if self._outer else (self._score.detach(), self._mean.detach())

    @property
    def variance(self) -> Scalar:
        """sigma^2 / alpha, by which J becomes the covariance."""
        return self.sigma**2 / self.alpha

    def pull(self, v: Tensor) -> Tensor:
        """J^T v, shape of x."""
        return torch.autograd.grad(self._mean, self._x, v, retain_graph=True, create_graph=self._outer)[0]
