"""What every predictor does at the edges: a step of length zero, very few steps, states of any rank, its facts."""

import attrs
import pytest
import torch

from scoresde.core import Condition, Interval, Reverse, SeededNoise
from scoresde.core.testing import Gaussian
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.ode import ODE
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
CONTINUOUS = [
    EulerMaruyama(),
    EulerMaruyama(probability_flow=True),
    ReverseDiffusion(),
    ReverseDiffusion(probability_flow=True),
    Ancestral(),
    Ancestral(variance="transition"),
    ODE(),
    NoPredictor(),
]
LADDERS = [ReverseDiffusion(ladder=True), ReverseDiffusion(ladder=True, probability_flow=True), Ancestral(ladder=True)]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
by_predictor = pytest.mark.parametrize("predictor", CONTINUOUS, ids=repr)


def normal(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@by_predictor
@by_sde
@pytest.mark.parametrize("t", [1.0, 0.3, 1e-5])
def test_a_step_of_length_zero_is_the_identity(sde, predictor, t):
    x = normal(5, 3)
    reverse = Reverse(sde, Gaussian(normal(3), 0.5).score(sde))
    step = predictor.step(reverse, x, Interval(t, t, 0, 1), None, SeededNoise(0, range(5), "sample"))
    assert torch.allclose(step.x, x, rtol=0, atol=1e-15)
    assert torch.allclose(step.mean, x, rtol=0, atol=1e-15)
    assert step.std == 0


@pytest.mark.parametrize("count", [1, 5, 10])
@by_predictor
@by_sde
def test_very_few_steps_give_finite_samples(sde, predictor, count):
    """The published chains of VP divide by zero or take the root of a negative number here. A single Euler step overshoots, by a factor
    2 ln(sigma_max / sigma_min) = 17 under VE, so the bound is that times a normal number's largest value."""
    reverse, noise = Reverse(sde, Gaussian(normal(3), 0.5).score(sde)), SeededNoise(0, range(64), "sample")
    x = sde.prior_sample((64, 3), noise)
    *_, last = PredictorCorrector(predictor=predictor).sample(reverse, Condition(), x, Uniform().intervals(sde, count), noise)
    assert bool(torch.isfinite(last.x).all())
    assert float(last.x.abs().max()) < 60 * sde.prior_std


@by_predictor
@by_sde
def test_ranks_and_dtypes(sde, predictor):
    """An item's shape is immaterial: the same numbers as one vector or as an image, and a float32 state stays float32."""
    flat, interval = normal(2, 12), Interval(0.6, 0.59, 0, 1)
    reverse = Reverse(sde, Gaussian(torch.zeros(1, dtype=torch.float64), 0.5).score(sde))
    expected = predictor.step(reverse, flat, interval, None, SeededNoise(0, range(2), "sample")).mean
    for shape in ((12,), (3, 4), (3, 2, 2), (3, 2, 1, 2)):
        step = predictor.step(reverse, flat.reshape(2, *shape), interval, None, SeededNoise(0, range(2), "sample"))
        assert step.x.shape == (2, *shape)
        assert torch.allclose(step.mean.flatten(1), expected, rtol=1e-14, atol=1e-14)
        single = predictor.step(reverse, flat.float().reshape(2, *shape), interval, None, SeededNoise(0, range(2), "sample"))
        assert (single.x.dtype, single.mean.dtype) == (torch.float32, torch.float32)
        assert torch.allclose(single.mean.flatten(1).double(), expected, rtol=1e-5, atol=1e-5)


@by_predictor
@by_sde
def test_a_step_changes_nothing_it_was_given_and_repeats_itself(sde, predictor):
    x, interval = normal(4, 3), Interval(0.6, 0.55, 0, 1)
    reverse, before = Reverse(sde, Gaussian(normal(3), 0.5).score(sde)), x.clone()
    first, second = (predictor.step(reverse, x, interval, None, SeededNoise(3, range(4), "sample")) for _ in range(2))
    assert torch.equal(x, before)
    assert torch.equal(first.x, second.x)
    assert hash(predictor) == hash(attrs.evolve(predictor))


@pytest.mark.parametrize("predictor", CONTINUOUS + LADDERS, ids=repr)
def test_facts_are_what_happens(predictor):
    """Evaluations are counted, and a predictor that does not read s gives the same mean per unit of time for any s."""
    sde, x = VP(), normal(4, 3)
    reverse = Reverse(sde, Gaussian(normal(3), 0.5).score(sde))
    predictor.step(reverse, x, Interval(0.5, 0.499, 0, 1), None, SeededNoise(0, range(4), "sample"))
    if predictor.evaluations is not None:
        assert reverse.score.evaluations == predictor.evaluations
    assert predictor.steps_ladder == getattr(predictor, "ladder", False)
    if not predictor.reads_s:
        step = predictor.step(reverse, x, Interval(1e-4, -9e-4, 0, 1), None, SeededNoise(0, range(4), "sample"))
        assert bool(torch.isfinite(step.x).all())


def test_ode_that_does_not_arrive_says_so():
    sde = VP()
    reverse = Reverse(sde, Gaussian(normal(3), 0.5).score(sde))
    message = r"^4 samples did not get from t = 1 to 0\.001 within max_nfe = 8: raise it or the tolerances$"
    with pytest.raises(ArithmeticError, match=message):
        ODE(max_nfe=8).step(reverse, normal(4, 3), Interval(1.0, 1e-3, 0, 1), None, SeededNoise(0, range(4), "sample"))


def test_published_vp_steps_refuse_too_few_levels():
    message = r"^levels = 20 is too few for beta_max = 20: beta_i would reach 1; take more than 20 levels, or ladder = false$"
    for predictor in LADDERS:
        sampler = PredictorCorrector(predictor=predictor)
        intervals = Uniform().intervals(VP(), 20)
        with pytest.raises(ValueError, match=message):
            sampler.check(VP(levels=20), intervals, contiguous=True, projects=False)
