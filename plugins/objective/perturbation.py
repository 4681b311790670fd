"""What the objectives share: data perturbed at a random time or level, and the reduction over dimensions."""

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from scoresde.core import Noise, Score, broadcast

Reduction: TypeAlias = Literal["mean", "sum"]


class Perturbed(NamedTuple):
    """x = mean + sigma z at the times t (B,) float64; sigma (B, 1, ...) is ready to multiply x."""

    x: Tensor
    t: Tensor
    sigma: Tensor
    z: Tensor


def at_times(score: Score, x0: Tensor, t: Tensor, noise: Noise) -> Perturbed:
    """x0 (B, *) perturbed by the SDE's kernel at t (B,)."""
    z = noise.normal_like(x0)
    mean, std = score.sde.marginal(x0, t)
    sigma = torch.as_tensor(broadcast(std, x0))
    return Perturbed(mean + sigma * z, t, sigma, z)


def at_levels(score: Score, x0: Tensor, noise: Noise) -> Perturbed:
    """x0 (B, *) perturbed by the kernels of uniformly drawn levels of the SDE's ladder."""
    ladder = score.sde.ladder()
    t = torch.as_tensor(ladder.time(noise.integers(ladder.levels, (len(x0),), device=x0.device)))
    z = noise.normal_like(x0)
    alpha, std = ladder.kernel(t)
    sigma = torch.as_tensor(broadcast(std, x0))
    return Perturbed(broadcast(alpha, x0) * x0 + sigma * z, t, sigma, z)


def uniform_times(score: Score, x0: Tensor, noise: Noise) -> Tensor:
    """Times (B,) uniform on [t_min, t_max), float64."""
    sde = score.sde
    return noise.uniform((len(x0),), dtype=torch.float64, device=x0.device) * (sde.t_max - sde.t_min) + sde.t_min


def reduced(values: Tensor, reduce: Reduction) -> Tensor:
    """The mean of values (B, *) over dimensions, or half of their sum: (B,)."""
    flat = values.flatten(1)
    return flat.mean(1) if reduce == "mean" else 0.5 * flat.sum(1)
