"""Distances between two sets of samples of any shape.

The sliced Wasserstein distance (Bonneel et al., 2015) is the root of the mean over directions u of W_2(u . x, u . y)^2, where on the line

    W_2^2 = integral over q from 0 to 1 of (Q_x(q) - Q_y(q))^2,

Q the quantile functions, which are steps: the integral is a finite sum, exact for sets of any two sizes. With a kernel k the squared
maximum mean discrepancy (Gretton et al., 2012) is

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),

with the means over all pairs, a pair of one item with itself included: 0 for equal sets and positive for all others. The kernel is a mean
of Gaussians, exp(-|x - y|^2 / 2 s^2), of the widths s = m/2, m and 2m. With k = -|x - y| it is the energy distance (Szekely and Rizzo,
2013). Such a mean moves with each item by its projection, as for x_i

    h_i = 2 (mean_j k(x_i, x_j) - mean_j k(x_i, y_j)),        std_error^2 = var(h) / n + var(g) / m

(Hoeffding, 1948), g being the same for y. Where both sets have one law the projections vanish, and how far apart two sets of that size come
by chance is what two halves of real items show.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_WIDTHS = (0.5, 1.0, 2.0)  # of the Gaussians, in median distances


class Estimate(NamedTuple):
    """A squared discrepancy and its standard error, to first order."""

    value: float
    std_error: float


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
    return discrepancy(*(-distances(*pair) for pair in ((x, x), (x, y), (y, y)))).value


def squared_mmd(x: Tensor, y: Tensor, width: float | None = None) -> float:
    """MMD^2 of x (n, *) and y (m, *); ``width`` is m, by default the median distance of two items of y."""
    width = median_distance(distances(y, y)) if width is None else width
    return discrepancy(*(gaussian_kernel(distances(*pair), width) for pair in ((x, x), (x, y), (y, y)))).value


def distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j| (n, m), float64, of x (n, *) and y (m, *)."""
    return torch.cdist(x.flatten(1).double(), y.flatten(1).double())


def median_distance(between: Tensor) -> float:
    """The median of the distances of different items of a set, from all its distances (m, m); 1 where it is 0."""
    count = len(between)
    rows, columns = torch.triu_indices(count, count, 1)
    return (float(between[rows, columns].median()) if count > 1 else 0.0) or 1.0


def gaussian_kernel(between: Tensor, width: float) -> Tensor:
    """The mean of the Gaussians at these distances."""
    squares = between.square() / (2 * width**2)
    return torch.stack([(-squares / factor**2).exp() for factor in _WIDTHS]).mean(0)


def discrepancy(xx: Tensor, xy: Tensor, yy: Tensor) -> Estimate:
    """MMD^2 of two sets from the kernel at their pairs (n, n), (n, m) and (m, m)."""
    value = float(xx.mean() + yy.mean() - 2 * xy.mean())
    variance = 0.0
    for own, other in ((xx.mean(1), xy.mean(1)), (yy.mean(1), xy.mean(0))):
        variance += float((2 * (own - other)).var(correction=0)) / len(own)
    return Estimate(value, math.sqrt(variance))


def halves(count: int, times: int, seed: int) -> Sequence[tuple[Tensor, Tensor]]:
    """The places of ``count`` items, an even number, divided into two halves at random, so many times."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(count, generator=generator) for _ in range(times)]
    return [(order[: count // 2], order[count // 2 :]) for order in orders]
