"""Sampling in chunks: what a sample is does not depend on how many others are drawn, in what order, or how a run is watched."""

import math

import pytest
import torch
from torch import nn

from scoresde.core import Condition, Interval, Sampler, Score, SeededNoise, Step
from scoresde.core.errors import NonFiniteError, ResultError
from scoresde.core.sampling import finish, generate, iterate, sample, trajectory
from scoresde.core.testing import BatchNoise, Gaussian, Law, mixture_problem, mixture_score
from scoresde.plugins.conditioner.inpainting import Inpainting
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.corrector.none import NoCorrector
from scoresde.plugins.grid.published import Published
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.ode import ODE
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.predictor.unipc import UniPC
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)


class Network(nn.Module):
    """A small network with matrix products, whose last bits do change with the batch size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(33, 128), nn.SiLU(), nn.Linear(128, 32))

    def forward(self, x, t):
        return self.layers(torch.cat([x, t[:, None]], 1))


def run(sde, indices, chunk, sampler=None, steps=20, dtype=torch.float32, **more):
    score = Score(sde, Network().to(dtype), "noise")
    sampler = PredictorCorrector(predictor=ReverseDiffusion(), corrector=AnnealedLangevin()) if sampler is None else sampler
    return generate(score, sampler, Uniform().intervals(sde, steps), (32,), indices, seed=3, chunk=chunk, dtype=dtype, **more)


SAMPLERS = [
    PredictorCorrector(predictor=ReverseDiffusion(), corrector=AnnealedLangevin()),
    PredictorCorrector(predictor=Ancestral()),
    PredictorCorrector(predictor=EulerMaruyama(probability_flow=True)),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.predictor.name)
@by_sde
def test_sample_7_is_the_same_for_any_count_order_and_split(sde, sampler):
    """Bit for bit with chunks of one size: alone, in ten, backwards, from another chunk, after a restart."""
    ten = run(sde, range(10), 8, sampler)
    assert torch.equal(run(sde, range(10), 8, sampler), ten)
    assert torch.equal(run(sde, [7], 8, sampler)[0], ten[7])
    assert torch.equal(run(sde, [9, 7, 1], 8, sampler), ten[[9, 7, 1]])
    assert torch.equal(run(sde, range(16), 8, sampler)[:10], ten)
    assert torch.equal(torch.cat([run(sde, range(8), 8, sampler), run(sde, range(8, 10), 8, sampler)]), ten)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@by_sde
def test_another_chunk_size_changes_samples_by_rounding_only(sde, dtype, bound):
    reference = run(sde, range(10), 8, dtype=dtype)
    for chunk in (1, 3, 64):
        other = run(sde, range(10), chunk, dtype=dtype)
        assert float((other - reference).abs().max() / reference.abs().max()) < bound


def test_adaptive_samples_agree_to_their_tolerance():
    reference = run(VP(), range(10), 8, PredictorCorrector(predictor=ODE()), steps=1)
    assert torch.equal(run(VP(), [7], 8, PredictorCorrector(predictor=ODE()), steps=1)[0], reference[7])
    assert torch.allclose(run(VP(), range(10), 3, PredictorCorrector(predictor=ODE()), steps=1), reference, rtol=1e-3, atol=1e-3)


def test_langevin_couples_within_its_chunk_and_says_so():
    """Sample 7 depends on its chunk's samples, not on the chunks beside it."""
    sampler = PredictorCorrector(predictor=ReverseDiffusion(), corrector=Langevin())
    sixteen = run(VP(), range(16), 8, sampler)
    assert torch.equal(run(VP(), range(8), 8, sampler), sixteen[:8])
    assert not torch.allclose(run(VP(), [7], 8, sampler)[0], sixteen[7], rtol=1e-4)
    assert Langevin.couples
    assert not any(kind.couples for kind in (AnnealedLangevin, NoCorrector, Ancestral, EulerMaruyama, NoPredictor, ODE, ReverseDiffusion))


def test_other_seeds_and_indices_are_other_samples():
    one = run(VP(), range(8), 8)
    assert not torch.equal(run(VP(), range(8, 16), 8), one)
    score, sampler, intervals = Score(VP(), Network(), "noise"), SAMPLERS[0], Uniform().intervals(VP(), 20)
    assert not torch.equal(generate(score, sampler, intervals, (32,), range(8), seed=4, chunk=8), one)


@by_sde
def test_iterating_ends_at_the_sample(sde):
    how = {"predictor": ReverseDiffusion(), "corrector": AnnealedLangevin(), "steps": 25, "seed": 5, "predicts": "noise"}
    steps = list(iterate(sde, Network(), shape=(6, 32), **how))
    assert len(steps) == 25
    assert torch.equal(steps[-1].x, sample(sde, Network(), shape=(6, 32), chunk=6, denoise=False, **how))
    assert torch.equal(steps[-1].mean, sample(sde, Network(), shape=(6, 32), chunk=6, **how))


def test_a_run_can_be_stopped():
    """Nothing beyond the step that was asked for is evaluated."""
    calls = []
    steps = iterate(VP(), lambda x, t: calls.append(t) or -x, shape=(2, 3), predictor=EulerMaruyama(), steps=100)
    for _ in range(7):
        next(steps)
    assert len(calls) == 7


def test_progress_counts_kept_samples():
    advanced = []
    run(VP(), range(10), 8, steps=3, on_step=advanced.append)
    assert advanced == [8, 8, 8, 2, 2, 2]


def test_a_sampler_that_makes_no_step_is_named():
    class Forgetful(Sampler):
        name = "forgetful"

        def sample(self, reverse, condition, x, intervals, noise):
            yield from (None for _ in intervals)

        def evaluations(self, steps):
            return steps

    sde = VP()
    with pytest.raises(ResultError, match=r'^sampler "forgetful": sample yielded None, expected a Step$'):
        next(trajectory(Score(sde, lambda x, t: -x, time=None), Forgetful(), Uniform().intervals(sde, 3), torch.zeros(2, 3), BatchNoise()))


def test_a_non_finite_state_names_sampler_step_and_time():
    """Looked at every ten steps: broken from t = 0.75 on, found at step 30 of 100."""

    def network(x, t):
        return torch.full_like(x, math.nan) if t < 0.755 else -x

    sde, sampler = VP(), PredictorCorrector(predictor=EulerMaruyama())
    intervals = Uniform(end=0.01).intervals(sde, 100)
    x = sde.prior_sample((2, 3), BatchNoise())
    message = r"^sampler PredictorCorrector\(predictor=EulerMaruyama\(.*\), .*\): the state is not finite at step 30 of 100, t = 0\.703$"
    with pytest.raises(NonFiniteError, match=message):
        list(trajectory(Score(sde, network, time=None), sampler, intervals, x, BatchNoise()))
    with pytest.raises(NonFiniteError, match=r"not finite at step 3 of 3, t = 0\.01$"):
        list(trajectory(Score(sde, network, time=None), sampler, Uniform(end=0.01).intervals(sde, 3), x, BatchNoise()))


@by_sde
def test_final_denoising_on_gaussians(sde):
    """Tweedie's mean, the mean of the last step and the published step, in closed form."""
    data = Gaussian(torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5)
    score, t = data.score(sde), 0.01
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step, intervals = Step(x, x - 1), (Interval(0.5, t, 0, 1),)
    alpha, v = sde.alpha(t), data.std(sde, t) ** 2
    posterior = data.mu + alpha * data.s**2 / v * (x - alpha * data.mu)
    assert torch.equal(finish(step, score, intervals, False), x)
    assert torch.equal(finish(step, score, intervals, "mean"), x - 1)
    assert torch.allclose(finish(step, score, intervals, "tweedie"), posterior, rtol=1e-9, atol=1e-9)
    f, std = sde.ladder().step(x, t)
    published = x - f - std**2 * (x - alpha * data.mu) / v
    assert torch.allclose(finish(step, score, intervals, "reverse_diffusion"), published, rtol=1e-12)


def test_final_denoising_on_the_published_grid_is_at_the_last_time_there():
    """Its last step ends below zero, where there is no score."""
    data, sde = Gaussian(torch.zeros(2, dtype=torch.float64), 0.5), VP()
    intervals = Published(end=1e-4).intervals(sde, 1000)
    x = torch.ones(1, 2, dtype=torch.float64)
    assert intervals[-1].s < 0
    expected = data.score(sde).denoised(x, intervals[-1].t)
    assert torch.equal(finish(Step(x, x), data.score(sde), intervals, "tweedie"), expected)


def test_conditions_are_made_for_each_chunk():
    """By places in the list of indices, which go round where the last chunk is filled up; their noise has streams of its own."""
    made = []

    def condition(places, noise):
        made.append((list(places), noise.normal((4, 1))))
        return Condition()

    plain = run(VP(), [5, 9, 2, 7, 1, 0], 4)
    assert torch.equal(run(VP(), [5, 9, 2, 7, 1, 0], 4, condition=condition), plain)
    assert [places for places, _ in made] == [[0, 1, 2, 3], [4, 5, 0, 1]]
    assert torch.equal(made[0][1], SeededNoise(3, [5, 9, 2, 7], "condition").normal((4, 1)))
    assert torch.equal(made[1][1][:2], SeededNoise(3, [1, 0], "condition").normal((2, 1)))


def test_a_condition_meets_its_own_sample():
    """Each sample's known part is its own, in whatever chunk it is drawn."""
    sde, y = VP(), torch.arange(6.0)[:, None].expand(6, 32)
    mask = torch.zeros(32)
    mask[:16] = 1

    def condition(places, noise):
        return Inpainting().condition(sde, y[places], noise, mask=mask)

    x = run(sde, range(6), 4, condition=condition)
    assert torch.allclose(x[:, :16], sde.alpha(sde.sampling_end) * y[:, :16], rtol=1e-6)


@by_sde
def test_a_mixture_through_the_public_call(sde):
    """The whole road, from a callable to samples of the exact law (mean of the last step: without the noise of the end time)."""
    mixture = mixture_problem(2, 3)
    x = sample(sde, mixture_score(sde, mixture), shape=(512, 2), predictor=Ancestral(), steps=200, chunk=512, denoise=False)
    law = Law(mixture.marginal(sde.alpha(sde.sampling_end), sde.sigma(sde.sampling_end)))
    assert law.deviations(x).worst() < 3.5


def test_iterating_with_the_ode_follows_the_exact_flow():
    data, sde = Gaussian(torch.tensor([0.7, -0.2], dtype=torch.float64), 0.5), VP()
    *_, last = iterate(sde, data.score(sde), shape=(4, 2), predictor=ODE(rtol=1e-8, atol=1e-8), steps=4, seed=1)
    start = sde.prior_sample((4, 2), SeededNoise(1, range(4), "sample"))
    assert torch.allclose(last.x.double(), data.flow(sde, start.double(), 1.0, sde.sampling_end), rtol=1e-5, atol=1e-5)


def test_parts_that_do_not_fit_are_refused():
    network = Network()
    with pytest.raises(ValueError, match=r"^give a sampler, or a predictor and a corrector, not both$"):
        sample(VP(), network, shape=(2, 32), sampler=SAMPLERS[0], predictor=Ancestral())
    message = (
        r"^predictor 'ancestral' evaluates at the end of a step, which this grid does not have: take grid uniform \(or ladder = true, "
    )
    with pytest.raises(ValueError, match=message):
        sample(VP(), network, shape=(2, 32), predictor=Ancestral(), grid=Published(), steps=1000)
    with pytest.raises(ValueError, match=r"^ladder = true takes steps of 1/1000: it needs steps = 1000, got 10$"):
        sample(VP(), network, shape=(2, 32), predictor=Ancestral(ladder=True), steps=10)
    with pytest.raises(ValueError, match=r"^the published grid needs steps = levels: got 10 steps for 1000 levels$"):
        sample(VP(), network, shape=(2, 32), predictor=EulerMaruyama(), grid=Published(), steps=10)
    condition = Inpainting().condition(VP(), torch.zeros(2, 32), SeededNoise(0, [0, 1], "condition"))
    message = r"^predictor 'ode' cannot carry a projection, which would jump inside its steps: take another predictor$"
    with pytest.raises(ValueError, match=message):
        sample(VP(), network, shape=(2, 32), predictor=ODE(), condition=condition)


def test_a_predictor_that_makes_steps_again_takes_no_corrector():
    """It would find the state once more from where its last step began, before the correction."""
    network = lambda x, t: -x  # noqa: E731
    message = (
        r"^predictor 'unipc' makes a step again once it has the value at its end, and would undo what corrector 'langevin' does between:"
        r" corrector = false leaves it out$"
    )
    with pytest.raises(ValueError, match=message):
        sample(VP(), network, shape=(2, 2), predictor=UniPC(), corrector=Langevin(), steps=5)
    assert sample(VP(), network, shape=(2, 2), predictor=UniPC(), corrector=NoCorrector(), steps=5).shape == (2, 2)


def test_a_run_may_start_uniformly_in_a_range():
    """With a predictor that does nothing the start is the sample: uniform numbers of its own stream, stretched."""
    score = Score(VE(), lambda x, t: -x, time=None)
    sampler, intervals = PredictorCorrector(predictor=NoPredictor()), Uniform().intervals(VE(), 1)
    x = generate(score, sampler, intervals, (2,), range(3), chunk=4, uniform=(-1.0, 3.0))
    assert torch.equal(x, 4 * SeededNoise(0, range(3), "sample").uniform((3, 2)) - 1)
