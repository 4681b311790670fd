"""The predictors converge at the order that they claim, measured without any sampling error.

On Gaussian data N(mu, s^2) every step is affine in x with Gaussian noise, x' = a x + b + std z, so mean and variance of the samples
are carried exactly, by evaluating each step at two points. They start from the exact law at t_max and are compared with the exact law
at the end.
"""

import itertools
import math

import pytest
import torch

from scoresde.core import Reverse
from scoresde.core.testing import BatchNoise, Gaussian
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.grid.published import Published
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.ode import ODE
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDES = [VE(), VP(), SubVP()]
DATA = Gaussian(torch.tensor([0.7], dtype=torch.float64), 0.5)
STOCHASTIC = [EulerMaruyama(), ReverseDiffusion(), Ancestral(), Ancestral(variance="transition")]
DETERMINISTIC = [EulerMaruyama(probability_flow=True), ReverseDiffusion(probability_flow=True)]
LADDERS = [ReverseDiffusion(ladder=True), ReverseDiffusion(ladder=True, probability_flow=True), Ancestral(ladder=True)]


def name(component):
    return "_".join([component.name, *(str(getattr(component, f)) for f in ("probability_flow", "variance") if hasattr(component, f))])


def law(sde, t):
    """(mean, variance) of x_t."""
    return sde.alpha(t) * float(DATA.mu), DATA.std(sde, t) ** 2


def affine(step):
    """(a, b, std^2) of a step that was taken at the points 0 and 1."""
    low, high = step.mean.flatten().tolist()
    return high - low, low, step.std**2


def carried(sde, predictor, intervals, corrector=None, corrections=1):
    """(mean, variance) of a run's samples."""
    points, noise, reverse = torch.tensor([[0.0], [1.0]], dtype=torch.float64), BatchNoise(), Reverse(sde, DATA.score(sde))
    mean, variance = law(sde, intervals[0].t)
    for interval in intervals:
        maps = [affine(corrector.correct(reverse, points, interval.t, noise))] * corrections if corrector else []
        for a, b, square in [*maps, affine(predictor.step(reverse, points, interval, None, noise))]:
            mean, variance = a * mean + b, a**2 * variance + square
    return mean, variance


def slope(errors):
    """The order of convergence between grids of which each has twice the steps of the one before."""
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


def second_moment_errors(sde, predictor, end):
    mean, variance = law(sde, end)
    errors = []
    for count in (250, 500, 1000, 2000):
        m, v = carried(sde, predictor, Uniform(end=end).intervals(sde, count))
        errors.append(abs(v + m**2 - variance - mean**2))
    return errors


@pytest.mark.parametrize("predictor", STOCHASTIC, ids=name)
@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_weak_order_is_one(sde, predictor):
    errors = second_moment_errors(sde, predictor, 0.5)
    assert all(abs(order - 1) < 0.15 for order in slope(errors)), errors


@pytest.mark.parametrize("predictor", STOCHASTIC, ids=name)
@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_weak_order_holds_to_the_end(sde, predictor):
    """Euler-Maruyama under VE does better here: with u = sigma^2, h times the integral of (u - s^2) / (u + s^2)^3 du, its leading error,
    is the difference of -u / (u + s^2)^2 between the ends, and that is nearly 0 at both."""
    errors = second_moment_errors(sde, predictor, sde.sampling_end)
    most = 2.15 if sde.name == "ve" and predictor.name == "euler_maruyama" else 1.15
    assert all(0.85 < order < most for order in slope(errors)), errors
    assert errors[-1] < 2.5e-3


@pytest.mark.parametrize("predictor", DETERMINISTIC, ids=name)
@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_probability_flow_has_its_ode_order(sde, predictor):
    errors = []
    for count in (250, 500, 1000, 2000):
        errors.append(flow_error(sde, predictor, count))
    assert all(abs(order - predictor.ode_order) < 0.15 for order in slope(errors)), errors


def flow_error(sde, predictor, count):
    """The largest distance to the exact flow of the Gaussians, from three points to the end of sampling."""
    x = torch.tensor([[-1.3], [0.4], [1.1]], dtype=torch.float64) * sde.prior_std
    exact, reverse = DATA.flow(sde, x, sde.t_max, sde.sampling_end), Reverse(sde, DATA.score(sde))
    for interval in Uniform().intervals(sde, count):
        x = predictor.step(reverse, x, interval, None, BatchNoise()).x
    return float((x - exact).abs().max())


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_ode_error_follows_the_tolerance(sde, count):
    """Measured 0.3 to 31 times the tolerance."""
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        assert flow_error(sde, ODE(rtol=tolerance, atol=tolerance), count) < 50 * tolerance


@pytest.mark.parametrize("predictor", LADDERS, ids=name)
@pytest.mark.parametrize("kind", [VE, VP, SubVP], ids=lambda kind: kind.name)
def test_published_chains_converge_as_their_levels_grow(kind, predictor):
    """To the data themselves: the last published step goes past t = 0. Sub-VP has no published chain: its ladder takes Euler steps."""
    errors = []
    for levels in (250, 500, 1000, 2000):
        sde = kind(levels=levels)
        m, v = carried(sde, predictor, Published(end=1e-6).intervals(sde, levels))
        errors.append(abs(v - DATA.s**2) + abs(m - float(DATA.mu)))
    assert all(abs(order - 1) < 0.15 for order in slope(errors)), errors


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: sde.name)
def test_correcting_alone_approaches_the_law_as_corrections_grow(sde):
    """Annealed Langevin dynamics (no predictor) lags behind the falling noise: least under VE, for which it was made, and most under
    sub-VP, where sigma, and with it the step, falls fastest. The final error of mean and relative variance is 0.001, 0.003 and 0.03."""
    intervals = Uniform(end=0.01).intervals(sde, 200)
    mean, variance = law(sde, intervals[-1].t)
    errors = []
    for corrections in (3, 10, 30, 100, 300):
        m, v = carried(sde, NoPredictor(), intervals, AnnealedLangevin(snr=0.3), corrections)
        errors.append(abs(m - mean) + abs(v / variance - 1))
    assert all(fine < coarse for coarse, fine in itertools.pairwise(errors)), errors
    assert errors[-1] < {"ve": 0.001, "vp": 0.004, "sub_vp": 0.035}[sde.name]
