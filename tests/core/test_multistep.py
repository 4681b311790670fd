"""Exponential Adams steps: exact where the values are polynomials in lambda, and in law where noise is added."""

import itertools
import math

import pytest
import torch
from scipy.integrate import quad

from scoresde.core import Interval, Reverse, Score
from scoresde.core.multistep import Along, advance, begin, half_log_snr, update
from scoresde.core.testing import BatchNoise
from scoresde.plugins.grid.log_snr import LogSNR
from scoresde.plugins.grid.uniform import Uniform
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

by_sde = pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@by_sde
def test_noise_that_is_a_polynomial_in_lambda_is_followed_exactly(sde, count):
    """x_s / alpha_s - x_t / alpha_t is minus the integral of e^-lambda times the polynomial."""
    t, s, nodes = 0.5, 0.4, [0.5, 0.57, 0.61, 0.72][:count]

    def polynomial(lam):
        return 0.3 + sum(lam**power / (1 + power) for power in range(1, count))

    step = update(sde, t, s, nodes, "noise")
    values = [torch.full((1, 1), polynomial(half_log_snr(sde, node)), dtype=torch.float64) for node in nodes]
    found = float(step(torch.full((1, 1), 1.7, dtype=torch.float64), values))
    integral = quad(lambda lam: math.exp(-lam) * polynomial(lam), half_log_snr(sde, t), half_log_snr(sde, s), epsabs=1e-14)[0]
    assert found == pytest.approx(sde.alpha(s) * (1.7 / sde.alpha(t) - integral), rel=1e-11)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@by_sde
def test_noise_that_is_a_polynomial_in_the_angle_is_followed_exactly(sde, count):
    t, s, nodes = 0.5, 0.4, [0.5, 0.57, 0.61, 0.72][:count]

    def polynomial(lam):
        return 0.3 + sum(math.atan(math.exp(-lam) / 2) ** power / (1 + power) for power in range(1, count))

    step = update(sde, t, s, nodes, "noise", along=Along("angle", 2.0))
    values = [torch.full((1, 1), polynomial(half_log_snr(sde, node)), dtype=torch.float64) for node in nodes]
    found = float(step(torch.full((1, 1), 1.7, dtype=torch.float64), values))
    integral = quad(lambda lam: math.exp(-lam) * polynomial(lam), half_log_snr(sde, t), half_log_snr(sde, s), epsabs=1e-14)[0]
    assert found == pytest.approx(sde.alpha(s) * (1.7 / sde.alpha(t) - integral), rel=1e-11)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
@by_sde
def test_with_a_constant_denoised_mean_every_tau_has_the_marginal(sde, tau):
    """x_t = alpha_t m + sigma_t z goes to alpha_s m + sigma_s z' in law: the mean exactly, and the variances add up."""
    t, s, m = 0.6, 0.2, 0.8
    step = update(sde, t, s, [t], "denoised", tau)
    mean = step.scale * sde.alpha(t) * m + step.weights[0] * m
    assert mean == pytest.approx(sde.alpha(s) * m, rel=1e-11)
    assert (step.scale * sde.sigma(t)) ** 2 + step.std**2 == pytest.approx(sde.sigma(s) ** 2, rel=1e-12)


@pytest.mark.parametrize("tau", [0.0, 1.0, 6.0, 30.0, 100.0, 1000.0])
@pytest.mark.parametrize("count", [1, 20])
def test_the_weights_of_every_tau_are_exact(count, tau):
    """Their sum and their first moment are integrals in closed form: of e^(r (lambda - lambda_s)), and lambda times it, r = 1 + tau^2."""
    sde, rate = VP(), 1 + tau**2
    intervals = LogSNR().intervals(sde, count)
    for interval in intervals:
        t, s, index, _ = interval
        first, last = half_log_snr(sde, t), half_log_snr(sde, s)
        left, alpha = math.exp(-rate * (last - first)), float(sde.alpha(s))
        total, moment = alpha * (1 - left), alpha * (last - 1 / rate - (first - 1 / rate) * left)
        assert update(sde, t, s, [t], "denoised", tau).weights == (pytest.approx(total, rel=1e-7),)
        nodes = [one.t for one in reversed(intervals[: index + 1])][:3]
        weights = update(sde, t, s, nodes, "denoised", tau).weights
        assert sum(weights) == pytest.approx(total, rel=1e-7)
        if len(nodes) > 1:
            places = [half_log_snr(sde, node) for node in nodes]
            assert sum(w * place for w, place in zip(weights, places, strict=True)) == pytest.approx(moment, abs=1e-6)


def test_tau_of_one_is_the_reverse_sde():
    """Ancestral sampling's variance: sigma_ts^2 sigma_s^2 / sigma_t^2, which is that of p(x_s | x_t, x_0)."""
    sde = VP()
    t, s = 0.6, 0.2
    std = update(sde, t, s, [t], "denoised", 1.0).std
    assert std == pytest.approx(sde.transition(t, s)[1] * sde.sigma(s) / sde.sigma(t), rel=1e-12)


def test_a_correction_makes_the_step_again_with_its_noise():
    """By hand: the second step starts from the first's beginning, the value at its end joined, and the same noise added."""
    sde = VP()
    reverse = Reverse(sde, Score(sde, lambda x, t: 0.3 * x, "denoised", time=None))
    grid = [Interval(0.6, 0.5, 0, 2), Interval(0.5, 0.4, 1, 2)]
    x = torch.tensor([[0.4, -1.0]], dtype=torch.float64)
    history, noise = begin(sde, grid, 1, "denoised", tau=1.0, correct=True), BatchNoise(0)
    first = advance(history, reverse, x, grid[0], noise)
    second = advance(first.state, reverse, first.x, grid[1], noise)
    drawn = first.x - first.mean
    corrected = update(sde, 0.6, 0.5, [0.5, 0.6], "denoised", 1.0)(x, [0.3 * first.x, 0.3 * x]) + drawn
    expected = update(sde, 0.5, 0.4, [0.5], "denoised", 1.0)(corrected, [0.3 * first.x])
    torch.testing.assert_close(second.mean, expected, rtol=1e-12, atol=1e-12)


def test_a_long_step_with_noise_uses_one_value():
    sde = VP()
    grid = [Interval(0.6, 0.5, 0, 3), Interval(0.5, 0.4, 1, 3), Interval(0.4, 0.01, 2, 3)]
    assert [len(step.weights) for step in begin(sde, grid, 3, "denoised", tau=1.0).plan.steps] == [1, 2, 1]
    assert [len(step.weights) for step in begin(sde, grid, 3, "denoised").plan.steps] == [1, 2, 3]


def amplified(step):
    return sum(map(abs, step.weights)) / abs(sum(step.weights))


def test_equal_steps_amplify_as_they_do():
    """1, 2, 11/3 and 20/3 through 1 to 4 values, where the kernel of the integral hardly changes within a step."""
    sde = VP()
    times = [float(sde.time(2 * (0.5 - 0.002 * i))) for i in range(6)][::-1]
    grid = [Interval(t, s, i, 5) for i, (t, s) in enumerate(itertools.pairwise(times))]
    found = [amplified(step) for step in begin(sde, grid, 4, "noise").plan.steps]
    assert found == pytest.approx([1, 2, 11 / 3, 20 / 3, 20 / 3], rel=0.02)


@pytest.mark.parametrize("most", [1.0, 1.5, 2.5, 5.0])
def test_no_step_amplifies_more_than_it_may(most):
    """The sum of the weights, which a constant value is multiplied by, stays; one that may amplify less goes through what it may."""
    sde = VP()
    grid = Uniform().intervals(sde, 8)
    free, bound = (begin(sde, grid, 4, "denoised", correct=True, amplification=each).plan for each in (math.inf, most))
    for row, (one, other) in enumerate(zip(free.steps, bound.steps, strict=True)):
        assert sum(other.weights) == pytest.approx(sum(one.weights), rel=1e-12)
        assert amplified(other) <= most + 1e-12
        if amplified(one) <= most:
            assert other == one
        correction = bound.corrections[row]
        assert correction is None or len(correction.weights) == len(other.weights) + 1
    assert max(map(amplified, bound.steps)) > 0.7 * most
