"""The problems that several kinds are measured on."""

import torch
from torch import Tensor

from ...mixture import Mixture
from ...score import Score
from ...sde import SDE, LinearSDE
from ..problems import Gaussian
from ..statistics import BatchNoise


def gaussian(shape: tuple[int, ...]) -> Gaussian:
    """Gaussian data of this shape with means between -0.5 and 0.7 and standard deviation 0.5."""
    count = torch.Size(shape).numel()
    return Gaussian(torch.linspace(-0.5, 0.7, count, dtype=torch.float64).reshape(shape), 0.5)


def gaussian_score(sde: SDE, x: Tensor) -> Score:
    """The exact score of these data, of the shape of x's items. Raises AssertionError for an SDE that is not linear."""
    return gaussian(tuple(x.shape[1:])).score(linear(sde))


def linear(sde: SDE) -> LinearSDE:
    """The SDE, which has to be linear for its problems to be exact. Raises AssertionError where it is not."""
    assert isinstance(sde, LinearSDE), f"the exact problems are those of linear SDEs, and {sde.name} is none"
    return sde


def draws(law: Mixture, shape: tuple[int, ...], count: int) -> Tensor:
    """Items (count, *shape) of this law, float64; the same ones each time."""
    noise = BatchNoise(3)
    flat = law.sample(noise.uniform((count,), dtype=torch.float64), noise.normal((count, law.dimension), dtype=torch.float64))
    return flat.reshape(count, *shape)


def carried(law: Mixture, sde: LinearSDE, x: Tensor, t: float, s: float) -> Tensor:
    """Where the probability flow carries x (B, *) from time t to s, for data of one Gaussian N(m, Q L Q^T): in each direction of Q the
    monotone map between the two marginals."""
    root = [(sde.alpha(time) ** 2 * law.variances[0] + sde.sigma(time) ** 2).sqrt() for time in (t, s)]
    centred = (x.flatten(1) - sde.alpha(t) * law.means[0]) @ law.bases[0]
    there: Tensor = sde.alpha(s) * law.means[0] + (centred * root[1] / root[0]) @ law.bases[0].T
    return there.reshape(x.shape)
