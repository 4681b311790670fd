"""The predictor that chooses: it is the method that it names, on the grid that it brings, and its error is that of the table."""

import pytest
import torch

from scoresde.core import Reverse, flow
from scoresde.core.testing import BatchNoise, Gaussian, mixture_problem, mixture_score
from scoresde.plugins.grid.balanced import Balanced
from scoresde.plugins.grid.karras import Karras
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.predictor.auto import Auto
from scoresde.plugins.predictor.dpm_solver import DPMSolver
from scoresde.plugins.predictor.dpmpp_2m import DPMpp2M
from scoresde.plugins.predictor.heun import Heun
from scoresde.plugins.predictor.unipc import UniPC
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

by_sde = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)


def run(predictor, reverse, x, intervals):
    state = predictor.init(reverse, x, intervals)
    for interval in intervals:
        x, _, _, state, *_ = predictor.step(reverse, x, interval, state, BatchNoise())
    return x


@pytest.mark.parametrize("steps", [1, 9, 1000])
def test_the_method_of_a_number_of_steps(steps):
    assert Auto().chosen(steps) == UniPC(order=4, form="denoised", variable="angle", scale=3.0, amplification=5.0)


@pytest.mark.parametrize("steps", [3, 8, 12, 35])
@by_sde
def test_it_is_the_method_that_it_names(sde, steps):
    data = Gaussian(torch.tensor([0.4, -0.3], dtype=torch.float64), 0.6)
    reverse, grid = Reverse(sde, data.score(sde)), Auto().own_grid.intervals(sde, steps)
    x = sde.prior_sample((3, 2), BatchNoise(), dtype=torch.float64)
    assert torch.equal(run(Auto(), reverse, x, grid), run(Auto().chosen(steps), reverse, x, grid))


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
