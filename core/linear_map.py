"""Linear maps of items that are known by what they do: the adjoint, and systems solved without a matrix.

The adjoint of a linear map A follows from automatic differentiation, A^T v = grad_x <A x, v>. Symmetric positive definite systems
M u = b are solved by conjugate gradients (Hestenes & Stiefel, 1952), each sample by itself: k iterations are exact where M has
k distinct eigenvalues, as the one of A A^T for a mask, a block average or a mixing of channels.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Linear: TypeAlias = Callable[[Tensor], Tensor]

_ROUNDING = 1e-30  # far below the square of a residual that matters


def adjoint(apply: Linear, v: Tensor, like: Tensor) -> Tensor:
    """A^T v, of the shape of ``like``, for A = ``apply`` from such items (B, *) to v's shape (B, *)."""
    pulled: Tensor = torch.func.vjp(apply, torch.zeros_like(like))[1](v)[0]
    return pulled


def matrix(apply: Linear, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """A (m, D) for items of this shape with D entries, and m entries of A x."""
    unit = torch.eye(torch.Size(shape).numel(), dtype=dtype)
    return apply(unit.reshape(-1, *shape)).flatten(1).T


def conjugate_gradients(apply: Linear, b: Tensor, iterations: int, tolerance: float = 0.0) -> Tensor:
    """u (B, *) with M u near b, for M = ``apply``. A sample stops where its residual is below ``tolerance`` |b|, or where M shows itself
    not to be positive (as the Jacobian of a network may); all stop after ``iterations``, without a look at any number in between."""
    u, residual = torch.zeros_like(b), b
    direction, square = residual, _dot(residual, residual)
    enough = tolerance**2 * square + _ROUNDING
    going = square > enough
    for _ in range(iterations):
        image = apply(direction)
        curvature = _dot(direction, image)
        going = going & (curvature > 0)
        step = torch.where(going, square / torch.where(going, curvature, 1.0), 0.0)
        u, residual = u + step * direction, residual - step * image
        following = _dot(residual, residual)
        direction = residual + torch.where(going, following / torch.where(going, square, 1.0), 0.0) * direction
        square, going = following, going & (following > enough)
    return u


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> of each sample, shaped (B, 1, ...)."""
    return (a * b).flatten(1).sum(1).reshape(-1, *(1,) * (a.ndim - 1))
