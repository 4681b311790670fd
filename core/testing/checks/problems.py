"""The problems that several kinds are measured on."""

import torch
from torch import Tensor

from ...score import Score
from ...sde import SDE, LinearSDE
from ..problems import Gaussian


def gaussian(shape: tuple[int, ...]) -> Gaussian:
    """Gaussian data of this shape with means between -0.5 and 0.7 and standard deviation 0.5."""
    count = torch.Size(shape).numel()
    return Gaussian(torch.linspace(-0.5, 0.7, count, dtype=torch.float64).reshape(shape), 0.5)


def gaussian_score(sde: SDE, x: Tensor) -> Score:
    """The exact score of these data, of the shape of x's items. Raises AssertionError for an SDE that is not linear."""
    assert isinstance(sde, LinearSDE), f"the exact problems are those of linear SDEs, and {sde.name} is none"
    return gaussian(tuple(x.shape[1:])).score(sde)
