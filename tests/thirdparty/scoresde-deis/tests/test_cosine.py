"""The cosine SDE: its closed forms held to each other, to arithmetic with 50 digits, and to the published schedule."""

import math
from decimal import Decimal, getcontext

import pytest
import torch
from scoresde_deis import Cosine

from scoresde.core import SeededNoise

getcontext().prec = 50
PI = Decimal("3.14159265358979323846264338327950288419716939937510582")
SDES = [Cosine(), Cosine(offset=0.001), Cosine(offset=0.3, levels=40)]
TIMES = [1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.37, 0.8, 0.99, 0.9946]
by_sde = pytest.mark.parametrize("sde", SDES, ids=repr)


def cosine(angle: Decimal) -> Decimal:
    """By its power series."""
    total, term, number = Decimal(0), Decimal(1), 0
    while abs(term) > Decimal("1e-48"):
        total, number = total + term, number + 2
        term *= -angle * angle / (number * (number - 1))
    return total


def alpha(sde: Cosine, t: float) -> Decimal:
    """From the definition; t is the double that the code is given."""
    offset = Decimal(sde.offset)
    return cosine(PI / 2 * (Decimal(t) + offset) / (1 + offset)) / cosine(PI / 2 * offset / (1 + offset))


def off(value: float, exact: Decimal) -> float:
    return float(abs(Decimal(value) / exact - 1))


@by_sde
@pytest.mark.parametrize("t", TIMES)
def test_marginal_against_50_digits(sde: Cosine, t: float) -> None:
    exact = alpha(sde, t)
    sigma = (1 - exact**2).sqrt()
    assert off(sde.alpha(t), exact) < 1e-14
    assert off(sde.sigma(t), sigma) < 1e-14
    assert abs(Decimal(sde.log_snr(t)) - 2 * (exact / sigma).ln()) < Decimal("1e-13")


@by_sde
@pytest.mark.parametrize("s", [1e-5, 0.01, 0.37, 0.9])
@pytest.mark.parametrize("gap", [1e-9, 1e-6, 1e-3, 0.05])
def test_transition_against_50_digits(sde: Cosine, s: float, gap: float) -> None:
    """Exact but for the rounding of t - s itself."""
    t = s + gap
    ratio, std = sde.transition(t, s)
    exact = alpha(sde, t) / alpha(sde, s)
    assert off(ratio, exact) < 1e-14
    assert off(std, (1 - exact**2).sqrt()) < 1e-14 + 1e-16 / gap


@by_sde
@pytest.mark.parametrize("t", TIMES)
def test_transition_over_no_time_is_the_identity(sde: Cosine, t: float) -> None:
    assert sde.transition(t, t) == (1.0, 0.0)


@by_sde
def test_marginals_obey_drift_and_diffusion(sde: Cosine) -> None:
    """d alpha / dt = r alpha and d sigma^2 / dt = 2 r sigma^2 + g^2, with exact derivatives."""
    t = torch.tensor(TIMES, dtype=torch.float64, requires_grad=True)
    alphas, square = torch.as_tensor(sde.alpha(t)), torch.as_tensor(sde.sigma(t)) ** 2
    rate, diffusion = torch.as_tensor(sde.rate(t)), torch.as_tensor(sde.diffusion(t))
    (slope,) = torch.autograd.grad(alphas.sum(), t, retain_graph=True)
    assert torch.allclose(slope, rate * alphas, rtol=1e-12)
    (slope,) = torch.autograd.grad(square.sum(), t, retain_graph=True)
    assert torch.allclose(slope, 2 * rate * square + diffusion**2, rtol=1e-11, atol=1e-11)
    (slope,) = torch.autograd.grad(torch.as_tensor(sde.log_snr(t)).sum(), t)
    assert torch.allclose(-slope, diffusion**2 / square, rtol=1e-11)


@by_sde
def test_time_inverts_log_snr(sde: Cosine) -> None:
    """To 1e-12 of t where double precision determines it by its log-SNR, whose slope is -(g / sigma)^2."""
    grid = torch.logspace(-5, math.log10(sde.t_max), 200, dtype=torch.float64)
    log_snr = torch.as_tensor(sde.log_snr(grid))
    assert bool((log_snr.diff() < 0).all())
    slope = (torch.as_tensor(sde.diffusion(grid)) / torch.as_tensor(sde.sigma(grid))) ** 2
    bound = 1e-12 * grid + 2e-15 * log_snr.abs().clamp(min=1) / slope
    assert bool(((torch.as_tensor(sde.time(log_snr)) - grid).abs() < bound).all())


@by_sde
def test_floats_and_tensors_agree(sde: Cosine) -> None:
    times = torch.tensor(TIMES, dtype=torch.float64)
    for function in (sde.alpha, sde.sigma, sde.rate, sde.diffusion, sde.log_snr, lambda t: sde.time(sde.log_snr(t))):
        values = function(times)
        assert isinstance(values, torch.Tensor)
        assert values.dtype == torch.float64
        single = [function(t) for t in TIMES]
        assert all(isinstance(value, float) for value in single)
        assert torch.allclose(values, torch.tensor(single, dtype=torch.float64), rtol=1e-14, atol=0)


def published_betas(count: int, offset: float) -> list[float]:
    """1 - f((i + 1) / N) / f(i / N), at most 0.999, with f(t) = cos(pi/2 (t + s) / (1 + s))^2 (Nichol & Dhariwal, 2021, eq. 17)."""

    def f(t: float) -> float:
        return math.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2

    return [min(1 - f((i + 1) / count) / f(i / count), 0.999) for i in range(count)]


@by_sde
def test_the_ladder_is_the_published_chain(sde: Cosine) -> None:
    """Its steps, and the marginals that they make."""
    ladder, product = sde.ladder(), 1.0
    x = torch.ones(1, 3, dtype=torch.float64)
    for level, beta in enumerate(published_betas(sde.levels, sde.offset)):
        t = float(ladder.time(level))
        shift, std = ladder.step(x, t)
        assert float(ladder.index(t)) == float(ladder.label(t)) == level
        assert abs(float(std) ** 2 - beta) < 1e-10
        assert torch.allclose(x + shift, math.sqrt(1 - beta) * x, atol=1e-9)
        assert abs(float(ladder.alpha(t)) - (1 - beta)) < 1e-10
        product *= 1 - beta
        kernel = ladder.kernel(t)
        assert abs(float(kernel[0]) ** 2 - product) < 1e-10
        assert abs(float(kernel[1]) ** 2 - (1 - product)) < 1e-10


@by_sde
def test_the_ladder_takes_tensors(sde: Cosine) -> None:
    ladder, times = sde.ladder(), torch.tensor([0.0, 0.2, 0.9946, 1.0], dtype=torch.float64)
    for function in (ladder.std, ladder.alpha, lambda t: ladder.kernel(t)[0], lambda t: ladder.kernel(t)[1]):
        values = torch.as_tensor(function(times))
        assert torch.allclose(values, torch.tensor([function(float(t)) for t in times], dtype=torch.float64), rtol=1e-12, atol=0)


def test_prior_is_standard_normal_and_near_the_marginal_at_the_end() -> None:
    sde = Cosine()
    z = sde.prior_sample((4000, 2), SeededNoise(0, range(4000), "sample"), dtype=torch.float64)
    assert abs(float(z.square().mean()) - 1) < 3.5 * (2 / z.numel()) ** 0.5
    assert float(sde.prior_log_prob(torch.zeros(1, 2, dtype=torch.float64))) == pytest.approx(-math.log(2 * math.pi), rel=1e-15)
    assert float(sde.alpha(sde.t_max)) == pytest.approx(0.00841, abs=1e-5)
    assert float(sde.alpha(sde.t_max)) ** 2 + float(sde.sigma(sde.t_max)) ** 2 == pytest.approx(1, rel=1e-15)
