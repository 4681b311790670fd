"""Correctors at a fixed time, on Gaussian data with marginal variance v = alpha^2 s^2 + sigma^2, where a Langevin step is affine:

    x' - m = (1 - eps / v) (x - m) + sqrt(2 eps) z,    stationary variance v / (1 - eps / (2 v)).

With eps = 2 (r sigma)^2 (annealed) the stationary variance is v / (1 - r^2 sigma^2 / v); with the batch's own norms, |score| is
|x - m| / v, so eps = 2 r^2 v^2 / w where w is the variance itself, and w = v (1 + r^2). The bias is that of the unadjusted Langevin
algorithm and vanishes with r^2.
"""

import math

import pytest
import torch

from scoresde.core import Reverse, SeededNoise
from scoresde.core.testing import BatchNoise, Gaussian, ReplayNoise
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.corrector.none import NoCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
DATA = Gaussian(torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5)
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)


@by_sde
@pytest.mark.parametrize("snr", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("t", [0.9, 0.4])
def test_annealed_langevin_has_its_stationary_variance(sde, snr, t):
    reverse, points = Reverse(sde, DATA.score(sde)), torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    step = AnnealedLangevin(snr=snr).correct(reverse, points, t, BatchNoise())
    factor = float(step.mean[1, 0] - step.mean[0, 0])
    v = DATA.std(sde, t) ** 2
    assert math.isclose(step.std**2 / (1 - factor**2), v / (1 - (snr * sde.sigma(t)) ** 2 / v), rel_tol=1e-9)
    fixed = step.mean[0] / (1 - factor)
    assert torch.allclose(fixed, sde.alpha(t) * DATA.mu, rtol=1e-9, atol=1e-9)


@by_sde
@pytest.mark.parametrize("snr", [0.1, 0.3])
def test_langevin_has_its_stationary_variance(sde, snr):
    """20,000 samples in two dimensions: the standard error of the variance is 0.7 %, the bias that is asserted 1 % and 9 %."""
    t, noise, reverse = 0.4, BatchNoise(2), Reverse(sde, DATA.score(sde))
    v = DATA.std(sde, t) ** 2
    x = sde.alpha(t) * DATA.mu + v**0.5 * noise.normal((20_000, 2), dtype=torch.float64)
    for _ in range(int(4 / snr**2)):
        x = Langevin(snr=snr).correct(reverse, x, t, noise).x
    deviation = (float((x - sde.alpha(t) * DATA.mu).square().mean()) / v - (1 + snr**2)) / (2 / 40_000) ** 0.5
    assert abs(deviation) < 3.5


@by_sde
def test_langevin_step_size(sde):
    """eps = 2 (r |z| / |score|)^2 with means of the norms over the batch (Algorithms 4 and 5)."""
    x, z = (torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (0, 1))
    reverse = Reverse(sde, Gaussian(torch.zeros(3), 0.5).score(sde))
    step = Langevin(snr=0.16).correct(reverse, x, 0.3, ReplayNoise([z]))
    score = reverse.score(x, 0.3)
    eps = 2 * (0.16 * z.flatten(1).norm(dim=1).mean() / score.flatten(1).norm(dim=1).mean()) ** 2
    assert torch.allclose(step.mean, x + eps * score, rtol=1e-13)
    assert torch.allclose(step.x, step.mean + (2 * eps).sqrt() * z, rtol=1e-13)


@by_sde
def test_only_langevin_couples(sde):
    """A sample alone and among others: the same with the annealed rule, another with the batch's norms, as the class facts say."""
    x, reverse = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64), Reverse(sde, DATA.score(sde))
    for corrector in (Langevin(), AnnealedLangevin(), NoCorrector()):
        alone = corrector.correct(reverse, x[2:3], 0.3, SeededNoise(0, [2], "sample")).x
        among = corrector.correct(reverse, x, 0.3, SeededNoise(0, range(6), "sample")).x[2:3]
        assert torch.equal(alone, among) != corrector.couples


@pytest.mark.parametrize("corrector", [Langevin(), AnnealedLangevin()], ids=lambda corrector: corrector.name)
@by_sde
def test_a_float32_state_stays_float32(sde, corrector):
    reverse, x = Reverse(sde, DATA.score(sde)), torch.zeros(3, 2)
    for t in (0.3, torch.full((3,), 0.3, dtype=torch.float64)):
        step = corrector.correct(reverse, x, t, BatchNoise())
        assert (step.x.dtype, step.mean.dtype) == (torch.float32, torch.float32)


def test_ladder_takes_the_published_factor():
    """alpha_i = 1 - beta_i multiplies the step under VP (Algorithm 5), nothing under VE (Algorithm 4)."""
    x = torch.ones(2, 2, dtype=torch.float64)
    for sde, factor in ((VE(), 1.0), (VP(), 1 - (0.1 + 499 / 999 * 19.9) / 1000)):
        for make in (Langevin, AnnealedLangevin):
            reverse, z = Reverse(sde, DATA.score(sde)), torch.ones(2, 2, dtype=torch.float64)
            plain, published = (make(ladder=ladder).correct(reverse, x, 0.5, ReplayNoise([z])) for ladder in (False, True))
            assert torch.allclose(published.mean - x, factor * (plain.mean - x), rtol=1e-12)
