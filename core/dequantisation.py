"""Dequantisation: from a density to a bound of the probability of data with levels.

A density p over x in D dimensions gives an item k the probability P(k) = integral of p over its bin, a box around where k stands; the bins
do not overlap, so these sum to at most 1. For points x_1, ..., x_K drawn from any q on the bin

    log P(k) >= E[1/K sum_j log w_j],        log P(k) >= E[log 1/K sum_j w_j],        w_j = p(x_j) / q(x_j)

(Theis et al., 2016; Burda et al., 2016). The first, "mean", is short of log P(k) by KL(q || p in the bin) for any K; the second,
"importance", rises with K to log P(k). Both are log P(k) itself where q is p in the bin.

Uniform: the bins are [low + h k, low + h (k + 1)], h = (high - low) / levels, and q = h^-D. It suits a p that is flat in the bins, as
that of a model trained on data dequantised so.

Truncated normal (Zheng et al., 2023, "Improved Techniques for Maximum Likelihood Estimation for Diffusion ODEs"): a model trained on the
points c themselves has at t_min the density of alpha c + sigma z. With Delta half the distance of neighbouring points the bins are
alpha [c - Delta, c + Delta], and q is the normal law of a datum at t_min within its bin:

    x = alpha c + sigma z with |z_i| < tau = alpha Delta / sigma,
    log q(x) = -|z|^2 / 2 - D log(sqrt(2 pi) sigma Z),   Z = erf(tau / sqrt(2)).

It is p in the bin up to what neighbours' tails bring into it, which vanishes as tau grows; as tau falls to 0 it becomes uniform. Data are
seen without dequantisation at c = low + (high - low) k / (levels - 1). For a model of dequantised data c is the middle of the
uniform bin, and then p is flat there: only a tau below 1 or so comes near to it.
"""

import math
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from .data import DataSpec
from .noise import Noise

Dequantisation: TypeAlias = Literal["uniform", "truncated_normal"]
Bound: TypeAlias = Literal["mean", "importance"]


class Dequantised(NamedTuple):
    """Points x (B, *) in the model's range, float32, with log q (B,) in nats, float64."""

    x: Tensor
    log_q: Tensor


class Diffused(NamedTuple):
    """How data stand at t_min: alpha c + sigma z, around points c that are the data as a model sees them, or else the bins' middles."""

    alpha: float
    sigma: float
    points: bool


def dequantise(spec: DataSpec, items: Tensor, noise: Noise, at: Diffused | None = None) -> Dequantised:
    """One draw for each of the stored items (B, *): of the normal law that they have ``at`` t_min, truncated, or uniform in the bins.

    Data without levels are used as they are, with log q = 0.
    """
    if spec.levels is None or at is None:
        return Dequantised(spec.scale(items, noise), torch.full((len(items),), -spec.log_volume, dtype=torch.float64))
    centre = at.alpha * _points(spec, items, at.points)
    tau = 0.5 * bin_width(spec, at) / at.sigma
    mass = math.erf(tau / math.sqrt(2))
    unit = noise.uniform(items.shape, dtype=torch.float64, device=items.device)
    z = (math.sqrt(2) * torch.erfinv((2 * unit - 1) * mass)).clamp(-tau, tau)
    x = (centre + at.sigma * z).float()
    z = (x.double() - centre) / at.sigma  # of the point that is evaluated, which float32 has rounded
    constant = spec.dimension * math.log(math.sqrt(2 * math.pi) * at.sigma * mass)
    return Dequantised(x, -0.5 * z.square().flatten(1).sum(1) - constant)


def bin_width(spec: DataSpec, at: Diffused | None = None) -> float:
    """The length of a bin in every direction; 1 for data without levels."""
    if spec.levels is None or spec.range is None:
        return 1.0
    length = spec.range[1] - spec.range[0]
    if at is None:
        return length / spec.levels
    return at.alpha * length / (spec.levels - 1 if at.points else spec.levels)


def combine(log_weights: Tensor, bound: Bound) -> Tensor:
    """The bound of each item (B,) from log w (B, K)."""
    return log_weights.mean(1) if bound == "mean" else log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def combined_error(log_weights: Tensor, std_error: Tensor, bound: Bound) -> Tensor:
    """The standard error of each item's bound (B,): by the spread of its draws, or that of a single one, from log w and its error (B, K).

    The draws of an importance-weighted bound share the noise of their densities: its error is added in quadrature.
    """
    count = log_weights.shape[1]
    if count == 1:
        return std_error[:, 0]
    if bound == "mean":
        return log_weights.std(1) / math.sqrt(count)
    share = log_weights.softmax(1)
    spread = (share - 1 / count).square().sum(1) * count / (count - 1)
    return (spread + (share * std_error).sum(1).square()).sqrt()


def _points(spec: DataSpec, items: Tensor, points: bool) -> Tensor:
    assert spec.levels is not None
    assert spec.range is not None
    low, high = spec.range
    unit = items.double() / (spec.levels - 1) if points else (items.double() + 0.5) / spec.levels
    return low + (high - low) * unit
