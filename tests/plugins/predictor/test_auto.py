"""The predictor that chooses: it is the method that it names, on the grid that it brings, and its error is that of the table."""

import pytest
import torch

from scoresde.core import Reverse, flow
from scoresde.core.distances import sliced_wasserstein
from scoresde.core.testing import BatchNoise, Gaussian, mixture_problem, mixture_score
from scoresde.plugins.grid.balanced import Balanced
from scoresde.plugins.grid.karras import Karras
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.predictor.auto import Auto
from scoresde.plugins.predictor.ddim import DDIM
from scoresde.plugins.predictor.dpm_solver import DPMSolver
from scoresde.plugins.predictor.dpmpp_2m import DPMpp2M
from scoresde.plugins.predictor.heun import Heun
from scoresde.plugins.predictor.sa_solver import SASolver
from scoresde.plugins.predictor.unipc import UniPC
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

by_sde = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)


def run(predictor, reverse, x, intervals):
    state, noise = predictor.init(reverse, x, intervals), BatchNoise(2)
    for interval in intervals:
        x, _, _, state, *_ = predictor.step(reverse, x, interval, state, noise)
    return x


@pytest.mark.parametrize("steps", [1, 9, 1000])
def test_the_method_of_a_number_of_steps(steps):
    assert Auto().chosen(steps) == UniPC(order=4, form="denoised", variable="angle", scale=3.0, amplification=5.0)
    assert Auto(tau=0.5).chosen(steps) == SASolver(order=3, tau=0.5, variable="angle", scale=3.0, amplification=5.0)


@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize("steps", [3, 8, 12, 35])
@by_sde
def test_it_is_the_method_that_it_names(sde, steps, tau):
    data = Gaussian(torch.tensor([0.4, -0.3], dtype=torch.float64), 0.6)
    reverse, auto = Reverse(sde, data.score(sde)), Auto(tau=tau)
    grid = auto.own_grid.intervals(sde, steps)
    x = sde.prior_sample((3, 2), BatchNoise(), dtype=torch.float64)
    assert torch.equal(run(auto, reverse, x, grid), run(auto.chosen(steps), reverse, x, grid))


@pytest.mark.parametrize("evaluations", [10, 20, 50])
@by_sde
def test_it_is_nearer_the_flow_than_the_others_at_equal_cost(sde, evaluations):
    """In the root mean square over 64 points, on a mixture that is neither the benchmark's nor one that the choice was made on."""
    truth = mixture_problem(2, 3, "full", seed=11)
    reverse = Reverse(sde, mixture_score(sde, truth))
    x = sde.prior_sample((64, 2), BatchNoise(), dtype=torch.float64)
    exact = flow(reverse, x, sde.t_max, sde.sampling_end, rtol=1e-8, atol=1e-8, max_evaluations=10**6)[0]

    def error(predictor, grid):
        found = run(predictor, reverse, x, grid.intervals(sde, evaluations // predictor.evaluations))
        return float((found - exact).square().mean().sqrt())

    others = [(UniPC(), LogSNR()), (DPMpp2M(), LogSNR()), (DPMpp2M(), Karras()), (Heun(), Karras()), (DPMSolver(), LogSNR())]
    assert error(Auto(), Balanced()) < min(error(*other) for other in others)


@pytest.mark.parametrize("evaluations", [5, 10])
@by_sde
def test_with_noise_its_law_is_nearer_than_the_others_at_equal_cost(sde, evaluations):
    """In the sliced Wasserstein distance of 2,048 samples to as many exact draws, on the same mixture."""
    truth, noise = mixture_problem(2, 3, "full", seed=11), BatchNoise(1)
    reverse = Reverse(sde, mixture_score(sde, truth))
    x = sde.prior_sample((2048, 2), BatchNoise(), dtype=torch.float64)
    end = truth.marginal(sde.alpha(sde.sampling_end), sde.sigma(sde.sampling_end))
    draws = end.sample((torch.arange(2048) + 0.5).double() / 2048, noise.normal((2048, 2), dtype=torch.float64))

    def distance(predictor, grid):
        return sliced_wasserstein(run(predictor, reverse, x, grid.intervals(sde, evaluations)), draws)

    others = [(method, grid) for method in (DPMpp2M(eta=1.0), SASolver(), DDIM(eta=1.0)) for grid in (LogSNR(), Karras())]
    assert distance(Auto(tau=1.0), Balanced()) < 0.8 * min(distance(*other) for other in others)
