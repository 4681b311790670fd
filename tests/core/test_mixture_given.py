"""A mixture given linear observations, against what is known without it."""

import math

import pytest
import torch

from scoresde.core import Mixture
from scoresde.core.testing import mixture_problem

PAIR = Mixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 0.8], [0.8, 1.0]]]))


def test_one_entry_of_a_correlated_pair():
    """N(rho y, 1 - rho^2) beside the known y; with noise of variance tau^2 the gain is rho / (1 + tau^2)."""
    known = PAIR.given(torch.tensor([[1.0, 0.0]]), torch.tensor([2.0]))
    assert torch.allclose(known.mean(), torch.tensor([2.0, 1.6], dtype=torch.float64), atol=1e-7)
    assert torch.allclose(known.covariance(), torch.diag(torch.tensor([0.0, 0.36], dtype=torch.float64)), atol=1e-7)
    noisy = PAIR.given(torch.tensor([[1.0, 0.0]]), torch.tensor([2.0]), 0.5)
    assert torch.allclose(noisy.mean(), torch.tensor([1.6, 1.28], dtype=torch.float64), atol=1e-7)
    assert math.isclose(float(noisy.covariance()[1, 1]), 1 - 0.64 / 1.25, rel_tol=1e-7)


def test_weights_are_those_of_bayes():
    """Two unit Gaussians at 0 and 2 with weights 1 : 3, seen with unit noise at y = 0: likelihood ratio exp(-2^2 / 4)."""
    law = Mixture(torch.tensor([1.0, 3.0]), torch.tensor([[0.0], [2.0]]), torch.ones(2, 1, 1)).given(torch.ones(1, 1), torch.zeros(1), 1.0)
    ratio = 3 * math.exp(-1.0)
    assert torch.allclose(law.weights, torch.tensor([1.0, ratio], dtype=torch.float64) / (1 + ratio))
    assert torch.allclose(law.means, torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    assert torch.allclose(law.covariances, torch.full((2, 1, 1), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("std", [0.0, 0.3])
def test_the_density_is_the_joint_over_the_marginal(std):
    """log p(x | y) - log p(x) - log p(y | x) is one constant; without noise along what the observation leaves free."""
    law, generator = mixture_problem(4, 3), torch.Generator().manual_seed(0)
    operator = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 4, generator=generator, dtype=torch.float64) * 0.3
    free = torch.linalg.svd(operator).Vh[2:]
    directions = free if std == 0 else torch.eye(4, dtype=torch.float64)
    x = x + torch.randn(20, len(directions), generator=generator, dtype=torch.float64) * 0.2 @ directions
    y = operator @ x[0]
    given = law.given(operator, y, std)
    if std == 0:  # the densities on the free plane
        flat = Mixture(given.weights, given.means @ free.T, free @ given.covariances @ free.T)
        constant = flat.log_prob(x @ free.T) - law.log_prob(x)
    else:
        constant = given.log_prob(x) - law.log_prob(x) + 0.5 * ((y - x @ operator.T) / std).square().sum(1)
    assert float((constant - constant[0]).abs().max()) < 1e-7


def test_nothing_or_everything_observed():
    law = mixture_problem(3, 2)
    nothing = law.given(torch.zeros(0, 3), torch.zeros(0))
    assert torch.allclose(nothing.weights, law.weights)
    assert torch.allclose(nothing.means, law.means)
    assert torch.allclose(nothing.covariances, law.covariances)
    x = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    everything = law.given(torch.eye(3), x)
    assert torch.allclose(everything.mean(), x)
    assert float(everything.covariance().abs().max()) < 1e-20
