"""Dequantisation: bounds of discrete probabilities that are known exactly, by the error function and by quadrature.

Data on levels, not dequantised, have at t_min the density sum_k w_k N(alpha c_k, sigma^2): the probability of a bin is a sum of differences
of Phi, and the slacks of the bounds are integrals over one bin.
"""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scoresde.core import DataSpec, Mixture, SeededNoise
from scoresde.core.dequantisation import Diffused, bin_width, combine, combined_error, dequantise
from scoresde.core.testing.statistics import BatchNoise
from scoresde.plugins import VE, VP, SubVP

SPEC = DataSpec(shape=(1,), range=(-1.0, 1.0), levels=9)
PLANE = DataSpec(shape=(2,), range=(-1.0, 1.0), levels=5)
DRAWS = 200_000


def levels(spec: DataSpec, count: int, item: int) -> Tensor:
    return torch.full((count, *spec.shape), item, dtype=torch.uint8)


def discrete(spec: DataSpec, weights: Tensor) -> Mixture:
    """The law of data that lie on the levels of the line, as a model sees them without dequantisation."""
    points = spec.scale(torch.arange(spec.levels or 0)[:, None])
    return Mixture(weights, points, torch.zeros(len(points), 1, 1))


def phi(x: Tensor) -> Tensor:
    return torch.special.ndtr(x)


def exact(law: Mixture, at: Diffused, low: float, high: float) -> float:
    """log P of the interval under the law at t_min, in one dimension."""
    std = (at.alpha**2 * law.covariances[:, 0, 0] + at.sigma**2).sqrt()
    mean = at.alpha * law.means[:, 0]
    return float((law.weights * (phi((high - mean) / std) - phi((low - mean) / std))).sum().log())


def draws(spec: DataSpec, law: Mixture, at: Diffused, item: int, truncated: bool, count: int = DRAWS) -> Tensor:
    """log p / q of many draws of one item, (count,)."""
    noise = BatchNoise(item)
    x, log_q = dequantise(spec, levels(spec, count, item), noise, at if truncated else None)
    return law.log_prob(x, at.alpha, at.sigma) - log_q


def slack_of_uniform(tau: float) -> float:
    """KL(uniform || standard normal within |z| < tau), in nats."""
    return -math.log(2 * tau) + 0.5 * math.log(2 * math.pi) + math.log(math.erf(tau / math.sqrt(2))) + tau**2 / 6


def slack_of_normal(tau: float) -> float:
    """KL(standard normal within |z| < tau || uniform), in nats."""
    mass = math.erf(tau / math.sqrt(2))
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(mass) - tau * math.exp(-0.5 * tau**2) / (math.sqrt(2 * math.pi) * mass)
    return math.log(2 * tau) - entropy


@pytest.mark.parametrize("tau", [1e-6, 0.3, 1.0, 3.0, 8.0, 60.0])
def test_the_truncated_normal_is_one(tau: float) -> None:
    """Its draws lie in the bin, their moments are those of the law, and their densities integrate to one over the bin."""
    alpha = 0.9
    at = Diffused(alpha, alpha * 0.125 / tau, points=True)
    x, log_q = dequantise(SPEC, levels(SPEC, DRAWS, 3), BatchNoise(), at)
    z = (x[:, 0].double() - alpha * (-1 + 2 * 3 / 8)) / at.sigma
    slop = 1e-7 / at.sigma  # float32
    assert float(z.abs().max()) <= tau + slop
    mass = math.erf(tau / math.sqrt(2))
    variance = 1 - 2 * tau * math.exp(-0.5 * tau**2) / (math.sqrt(2 * math.pi) * mass) if tau > 1e-3 else tau**2 / 3
    assert float(z.mean()) == pytest.approx(0, abs=5 * (variance / DRAWS) ** 0.5)
    assert float(z.square().mean()) == pytest.approx(variance, rel=0.02, abs=slop**2)
    assert float((log_q + 0.5 * z.square()).std()) == pytest.approx(0, abs=1e-9)
    if tau <= 1:  # E_q[1 / q] is the length of the bin, with few draws enough where q is nearly flat
        inverse = (-log_q).exp()
        assert float(inverse.mean()) == pytest.approx(bin_width(SPEC, at), abs=5 * float(inverse.std()) / DRAWS**0.5 + 1e-6)


def test_uniform_draws_are_those_of_training() -> None:
    items = torch.arange(9, dtype=torch.uint8)[:, None]
    x, log_q = dequantise(SPEC, items, SeededNoise(0, range(9), "data"))
    assert torch.equal(x, SPEC.scale(items, SeededNoise(0, range(9), "data")))
    assert log_q.tolist() == pytest.approx([-math.log(2 / 9)] * 9)
    assert bin_width(SPEC) == 2 / 9


def test_data_without_levels_are_used_as_they_are() -> None:
    spec = DataSpec(shape=(2,))
    x, log_q = dequantise(spec, torch.tensor([[0.3, -2.0]]), BatchNoise(), Diffused(0.9, 0.1, points=True))
    assert x.tolist() == [[pytest.approx(0.3), -2.0]]
    assert (log_q.tolist(), bin_width(spec, Diffused(0.9, 0.1, points=True))) == ([0.0], 1.0)


@pytest.mark.parametrize("points", [True, False])
def test_bins_do_not_overlap_and_leave_no_gap(points: bool) -> None:
    """Neighbouring draws with tau so small that they fill their bins."""
    at = Diffused(0.8, 1e3, points=points)
    ends = []
    for item in range(9):
        x = dequantise(SPEC, levels(SPEC, 20_000, item), BatchNoise(item), at).x
        ends.append((float(x.min()), float(x.max())))
    width = bin_width(SPEC, at)
    assert width == pytest.approx(0.8 * 2 / (8 if points else 9))
    for (low, high), (following, _) in itertools.pairwise(ends):
        assert high == pytest.approx(low + width, abs=1e-3 * width)
        assert following == pytest.approx(high, abs=1e-3 * width)
    assert ends[0][0] == pytest.approx(-0.8 - (width / 2 if points else 0), abs=1e-3 * width)


@pytest.mark.parametrize("tau", [1.5, 3.0, 6.0])
def test_of_data_on_levels_the_normal_bound_is_exact_and_the_uniform_one_is_not(tau: float) -> None:
    """With isolated levels p in a bin is the truncated normal itself: the slack of the first bound is what neighbours' tails bring, that of
    uniform noise (whose bin around this level is narrower by 8/9) the divergence of the two laws."""
    weights = torch.tensor([1.0, 2, 3, 4, 5, 4, 3, 2, 1])
    law, alpha = discrete(SPEC, weights), 0.95
    at = Diffused(alpha, alpha * 0.125 / tau, points=True)
    item, half = 4, alpha * 0.125  # in the middle of the range, where both bins are about the same point
    truth = exact(law, at, -half, half)
    log_weights = draws(SPEC, law, at, item, truncated=True)
    bound, error = float(log_weights.mean()), float(log_weights.std()) / DRAWS**0.5
    grid = torch.linspace(-half, half, 20_001, dtype=torch.float64)
    z = grid / at.sigma
    log_q = -0.5 * z**2 - math.log(math.sqrt(2 * math.pi) * at.sigma * math.erf(tau / math.sqrt(2)))
    log_p = law.log_prob(grid[:, None], at.alpha, at.sigma)
    expected = float(torch.trapezoid(log_q.exp() * (log_p - log_q), grid))
    assert bound == pytest.approx(expected, abs=5 * error + 1e-6)
    assert bound <= truth + 5 * error
    assert truth - expected == pytest.approx(0, abs={1.5: 0.1, 3.0: 2e-3, 6.0: 1e-6}[tau])

    uniform = draws(SPEC, law, at, item, truncated=False)
    slack, error = exact(law, at, -1 / 9, 1 / 9) - float(uniform.mean()), float(uniform.std()) / DRAWS**0.5
    assert slack > 1.5 * (truth - expected)
    if tau >= 3:  # neighbours hardly reach the bin
        assert slack == pytest.approx(slack_of_uniform((1 / 9) / at.sigma), abs=5 * error + {3.0: 5e-3, 6.0: 1e-6}[tau])


def test_of_flat_data_the_uniform_bound_is_exact_and_the_normal_one_is_not() -> None:
    """A law that is nearly flat in the bins, as that of a model of dequantised data."""
    law, tau = Mixture(torch.ones(1), torch.zeros(1, 1), 100.0 * torch.eye(1)[None]), 3.0
    at = Diffused(1.0, 1 / 9 / tau, points=False)
    truth = exact(law, at, -1 / 9, 1 / 9)
    uniform, normal = (draws(SPEC, law, at, 4, truncated=truncated) for truncated in (False, True))
    assert float(uniform.mean()) == pytest.approx(truth, abs=1e-4)
    assert truth - float(normal.mean()) == pytest.approx(slack_of_normal(tau), abs=5 * float(normal.std()) / DRAWS**0.5)


@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.parametrize("sde", [VP(t_min=1e-2), SubVP(t_min=0.1), VE(sigma_min=0.05)], ids=lambda sde: sde.name)
def test_both_bounds_lie_below_the_probability_and_more_draws_come_nearer(sde: VP | SubVP | VE, truncated: bool) -> None:
    """In the plane, where log P is by quadrature."""
    law = Mixture(
        torch.tensor([0.3, 0.7]),
        torch.tensor([[-0.5, 0.4], [0.5, 0.0]]),
        torch.tensor([[[0.02, 0.01], [0.01, 0.05]], [[0.001, 0.0], [0.0, 0.002]]]),
    )
    at = Diffused(float(sde.alpha(sde.t_min)), float(sde.sigma(sde.t_min)), points=True)
    item = torch.tensor([3, 2], dtype=torch.uint8)
    middle = at.alpha * PLANE.scale(item[None])[0].double() if truncated else -1 + 2 / 5 * (item.double() + 0.5)
    half = 0.5 * bin_width(PLANE, at if truncated else None)
    truth = quadrature(lambda x: law.log_prob(x, at.alpha, at.sigma), middle, half)
    x, log_q = dequantise(PLANE, item.expand(DRAWS, 2), BatchNoise(5), at if truncated else None)
    log_weights = law.log_prob(x, at.alpha, at.sigma) - log_q
    before = -math.inf
    for count in (1, 2, 4, 16, 100):
        values = combine(log_weights.reshape(-1, count), "importance")
        error = float(values.std()) / len(values) ** 0.5
        assert before < float(values.mean()) < truth + 5 * error, count
        before = float(values.mean())
        mean = combine(log_weights.reshape(-1, count), "mean")
        assert float(mean.mean()) == pytest.approx(float(log_weights.mean()), abs=1e-9)
    assert before == pytest.approx(truth, abs=0.1)
    assert float(log_weights.exp().mean().log()) == pytest.approx(truth, abs=5 * float((log_weights - truth).exp().std()) / DRAWS**0.5)


def quadrature(log_prob: Callable[[Tensor], Tensor], middle: Tensor, half: float, points: int = 801) -> float:
    """log of the integral over a square, by Simpson's rule."""
    line = torch.linspace(-half, half, points, dtype=torch.float64)
    weights = torch.ones(points, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    weights *= 2 * half / (points - 1) / 3
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2) + middle
    return float((log_prob(grid).exp().reshape(points, points) * torch.outer(weights, weights)).sum().log())


def test_the_error_of_a_bound_is_its_spread() -> None:
    """Of 4,000 items with the same law of weights, the standard deviation of the bounds is the root mean square of their errors."""
    generator = torch.Generator().manual_seed(0)
    log_weights = 0.3 * torch.randn(4000, 50, dtype=torch.float64, generator=generator)
    none = torch.zeros_like(log_weights)
    for bound in ("mean", "importance"):
        values, errors = combine(log_weights, bound), combined_error(log_weights, none, bound)
        assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.05)
    shared = torch.full((4000, 50), 0.2, dtype=torch.float64)
    assert float(combined_error(log_weights, shared, "importance").min()) > 0.2
    assert combined_error(log_weights[:, :1], shared[:, :1], "mean").unique().tolist() == [0.2]
