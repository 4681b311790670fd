"""Distances between two sets of samples of any shape.

The sliced Wasserstein distance (Bonneel et al., 2015) is the root of the mean over directions u of W_2(u . x, u . y)^2, where on the line

    W_2^2 = integral over q from 0 to 1 of (Q_x(q) - Q_y(q))^2,

Q the quantile functions, which are steps: the integral is a finite sum, exact for sets of any two sizes. The energy distance (Szekely and
Rizzo, 2013) is 2 E|x - y| - E|x - x'| - E|y - y'|, with the means over all pairs, a pair of one item with itself included.
"""

import torch
from torch import Tensor


def sliced_wasserstein(x: Tensor, y: Tensor, directions: int = 256, seed: int = 0) -> float:
    """Of x (n, *) and y (m, *), in their units, over ``directions`` drawn uniformly from the sphere, a function of ``seed``."""
    a, b = x.flatten(1).double(), y.flatten(1).double()
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(a.shape[1], directions, generator=generator, dtype=torch.float64)
    u /= u.norm(dim=0)
    first, second = (a @ u).sort(0).values, (b @ u).sort(0).values
    levels = torch.cat([torch.arange(1, len(rows) + 1, dtype=torch.float64) / len(rows) for rows in (a, b)]).sort().values
    widths = torch.diff(levels, prepend=torch.zeros(1, dtype=torch.float64))
    middles = levels - widths / 2
    places = [(middles * len(rows)).long().clamp(max=len(rows) - 1) for rows in (a, b)]
    squares = (first[places[0]] - second[places[1]]) ** 2
    return float((widths @ squares).mean().sqrt())


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Of x (n, *) and y (m, *), in their units; 0 for equal sets and positive for all others."""
    a, b = x.flatten(1).double(), y.flatten(1).double()
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())
