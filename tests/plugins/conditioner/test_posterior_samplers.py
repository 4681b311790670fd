"""Posterior samplers of linear observations: exact where they claim to be, silent at strength 0, and blind to what is not observed."""

import pytest
import torch

from scoresde.core import Mixture, Reverse, Step, matrix
from scoresde.core.sampling import trajectory
from scoresde.core.testing import BatchNoise, mixture_problem, mixture_score
from scoresde.plugins.conditioner.colorization import Colorization
from scoresde.plugins.conditioner.dps import DPS
from scoresde.plugins.conditioner.inpainting import Inpainting
from scoresde.plugins.conditioner.linear_observation import LinearObservation
from scoresde.plugins.conditioner.mmps import MMPS
from scoresde.plugins.conditioner.pgdm import PGDM
from scoresde.plugins.conditioner.repaint import RePaint
from scoresde.plugins.conditioner.twisted import Twisted
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.likelihood.probability_flow import ProbabilityFlow
from scoresde.plugins.operator.block_average import BlockAverage
from scoresde.plugins.operator.channel_mixing import ChannelMixing
from scoresde.plugins.operator.mask import Mask
from scoresde.plugins.operator.matrix import Matrix
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
by_sde = pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
ROWS = Matrix(rows=((1.0, 0.5, 0.0, -1.0), (0.0, 1.0, 1.0, 0.3)))


def draws(law, count, seed=0):
    noise = BatchNoise(seed)
    return law.sample(noise.uniform((count,), dtype=torch.float64), noise.normal((count, law.dimension), dtype=torch.float64))


def sampled(conditioner, sde, law, y, steps=50, **observed):
    noise = BatchNoise(1)
    condition = None if conditioner is None else conditioner.condition(sde, y, noise, **observed)
    sampler = PredictorCorrector(predictor=ReverseDiffusion())
    x = sde.prior_sample((len(y), law.dimension), noise, dtype=torch.float64)
    *_, last = trajectory(mixture_score(sde, law), sampler, Uniform().intervals(sde, steps), x, noise, condition)
    return last.x


def posterior_score(sde, conditioner, law, y, x, t):
    return mixture_score(sde, conditioner.posterior(law, tuple(x.shape[1:]), y[:1]))(x, t)


@pytest.mark.parametrize("t", [0.02, 0.3, 0.9])
@by_sde
def test_mmps_has_the_exact_posterior_score_of_gaussian_data(sde, t):
    """With as many iterations as there are numbers observed."""
    law, conditioner = mixture_problem(4, 1), MMPS(operator=ROWS, std=0.3, iterations=2)
    x = draws(law.marginal(sde.alpha(t), sde.sigma(t)), 5)
    y = conditioner.observe(draws(law, 1, seed=2), BatchNoise(3))["y"].expand(5, -1)
    guided = conditioner.condition(sde, y, BatchNoise()).guide(mixture_score(sde, law))
    assert torch.allclose(guided(x, t), posterior_score(sde, conditioner, law, y, x, t), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("conditioner", [MMPS(operator=ROWS, std=0.3), PGDM(operator=ROWS, std=0.3)], ids=lambda one: one.name)
@by_sde
def test_guidance_takes_a_time_for_each_sample(sde, conditioner):
    """As the solvers by tolerance evaluate it, and the likelihood, which differentiates it once more."""
    law, times = mixture_problem(4, 2), torch.tensor([0.02, 0.3, 0.9], dtype=torch.float64)
    x = draws(law, 3)
    y = conditioner.observe(draws(law, 1, seed=2), BatchNoise(3))["y"].expand(3, -1)
    guided = conditioner.condition(sde, y, BatchNoise()).guide(mixture_score(sde, law))
    for row, t in enumerate(times.tolist()):
        assert torch.allclose(guided(x, times)[row], guided(x, t)[row], rtol=1e-9, atol=1e-9)


@by_sde
def test_the_flow_of_a_guided_score_has_the_density_of_the_exact_posterior(sde):
    """Of Gaussian data by MMPS; the likelihood differentiates the guidance once more."""
    law, conditioner = mixture_problem(4, 1), MMPS(operator=ROWS, std=0.3)
    x = draws(law, 3)
    y = conditioner.observe(draws(law, 1, seed=2), BatchNoise(3))["y"].expand(3, -1)
    guided = conditioner.condition(sde, y, BatchNoise()).guide(mixture_score(sde, law))
    value = ProbabilityFlow(divergence="exact", ends="corrected").log_prob(Reverse(sde, guided), x, BatchNoise()).value
    assert torch.allclose(value, conditioner.posterior(law, (4,), y[:1]).log_prob(x), rtol=0, atol=0.01)


@pytest.mark.parametrize("t", [0.02, 0.3, 0.9])
@by_sde
def test_pgdm_has_the_exact_posterior_score_of_isotropic_data(sde, t):
    law = Mixture(torch.ones(1), torch.tensor([[0.3, -0.5, 0.1, 1.0]]), 0.49 * torch.eye(4)[None])
    conditioner = PGDM(operator=ROWS, std=0.3, data_std=0.7)
    x = draws(law.marginal(sde.alpha(t), sde.sigma(t)), 5)
    y = conditioner.observe(draws(law, 1, seed=2), BatchNoise(3))["y"].expand(5, -1)
    guided = conditioner.condition(sde, y, BatchNoise()).guide(mixture_score(sde, law))
    assert torch.allclose(guided(x, t), posterior_score(sde, conditioner, law, y, x, t), rtol=1e-5, atol=1e-6)


def test_twisted_sampling_finds_the_modes_that_guidance_does_not():
    """A mixture in the plane whose posterior has two modes: the weights that PiGDM gives them are off by 0.08, those of 4,000 particles
    by 0.005 to 0.02 (of 1,000 by up to 0.16, as their weights vary)."""
    law, sde = mixture_problem(2, 4), VP()
    operator = Mask(known="left")
    x0 = draws(law, 40, seed=5)
    posteriors = [law.given(matrix(operator.apply, (2,)), operator.apply(x0[i : i + 1])[0]) for i in range(40)]
    chosen = min(range(40), key=lambda i: float(posteriors[i].weights.square().sum()))
    exact, y = posteriors[chosen], operator.apply(x0[chosen : chosen + 1]).expand(4000, -1)
    assert float(exact.weights.max()) < 0.6
    errors = {}
    for conditioner in (PGDM(operator=operator), Twisted(operator=operator)):
        x = sampled(conditioner, sde, law, y)
        shares = exact.marginal(1.0, 0.02).responsibilities(x).mean(0)
        errors[conditioner.name] = 0.5 * float((shares - exact.weights).abs().sum())
    assert errors["pgdm"] > 0.06
    assert errors["twisted"] < 0.04


@by_sde
def test_replacement_by_a_mask_is_inpainting(sde):
    law = mixture_problem(4, 2)
    x0 = draws(law, 6)
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0])
    one = sampled(LinearObservation(operator=Mask(known="left")), sde, law, x0[:, :2], steps=20)
    other = sampled(Inpainting(), sde, law, x0 * mask, steps=20, mask=mask)
    assert torch.allclose(one, other, atol=1e-9)


@by_sde
def test_replacement_by_the_mean_of_the_channels_is_colorization(sde):
    law = mixture_problem(4, 2)
    x0 = draws(law, 6)
    one = sampled(LinearObservation(operator=ChannelMixing()), sde, law, x0.mean(1, keepdim=True), steps=20)
    other = sampled(Colorization(), sde, law, x0.mean(1, keepdim=True), steps=20)
    assert torch.allclose(one.mean(1), other.mean(1), atol=5 * sde.sigma(sde.sampling_end))
    assert torch.allclose(one.mean(1), x0.mean(1), atol=5 * sde.sigma(sde.sampling_end))


def test_repaint_comes_nearer_than_replacement():
    """The pair of correlation 0.8 whose free entry is N(0.8 y, 0.36), and by replacement N(0.5 y, 0.494) (test_inpainting.py)."""
    law = Mixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 0.8], [0.8, 1.0]]]))
    y, mask = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(4000, 2), torch.tensor([1.0, 0.0])
    once = sampled(RePaint(resamplings=1), VP(), law, y, steps=200, mask=mask)[:, 1]
    often = sampled(RePaint(resamplings=10), VP(), law, y, steps=200, mask=mask)[:, 1]
    assert (float(once.mean()), float(once.var())) == pytest.approx((0.5, 0.494), abs=0.04)
    assert (float(often.mean()), float(often.var())) == pytest.approx((0.76, 0.32), abs=0.04)


@pytest.mark.parametrize(
    "conditioner",
    [PGDM(operator=ROWS, scale=0.0), MMPS(operator=ROWS, scale=0.0), DPS(operator=ROWS, step=0.0), Twisted(operator=ROWS, scale=0.0)],
    ids=lambda conditioner: conditioner.name,
)
def test_at_strength_0_a_run_is_the_unconditional_one_bit_for_bit(conditioner):
    law, sde = mixture_problem(4, 2), VP()
    y = torch.ones(8, 2, dtype=torch.float64)
    assert torch.equal(sampled(conditioner, sde, law, y, steps=10), sampled(None, sde, law, y, steps=10))


def test_two_rows_with_one_observation_are_particles_and_others_are_not():
    law, sde = mixture_problem(4, 2), VP()
    y = ROWS.apply(draws(law, 2))
    together = sampled(Twisted(operator=ROWS, std=0.3), sde, law, y.repeat_interleave(50, 0), steps=20)
    seen = ROWS.apply(together).unflatten(0, (2, 50)).mean(1)
    assert torch.allclose(seen, y, atol=0.4)


def test_an_observation_of_another_shape_is_one_line():
    law, sde = mixture_problem(4, 2), VP()
    message = r"the operator makes observations of shape \(2,\) of items of shape \(4,\); y has the shape \(3,\)"
    for conditioner in (PGDM(operator=ROWS), MMPS(operator=ROWS), LinearObservation(operator=ROWS)):
        with pytest.raises(ValueError, match=message):
            sampled(conditioner, sde, law, torch.zeros(8, 3, dtype=torch.float64), steps=2)


def test_particles_need_steps_of_a_known_law():
    law, sde = mixture_problem(4, 2), VP()
    condition = Twisted(operator=ROWS).condition(sde, torch.zeros(3, 2, dtype=torch.float64), BatchNoise())
    x = torch.ones(3, 4, dtype=torch.float64)
    reverse = Reverse(sde, condition.guide(mixture_score(sde, law)))
    step = Step(x, x, 0.0)
    with pytest.raises(ValueError, match="weighs Gaussian steps of a known mean, which this predictor does not make"):
        condition.project(step, step, 1.0, 0.5, None, reverse, BatchNoise())


def test_operators_have_their_values():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert BlockAverage().apply(x).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert Mask(known="border").apply(x).tolist() == [[0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15]]
    assert ChannelMixing(weights=(1.0, 3.0)).apply(torch.tensor([[2.0, 6.0]])).tolist() == [[5.0]]
    with pytest.raises(ValueError, match=r"blocks of side 3 do not fit items of shape \(1, 4, 4\)"):
        BlockAverage(factor=3).apply(x)
    with pytest.raises(ValueError, match=r"a matrix of shape \(2, 4\) does not fit items of shape \(1, 4, 4\), 16 entries"):
        ROWS.apply(x)


def test_gaussian_data_need_no_particles():
    """The weights of particles with the exact covariance are equal for Gaussian data, up to the steps' size."""
    law, sde = mixture_problem(4, 1), VP()
    conditioner = Twisted(operator=ROWS, std=0.5, covariance="exact", threshold=0.9)
    y = ROWS.apply(draws(law, 1)).expand(400, -1)
    exact = conditioner.posterior(law, (4,), y[:1])
    x = sampled(conditioner, sde, law, y, steps=100)
    assert torch.allclose(x.mean(0), exact.mean(), atol=0.12)
    assert len(x.unique(dim=0)) > 350
