"""Sliced score matching held to its closed form for linear scores, and to denoising score matching, which differs by a constant."""

import pytest
import torch

from scoresde.core import SDE, LinearSDE, Score, broadcast
from scoresde.core.testing import BatchNoise, Gaussian, ReplayNoise
from scoresde.plugins.objective.score_matching import ScoreMatching
from scoresde.plugins.objective.sliced_score_matching import SlicedScoreMatching
from scoresde.plugins.objective.smld import SMLD
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(sigma_max=5.0), VP(), SubVP()]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
DATA = Gaussian(torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5)
COUNT = 40_000


def data(count=COUNT):
    return DATA.mu + DATA.s * BatchNoise(0).normal((count, 2), dtype=torch.float64)


def bent(sde):
    """A score that is wrong, not linear and no gradient of anything: (sin(x_0 + x_1) - x_0, cos(x_0) - 2 x_1) / (1 + sigma)."""

    def network(x, t):
        field = torch.stack(((x[:, 0] + x[:, 1]).sin() - x[:, 0], x[:, 0].cos() - 2 * x[:, 1]), 1)
        return field / broadcast(1 + sde.sigma(t), x)

    return Score(sde, network, time=None)


def within(values, expected=0.0, errors=3.5):
    values = values.detach()
    return abs(float(values.mean()) - expected) * len(values) ** 0.5 < errors * float(values.std())


def test_closed_form_of_a_linear_score():
    """For s = A x with v = (1, -1): v.Av + |Ax|^2 / 2, or with (v.Ax)^2 / 2, times sigma^2; twice over D as a mean."""
    sde, a = VE(), torch.tensor([[-1.0, 0.5], [0.2, -2.0]], dtype=torch.float64)
    score = Score(sde, lambda x, t: x @ a.T, time=None)
    x0 = torch.tensor([[0.3, -1.0], [2.0, 0.7]], dtype=torch.float64)
    u, z = torch.tensor([0.2, 0.9], dtype=torch.float64), torch.tensor([[0.1, 1.0], [-0.4, 0.3]], dtype=torch.float64)
    v = torch.tensor([1.0, -1.0], dtype=torch.float64)
    t = sde.t_min + u * (1 - sde.t_min)
    x, square = x0 + sde.sigma(t)[:, None] * z, sde.sigma(t) ** 2
    slope = float(v @ a @ v)
    draws = [u, z, torch.tensor([[1, 0], [1, 0]])]  # 0 and 1 stand for -1 and 1
    reduced = slope + 0.5 * (x @ a.T).square().sum(1)
    plain = slope + 0.5 * (x @ a.T @ v).square()
    draws[2] = v.expand(2, 2)
    for options, expected in (
        ({}, reduced),
        ({"variance_reduced": False}, plain),
        ({"reduce": "mean"}, reduced),
        ({"variance_reduced": False, "reduce": "mean"}, plain),
    ):
        found = SlicedScoreMatching(law="normal", **options).loss(score, x0, ReplayNoise(draws))
        assert torch.allclose(found, square * expected, rtol=1e-12), options  # 2 / D is 1 here


@by_sde
@pytest.mark.parametrize("variance_reduced", [True, False])
@pytest.mark.parametrize("law", ["rademacher", "normal"])
def test_equal_to_denoising_score_matching_up_to_a_constant(sde, law, variance_reduced):
    """In expectation D/2 less, or 1 less as a mean over dimensions, whatever the score."""
    for reduce in ("sum", "mean"):
        sliced = SlicedScoreMatching(law=law, variance_reduced=variance_reduced, reduce=reduce)
        difference = ScoreMatching(reduce=reduce).loss(bent(sde), data(), BatchNoise(1)) - sliced.loss(bent(sde), data(), BatchNoise(1))
        assert within(difference, 1.0)


def test_the_constant_grows_with_the_dimension_for_sums_alone():
    """At the exact score of N(0, 1) in D dimensions under VE."""
    sde, x0 = VE(sigma_max=5.0), BatchNoise(0).normal((COUNT, 6), dtype=torch.float64)
    score = Gaussian(torch.zeros(6, dtype=torch.float64), 1.0).score(sde)
    for reduce, constant in (("sum", 3.0), ("mean", 1.0)):
        pair = [objective(reduce=reduce).loss(score, x0, BatchNoise(1)) for objective in (ScoreMatching, SlicedScoreMatching)]
        assert within(pair[0] - pair[1], constant)


def test_levels_of_the_ladder():
    """With ``ladder`` the times are those of SMLD, whose loss differs by D/2."""
    sde = VE(sigma_max=5.0, levels=10)
    difference = SMLD().loss(bent(sde), data(), BatchNoise(1)) - SlicedScoreMatching(ladder=True).loss(bent(sde), data(), BatchNoise(1))
    assert within(difference, 1.0)
    assert (SlicedScoreMatching().needs, SlicedScoreMatching(ladder=True).needs) == (SDE, LinearSDE)


@by_sde
@pytest.mark.parametrize("variance_reduced", [True, False])
def test_the_true_score_is_the_minimum(sde, variance_reduced):
    """The loss of (1 + e) score is a parabola in e with its bottom at 0: its slope there vanishes within the sampling error."""
    truth, objective = DATA.score(sde), SlicedScoreMatching(variance_reduced=variance_reduced)
    losses = {e: objective.loss(Score(sde, lambda x, t: (1 + e) * truth(x, t), time=None), data(), BatchNoise(1)) for e in (-0.1, 0.0, 0.1)}  # noqa: B023
    assert within((losses[0.1] - losses[-0.1]) / 0.2)
    assert float((losses[0.1] + losses[-0.1] - 2 * losses[0.0]).detach().mean()) > 0


def test_more_directions_and_the_reduced_form_lower_the_variance():
    """Over the directions alone, at one point: for s = A x and normal v the variance of v.Av is 2 |A|^2, A symmetric, and 8 directions
    have an eighth of it; with (v.Ax)^2 / 2 the variance of another normal form is added, 2 |A + Ax (Ax)^T / 2|^2 in all."""
    sde, a = VE(sigma_max=5.0), torch.tensor([[-1.0, 0.5], [0.5, -2.0]], dtype=torch.float64)
    score, u, z = Score(sde, lambda x, t: x @ a, time=None), torch.full((COUNT,), 0.5).double(), torch.zeros(COUNT, 2).double()
    x = torch.tensor([-0.4, 1.0], dtype=torch.float64)
    square = float(sde.sigma(sde.t_min + 0.5 * (1 - sde.t_min))) ** 2
    for reduced in (True, False):
        form = a if reduced else a + 0.5 * torch.outer(a @ x, a @ x)
        for directions in (1, 8):
            objective = SlicedScoreMatching(variance_reduced=reduced, directions=directions, law="normal")
            draws = BatchNoise(1).normal((directions, COUNT, 2), dtype=torch.float64)
            spread = float((objective.loss(score, x.expand(COUNT, 2), ReplayNoise([u, z, *draws])).detach() / square).var())
            assert abs(spread / (2 * float(form.square().sum()) / directions) - 1) < 0.05


def test_gradients_reach_the_network_through_the_slope():
    """For s = a x the loss is sigma^2 (a D + a^2 |x|^2 / 2) with v of signs, its derivative in a sigma^2 (D + a |x|^2)."""
    sde, a = VE(), torch.tensor(-0.3, dtype=torch.float64, requires_grad=True)
    u, z, v = torch.tensor([0.4], dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    loss = SlicedScoreMatching().loss(Score(sde, lambda x, t: a * x, time=None), torch.zeros_like(z), ReplayNoise([u, z, v]))
    loss.sum().backward()
    sigma = float(sde.sigma(sde.t_min + 0.4 * (1 - sde.t_min)))
    assert abs(float(a.grad) / (sigma**2 * (3 - 0.3 * 3 * sigma**2)) - 1) < 1e-12


def test_held_out_loss_needs_no_gradients_around_it():
    """Under no_grad the value is the same, and nothing of the graph is kept."""
    sde, x0 = VP(), data(16)
    with torch.no_grad():
        value = SlicedScoreMatching().loss(bent(sde), x0, BatchNoise(1))
    assert not value.requires_grad
    assert torch.equal(value, SlicedScoreMatching().loss(bent(sde), x0, BatchNoise(1)))
