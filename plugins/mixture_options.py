"""The options that write a Gaussian mixture sum_k w_k N(m_k, C_k) in a file: weights, means and covariances."""

from typing import TypeAlias

import torch

from scoresde.core import Mixture

Vector: TypeAlias = tuple[float, ...]
Matrix: TypeAlias = tuple[tuple[float, ...], ...]


def check(weights: Vector, means: Matrix, covariances: tuple[Matrix, ...]) -> None:
    """Raises ValueError, in one line, where the three do not describe one mixture."""
    if not len(weights) == len(means) == len(covariances):
        raise ValueError(
            f"a mixture needs as many weights as means and covariances: there are {len(weights)}, {len(means)} and {len(covariances)}"
        )
    if not means:
        raise ValueError("a mixture needs at least one component")
    dimension = len(means[0])
    for number, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        if len(mean) != dimension or dimension == 0:
            raise ValueError(f"means[{number}] has {len(mean)} numbers, means[0] has {dimension}: they must agree, and be at least one")
        if len(covariance) != dimension or any(len(row) != dimension for row in covariance):
            raise ValueError(f"covariances[{number}] must have {dimension} rows of {dimension} numbers, as means[{number}] has")
        if any(covariance[i][j] != covariance[j][i] for i in range(dimension) for j in range(i)):
            raise ValueError(f"covariances[{number}] is not symmetric")


def mixture(weights: Vector, means: Matrix, covariances: tuple[Matrix, ...]) -> Mixture:
    """The mixture itself, its weights normalised. Raises ValueError where a covariance has a negative eigenvalue."""
    return Mixture(*(torch.tensor(value, dtype=torch.float64) for value in (weights, means, covariances)))
