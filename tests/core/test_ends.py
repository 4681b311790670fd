"""The two ends of the likelihood, made good from the exact score of mixtures."""

import pytest
import torch

from scoresde.core import Reverse
from scoresde.core.divergence import products, unit_vectors
from scoresde.core.ends import log_end, log_start
from scoresde.core.testing import BatchNoise, mixture_problem, mixture_score
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

by_sde = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
by_dimension = pytest.mark.parametrize(("dimension", "modes"), [(2, 3), (64, 10)])


def exact(field, x):
    value, columns = products(field, x, unit_vectors(x))
    return value, columns.sum(1, keepdim=True)


def draws(mixture, count):
    noise = BatchNoise(0)
    return mixture.sample(noise.uniform((count,), dtype=torch.float64), noise.normal((count, mixture.dimension), dtype=torch.float64))


@by_dimension
@by_sde
def test_start(sde, dimension, modes):
    """Of the mean error in nats that x's standing at t_min makes, at most a fiftieth is left: 0.012 falls to 0.00016 under VE in 64-D,
    whose noise of 0.01 is a tenth of the narrowest component, and much more under the others."""
    mixture = mixture_problem(dimension, modes)
    x, alpha, sigma = draws(mixture, 16), sde.alpha(sde.t_min), sde.sigma(sde.t_min)
    reverse = Reverse(sde, mixture_score(sde, mixture))
    truth = mixture.log_prob(x)
    found = mixture.log_prob(alpha * x, alpha, sigma) + log_start(reverse, alpha * x, exact)[:, 0]
    before = mixture.log_prob(x, alpha, sigma)
    assert float((found - truth).abs().mean()) < 0.02 * float((before - truth).abs().mean())


@by_dimension
@by_sde
def test_end(sde, dimension, modes):
    """Of the mean error in nats that the prior makes, at most a thousandth is left: 0.024 falls to 2.5e-6 under VE in 64-D."""
    mixture = mixture_problem(dimension, modes)
    alpha, sigma = sde.alpha(sde.t_max), sde.sigma(sde.t_max)
    z = draws(mixture.marginal(alpha, sigma), 16)
    truth = mixture.log_prob(z, alpha, sigma)
    found = log_end(Reverse(sde, mixture_score(sde, mixture)), z, exact)[:, 0]
    assert float((found - truth).abs().mean()) < 0.001 * float((sde.prior_log_prob(z) - truth).abs().mean())
