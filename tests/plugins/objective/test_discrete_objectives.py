"""SMLD and DDPM: every level has its own kernel, and the true score of the levels is the minimum."""

import pytest
import torch

from scoresde.core import Score, broadcast
from scoresde.core.testing import BatchNoise, ReplayNoise
from scoresde.plugins.objective.ddpm import DDPMLoss
from scoresde.plugins.objective.score_matching import ScoreMatching
from scoresde.plugins.objective.smld import SMLD
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(levels=30), VP(levels=30), SubVP(levels=30)]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
by_objective = pytest.mark.parametrize("objective", [SMLD(), DDPMLoss()], ids=["smld", "ddpm"])
MU, S, COUNT = torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5, 20_000


def level_score(sde, noise_of):
    """The score of a network that predicts noise and is told the time, so that it can look up its level's kernel."""
    ladder = sde.ladder()

    def network(x, label):
        t = ladder.time(label)
        alpha, sigma = (broadcast(v, x) for v in ladder.kernel(t))
        return noise_of(x, alpha, sigma)

    return Score(sde, network, "noise", "level")


@by_sde
@by_objective
def test_the_kernel_of_every_level(sde, objective):
    """For data at 0 the noise is x / sigma: the loss of a network that says so is rounding, at each of the levels."""
    labels = torch.arange(sde.levels)
    z = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    score = level_score(sde, lambda x, alpha, sigma: x / sigma)
    assert float(objective.loss(score, torch.zeros_like(z), ReplayNoise([labels, z])).max()) < 1e-20
    silent = Score(sde, lambda x, label: torch.zeros_like(x), "noise", "level")
    assert torch.allclose(type(objective)(reduce="sum").loss(silent, z, ReplayNoise([labels, z])), 0.5 * z.square().sum(1), rtol=1e-12)
    assert torch.allclose(type(objective)(reduce="mean").loss(silent, z, ReplayNoise([labels, z])), z.square().mean(1), rtol=1e-12)


@by_sde
@by_objective
def test_the_true_score_is_the_minimum(sde, objective):
    """The loss along a shift of the exact noise is a parabola with its bottom at 0: its slope vanishes within the sampling error."""
    x0 = MU + S * BatchNoise(0).normal((COUNT, 2), dtype=torch.float64)

    def losses(e):
        def noise_of(x, alpha, sigma):
            return sigma * (x - alpha * MU) / (alpha**2 * S**2 + sigma**2) + e

        return objective.loss(level_score(sde, noise_of), x0, BatchNoise(1))

    up, middle, down = losses(0.1), losses(0.0), losses(-0.1)
    slopes = (up - down) / 0.2
    assert abs(float(slopes.mean())) * COUNT**0.5 / float(slopes.std()) < 3.5
    assert bool((up + down - 2 * middle > 0).all())


def test_smld_is_score_matching_at_the_levels():
    """VE's levels lie on its continuous path: with t of a level and the same z, both losses are equal."""
    sde, labels = VE(levels=12), torch.arange(11)  # the last level, t = 0, lies below t_min
    u = (sde.ladder().time(labels) - sde.t_min) / (sde.t_max - sde.t_min)
    x0, z = torch.randn(2, 11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    score = Score(sde, lambda x, t: -0.3 * x / (1 + broadcast(t, x)), time=None)
    for reduce in ("mean", "sum"):
        discrete = SMLD(reduce=reduce).loss(score, x0, ReplayNoise([labels, z]))
        assert torch.allclose(discrete, ScoreMatching(reduce=reduce).loss(score, x0, ReplayNoise([u, z])), rtol=1e-10)


@by_sde
@by_objective
def test_every_level_is_finite_for_a_network_of_continuous_time(sde, objective):
    """VP's first level stands at t = 0, where the continuous kernel has no noise: a network of noise is not divided by it."""
    labels, z = torch.arange(sde.levels), torch.ones(sde.levels, 2, dtype=torch.float64)
    loss = objective.loss(Score(sde, lambda x, t: 0.25 * torch.ones_like(x), "noise", "999t"), z, ReplayNoise([labels, z]))
    assert torch.allclose(loss, torch.full_like(loss, 0.75**2), rtol=1e-12)  # half of a sum over two, or the mean


@by_objective
def test_a_network_of_any_kind_is_held_to_the_same_loss(objective):
    """A network that predicts the score gives the loss of one that predicts the same in noise."""
    sde, x0 = VP(), torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ladder = sde.ladder()
    noise = level_score(sde, lambda x, alpha, sigma: 0.4 * x)
    score = Score(sde, lambda x, label: -0.4 * x / broadcast(ladder.kernel(ladder.time(label))[1], x), "score", "level")
    losses = [objective.loss(s, x0, BatchNoise(3)) for s in (noise, score)]
    assert torch.allclose(*losses, rtol=1e-12)
