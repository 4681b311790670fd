"""The adaptive solver against exact laws: Gaussian data and mixtures, three SDEs; its tolerance, and what batch-mates may not do."""

import json

import pytest
import torch
from click.testing import CliRunner

from scoresde.core import Condition, Reverse, Score, SeededNoise, iterate, sample
from scoresde.core.cli import main
from scoresde.core.errors import NonFiniteError
from scoresde.core.testing import BatchNoise, Gaussian, Law, mixture_problem, mixture_score
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.sampler.adaptive import Adaptive
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = {"ve": VE(), "vp": VP(), "sub_vp": SubVP()}
MIXTURES = {2: mixture_problem(2, 3), 64: mixture_problem(64, 3)}


@torch.no_grad()
def run(sampler, sde, score, x, noise, steps=1):
    return [step.x for step in sampler.sample(Reverse(sde, score), Condition(), x, Uniform().intervals(sde, steps), noise)]


def gaussian_spread(sampler, sde, count):
    """The variance of one-dimensional Gaussian data of standard deviation 0.5, in units of the exact one."""
    noise, std = BatchNoise(3), 0.5
    x = sde.prior_sample((count, 1), noise)

    def score(x, t):
        return -x / ((sde.alpha(t) * std) ** 2 + sde.sigma(t) ** 2).to(x.dtype)[:, None]

    x = run(sampler, sde, Score(sde, score, time=None), x, noise)[-1]
    end = sde.sampling_end
    return float(x.double().var()) / ((sde.alpha(end) * std) ** 2 + sde.sigma(end) ** 2)


@pytest.mark.parametrize("dimension", MIXTURES)
@pytest.mark.parametrize("name", SDES)
def test_it_draws_mixtures(name, dimension):
    sde, law, noise = SDES[name], MIXTURES[dimension], BatchNoise(1)
    x = sde.prior_sample((2048 if dimension == 2 else 512, dimension), noise)
    x = run(Adaptive(rtol=0.01, atol=0.005), sde, mixture_score(sde, law), x, noise)[-1]
    end = sde.sampling_end
    found = Law(law.marginal(float(sde.alpha(end)), float(sde.sigma(end)))).deviations(x)
    assert max(float(found.mean.abs().max()), float(found.shares.abs().max()), abs(float(found.spread))) < 3.5, found
    assert float(found.covariance.square().mean()) ** 0.5 < (1.3 if dimension == 64 else 2)


@pytest.mark.parametrize("name", SDES)
def test_a_known_path_keeps_the_variance_of_one_number(name):
    """Within three standard errors, 0.066; a path that is drawn anew after each rejection has more than twice too much."""
    assert gaussian_spread(Adaptive(), SDES[name], 4096) == pytest.approx(1, abs=0.066)


@pytest.mark.parametrize("name", SDES)
def test_the_usual_denoising_takes_nothing_of_the_variance(name):
    """Data N(0.7, 0.09) at the default tolerances, within three standard errors of 20,000 samples: mean 0.0064, variance 0.03. Under VP the
    law without the last step's noise has 0.93 of the variance."""
    sde, end, chunk = SDES[name], SDES[name].sampling_end, 5000
    data = Gaussian(torch.tensor([0.7], dtype=torch.float64), 0.3)
    found = sample(sde, data.score(sde), shape=(20_000, 1), sampler=Adaptive(), steps=1, chunk=chunk, denoise="mean").double()
    assert float(found.mean() - sde.alpha(end) * 0.7) == pytest.approx(0, abs=0.0064)
    assert float(found.var()) / data.std(sde, end) ** 2 == pytest.approx(1, abs=0.03)
    state = sample(sde, data.score(sde), shape=(8, 1), sampler=Adaptive(), steps=1, denoise=False)
    assert torch.equal(sample(sde, data.score(sde), shape=(8, 1), sampler=Adaptive(), steps=1, denoise="mean"), state)


@pytest.mark.parametrize(("name", "expected"), [("ve", 4.67), ("vp", 2.39), ("sub_vp", 2.61)])
def test_the_published_rejection_favours_small_noise(name, expected):
    """The score of one number: what is rejected is not what is small by chance."""
    assert gaussian_spread(Adaptive(rejected="published"), SDES[name], 4096) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("rejected", ["bridged", "published"])
@pytest.mark.parametrize("name", SDES)
def test_batch_mates_change_nothing(name, rejected):
    """Sample 3 has the same steps alone as beside others that take more or fewer of them."""
    sde, sampler = SDES[name], Adaptive(rejected=rejected)
    x = sde.prior_sample((8, 2), SeededNoise(0, range(8), "sample"), dtype=torch.float64)
    score = mixture_score(sde, MIXTURES[2])
    together = run(sampler, sde, score, x, SeededNoise(1, range(8), "sample"))[-1]
    counted = []
    for row in range(8):
        before = score.evaluations
        alone = run(sampler, sde, score, x[[row]], SeededNoise(1, [row], "sample"))[-1]
        torch.testing.assert_close(alone[0], together[row], rtol=1e-9, atol=1e-9)
        counted.append(score.evaluations - before)
    assert len(set(counted)) > 1


def test_inner_times_of_the_grid_are_no_stops():
    sde, x = VP(), torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    score = mixture_score(sde, MIXTURES[2])
    (one,) = run(Adaptive(), sde, score, x, SeededNoise(1, range(4), "sample"))
    made = score.evaluations
    many = run(Adaptive(), sde, score, x, SeededNoise(1, range(4), "sample"), steps=50)
    assert torch.equal(one, many[-1])
    assert (len(many), score.evaluations) == (50, 2 * made)
    assert not torch.equal(many[24], many[48])


def test_a_smaller_tolerance_costs_more():
    counts = []
    for rtol in (0.2, 0.02):
        score = mixture_score(VP(), MIXTURES[64])
        run(Adaptive(rtol=rtol, atol=rtol / 4), VP(), score, VP().prior_sample((64, 64), BatchNoise(0)), BatchNoise(1))
        counts.append(score.evaluations)
    assert 2 * counts[0] < counts[1]


def test_evaluations_are_limited():
    message = r"sampler 'adaptive': 5 of 5 samples stopped at t = 0\.\d+ or later with max_nfe = 20 evaluations: raise it or the tolerances"
    score = mixture_score(VP(), MIXTURES[2])
    with pytest.raises(ArithmeticError, match=message):
        sample(VP(), score, shape=(5, 2), sampler=Adaptive(max_nfe=20), steps=1, chunk=5)
    assert score.evaluations == 20


def test_a_state_that_is_not_finite_stops_it():
    def broken(x, t):
        return torch.where(t[:, None] < 0.5, torch.nan, -x)

    with pytest.raises(NonFiniteError, match=r"sampler Adaptive\(.*: the state is not finite after a step from t = 0\.[5-6]"):
        list(iterate(VP(), broken, shape=(3, 2), sampler=Adaptive(), steps=1))


@pytest.mark.parametrize(
    ("contiguous", "projects", "message"),
    [
        (True, True, "sampler 'adaptive' cannot carry a projection: its samples stand at times of their own"),
        (False, False, "sampler 'adaptive' evaluates at the end of the grid, which this one does not have: take grid uniform"),
    ],
)
def test_it_says_what_it_cannot_do(contiguous, projects, message):
    with pytest.raises(ValueError, match=message):
        Adaptive().check(VP(), Uniform().intervals(VP(), 1), contiguous=contiguous, projects=projects)


def test_an_experiment_takes_it_by_name(tmp_path):
    settings = ["use=adaptive", "rtol=0.1", "count=8", "steps=4"]
    words = ["run", "mixture-2d", "--out", str(tmp_path / "run"), "--set", "run.chunk=8", "--set", "likelihood.count=2"]
    for setting in settings:
        words += ["--set", f"sampling.{setting}"]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (figure,) = [one for one in json.loads((tmp_path / "run" / "results.json").read_text())["figures"] if "sampler" in one["protocol"]]
    assert figure["name"] == "evaluations_per_sample"
    assert figure["protocol"]["sampler"].startswith("Adaptive(rtol=0.1, ")
    assert 20 < figure["value"] == figure["protocol"]["evaluations"] < 300
