"""Denoising score matching: the true score is its minimum, and drawing t by importance changes the variance, not the expectation."""

import math

import pytest
import torch
from scipy.integrate import quad

from scoresde.core import Score, broadcast
from scoresde.core.testing import BatchNoise, Gaussian, ReplayNoise
from scoresde.plugins.objective.score_matching import ScoreMatching
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
OBJECTIVES = [
    ScoreMatching(likelihood_weighting=weighting, importance=importance) for weighting in (False, True) for importance in (False, True)
]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
by_objective = pytest.mark.parametrize(
    "objective", OBJECTIVES, ids=lambda o: f"weighting_{o.likelihood_weighting}-importance_{o.importance}"
)
COUNT = 20_000
DATA = Gaussian(torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5)


@by_objective
@by_sde
@pytest.mark.parametrize("direction", ["shift", "scale"])
def test_the_true_score_is_the_minimum(sde, objective, direction):
    """The loss of score + e h / sigma is a parabola in e with its bottom at 0: with the same noise, its slope there vanishes within the
    sampling error, and its curvature is known: 2 w |h|^2."""
    truth, noise = DATA.score(sde), BatchNoise(0)
    x0 = DATA.mu + DATA.s * noise.normal((COUNT, 2), dtype=torch.float64)

    def losses(e):
        def network(x, t):
            h = torch.ones_like(x) if direction == "shift" else (x - broadcast(sde.alpha(t), x) * DATA.mu) / broadcast(DATA.std(sde, t), x)
            return truth(x, t) + e * h / broadcast(sde.sigma(t), x)

        return objective.loss(Score(sde, network, time=None), x0, BatchNoise(1))

    up, middle, down = losses(0.1), losses(0.0), losses(-0.1)
    slopes = (up - down) / 0.2
    assert abs(float(slopes.mean())) * COUNT**0.5 / float(slopes.std()) < 3.5
    assert bool((up + down - 2 * middle > 0).all())


def uniform_expectation(sde, loss):
    """The mean of loss(t) over t uniform in [t_min, t_max], by quadrature in log t."""
    low, high = math.log(sde.t_min), math.log(sde.t_max)
    return quad(lambda y: math.exp(y) * loss(math.exp(y)), low, high, epsabs=0, epsrel=1e-10, limit=500)[0] / (sde.t_max - sde.t_min)


def at_every_u(objective, score, count=40_001):
    """The mean of the loss over u at the midpoints of a fine grid, with z = 1."""
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    z = torch.ones(count, 2, dtype=torch.float64)
    return float(objective.loss(score, torch.zeros_like(z), ReplayNoise([u, z])).mean())


@pytest.mark.parametrize("weighting", [False, True])
@by_sde
def test_importance_sampling_is_unbiased(sde, weighting):
    """For a score c(t) = cos(3 t) - 1 / (2 sigma), say, the loss is w(t) (sigma c + 1)^2: its uniform expectation by quadrature."""
    score = Score(sde, lambda x, t: broadcast(torch.cos(3 * t) - 0.5 / sde.sigma(t), x).expand_as(x), time=None)

    def loss(t):
        sigma = sde.sigma(t)
        residual = (sigma * math.cos(3 * t) + 0.5) ** 2
        return residual * (sde.diffusion(t) / sigma) ** 2 if weighting else residual

    found = at_every_u(ScoreMatching(likelihood_weighting=weighting, importance=True), score)
    assert math.isclose(found, uniform_expectation(sde, loss), rel_tol=1e-5)
    if not weighting:
        assert math.isclose(at_every_u(ScoreMatching(), score), uniform_expectation(sde, loss), rel_tol=1e-5)


@by_sde
def test_likelihood_weights_under_importance_are_constant(sde):
    """g^2 / sigma^2 divided by a density proportional to it: the same for every t, (log_snr(t_min) - log_snr(t_max)) / (t_max - t_min)."""
    u, z = torch.linspace(0, 1, 1_001, dtype=torch.float64), torch.ones(1_001, 2, dtype=torch.float64)
    objective = ScoreMatching(likelihood_weighting=True, importance=True)
    loss = objective.loss(Score(sde, lambda x, t: torch.zeros_like(x), time=None), torch.zeros_like(z), ReplayNoise([u, z]))
    constant = (sde.log_snr(sde.t_min) - sde.log_snr(sde.t_max)) / (sde.t_max - sde.t_min)
    assert torch.allclose(loss, torch.full_like(loss, constant), rtol=1e-8)


@by_sde
def test_times_lie_in_their_range_and_reach_its_ends(sde):
    u, z = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64), torch.zeros(3, 1)
    for importance in (False, True):
        seen = []
        score = Score(sde, lambda x, t: seen.append(t) or x, time=None)  # noqa: B023
        ScoreMatching(importance=importance).loss(score, z, ReplayNoise([u, z]))
        ordered = seen[0].sort().values
        assert float(ordered[0]) >= sde.t_min
        assert float(ordered[-1]) <= sde.t_max
        assert math.isclose(float(ordered[0]), sde.t_min, rel_tol=1e-6)
        assert math.isclose(float(ordered[-1]), sde.t_max, rel_tol=1e-6)


def test_reductions():
    """Half of the sum, or the mean over dimensions."""
    sde, x0 = VP(), torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
    score = Gaussian(torch.zeros(3, 2), 0.5).score(sde)
    mean, total = (ScoreMatching(reduce=reduce).loss(score, x0, BatchNoise(1)) for reduce in ("mean", "sum"))
    assert mean.shape == (5,)
    assert torch.allclose(total, 0.5 * 6 * mean, rtol=1e-6)


@by_sde
def test_loss_at_the_smallest_time_in_float32(sde):
    """The residual of a score that is right for x_0 = 0, -x / sigma^2, is nothing but rounding, even at t_min."""
    score = Score(sde, lambda x, t: -x / broadcast(sde.sigma(t) ** 2, x), time=None)
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    loss = ScoreMatching().loss(score, torch.zeros(4, 8), ReplayNoise([torch.zeros(4, dtype=torch.float64), z]))
    assert float(loss.abs().max()) < 1e-11
