"""Few-step samplers are, to rounding, the algorithms of their papers, which are written out here."""

import itertools
import math

import pytest
import torch

from scoresde.core import Condition, Reverse
from scoresde.core.sampling import finish
from scoresde.core.testing import BatchNoise
from scoresde.core.testing.problems import mixture_problem, mixture_score
from scoresde.plugins.grid.edm import EDM
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.grid.singlestep import Singlestep, orders
from scoresde.plugins.predictor.dpm_solver import DPMSolver
from scoresde.plugins.predictor.dpm_solver_fast import DPMSolverFast
from scoresde.plugins.predictor.dpmpp_2m import DPMpp2M
from scoresde.plugins.predictor.heun import Heun
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

LAW = mixture_problem(2, 8, "full", seed=0)
by_sde = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)


def start(sde, count=32):
    return sde.prior_std * torch.randn((count, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def run(predictor, sde, intervals, x):
    reverse = Reverse(sde, mixture_score(sde, LAW))
    *_, last = PredictorCorrector(predictor=predictor).sample(reverse, Condition(), x, intervals, BatchNoise())
    return last, reverse.score


@pytest.mark.parametrize("count", [2, 5, 18])
def test_edm(count):
    """Karras et al. (2022), Algorithm 1 with Table 1: N levels from 80 to 0.002, Heun's steps, and Euler's from the last level to 0."""
    sde = VE(sigma_min=0.001, sigma_max=80)
    last, score = run(Heun(), sde, EDM().intervals(sde, count - 1), start(sde))
    found = finish(last, score, EDM().intervals(sde, count - 1), "tweedie")

    levels = [(80 ** (1 / 7) + i / (count - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(count)] + [0.0]
    x, calls = start(sde), 0

    def slope(y, sigma):
        nonlocal calls
        calls += 1
        return (y - score.denoised(y, float(sde.time(-2 * math.log(sigma))))) / sigma

    spent = score.evaluations
    for sigma, after in itertools.pairwise(levels):
        d = slope(x, sigma)
        y = x + (after - sigma) * d
        x = y if after == 0 else x + (after - sigma) * (d + slope(y, after)) / 2
    assert torch.allclose(found, x, rtol=0, atol=1e-9)
    assert spent == calls == 2 * count - 1


@by_sde
def test_edm_ends_at_its_noise_or_where_the_sde_does(sde):
    end = EDM().intervals(sde, 9)[-1].s
    assert end == sde.t_min if sde.name == "ve" else sde.sigma(end) / sde.alpha(end) == pytest.approx(0.002, rel=1e-9)


def test_orders_make_up_the_evaluations():
    assert [orders(n) for n in range(1, 9)] == [(1,), (2,), (2, 1), (3, 1), (3, 2), (3, 2, 1), (3, 3, 1), (3, 3, 2)]
    assert all(sum(orders(n)) == n for n in range(1, 100))


@pytest.mark.parametrize("evaluations", [1, 2, 3, 4, 5, 6, 10, 20])
@by_sde
def test_dpm_solver_fast(sde, evaluations):
    """Lu et al. (2022), Algorithms 1 and 2 with r1 = 1/2, and r1 = 1/3, r2 = 2/3, over equal steps of lambda."""
    intervals = Singlestep().intervals(sde, evaluations)
    last, score = run(DPMSolverFast(), sde, intervals, start(sde))
    assert score.evaluations == evaluations

    half = [0.5 * float(sde.log_snr(t)) for t in (sde.t_max, sde.sampling_end)]
    steps = orders(evaluations)
    h, x = (half[1] - half[0]) / len(steps), start(sde)
    for place, order in enumerate(steps):
        x = dpm_step(sde, score, x, half[0] + place * h, h, order)
    assert torch.allclose(last.x, x, rtol=0, atol=1e-9)


def dpm_step(sde, score, x, lam, h, order):
    def alpha(r):
        return sde.alpha(sde.time(2 * (lam + r * h)))

    def sigma(r):
        return sde.sigma(sde.time(2 * (lam + r * h)))

    def eps(u, r):
        return score.noise(u, float(sde.time(2 * (lam + r * h))))

    first = eps(x, 0)

    def euler(r):
        return alpha(r) / alpha(0) * x - sigma(r) * math.expm1(r * h) * first

    if order == 1:
        return euler(1)
    if order == 2:
        return euler(1) - sigma(1) * math.expm1(h) * (eps(euler(1 / 2), 1 / 2) - first)
    d1 = eps(euler(1 / 3), 1 / 3) - first
    u2 = euler(2 / 3) - sigma(2 / 3) * 2 * (math.expm1(2 / 3 * h) / (2 / 3 * h) - 1) * d1
    d2 = eps(u2, 2 / 3) - first
    return euler(1) - sigma(1) * 3 / 2 * (math.expm1(h) / h - 1) * d2


@pytest.mark.parametrize("order", [2, 3])
def test_dpm_solver(order):
    sde = SubVP()
    x, interval = start(sde), Singlestep().intervals(sde, 12)[0]
    last, score = run(DPMSolver(order=order), sde, [interval], x)
    half = [0.5 * float(sde.log_snr(t)) for t in interval[:2]]
    assert torch.allclose(last.x, dpm_step(sde, score, x, half[0], half[1] - half[0], order), rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@by_sde
def test_dpmpp_2m(sde, eta):
    """Lu et al. (2022, "DPM-Solver++"), Algorithm 2 and its SDE form: the midpoint rule, with the same noise."""
    intervals = LogSNR().intervals(sde, 8)
    last, score = run(DPMpp2M(eta=eta), sde, intervals, start(sde))

    x, noise, before = start(sde), BatchNoise(), None
    for t, s, *_ in intervals:
        lam, after = (0.5 * float(sde.log_snr(time)) for time in (t, s))
        h, rate = after - lam, 1 + eta**2
        d = score.denoised(x, t)
        extrapolated = d if before is None else d + h / (lam - before[1]) / 2 * (d - before[0])
        before = d, lam
        x = sde.sigma(s) / sde.sigma(t) * math.exp(-(eta**2) * h) * x - sde.alpha(s) * math.expm1(-rate * h) * extrapolated
        if eta:
            x = x + sde.sigma(s) * math.sqrt(-math.expm1(-2 * eta**2 * h)) * noise.normal(x.shape, dtype=x.dtype)
    assert torch.allclose(last.x, x, rtol=0, atol=1e-9)
