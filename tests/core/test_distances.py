"""Distances between sets of samples, against closed forms."""

import math

import pytest
import torch
from scipy import stats

from scoresde.core.distances import (
    discrepancy,
    distances,
    energy_distance,
    halves,
    median_distance,
    sliced_wasserstein,
    squared_mmd,
)
from scoresde.core.testing import BatchNoise


def test_on_the_line_it_is_the_wasserstein_distance() -> None:
    x, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[5.0], [6.0], [8.0]])
    assert sliced_wasserstein(x, y) == pytest.approx(5.0)
    assert sliced_wasserstein(x, x[torch.tensor([2, 0, 1])]) == 0.0


def test_sets_of_different_sizes() -> None:
    """Two points against three: pieces of 1/3, 1/6, 1/6, 1/3 of the quantile functions, with the differences 0, 1, 0, 3."""
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0], [5.0]])
    expected = math.sqrt((1 / 3) * 0 + (1 / 6) * 1 + (1 / 6) * 1 + (1 / 3) * 9)
    assert sliced_wasserstein(x, y) == pytest.approx(expected)
    doubled = torch.cat((x, x, x)), torch.cat((y, y))
    assert sliced_wasserstein(*doubled) == pytest.approx(expected)


def test_a_shift_is_seen_by_its_share_of_each_direction() -> None:
    """E (u . d)^2 = |d|^2 / D."""
    x = BatchNoise().normal((200, 2, 3))
    shift = torch.full((2, 3), 0.5)
    assert sliced_wasserstein(x, x + shift, directions=20_000) == pytest.approx(float(shift.norm()) / math.sqrt(6), rel=0.02)


def test_energy_distance_is_scipys() -> None:
    x, y = BatchNoise(1).normal((50, 1)), 0.3 + 2 * BatchNoise(2).normal((80, 1))
    expected = stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy()) ** 2  # scipy's is the root
    assert energy_distance(x, y) == pytest.approx(expected, rel=1e-6)
    assert energy_distance(x, x) == pytest.approx(0, abs=1e-12)


def test_mmd_of_two_pairs_of_points_by_hand() -> None:
    """x = {0, 1}, y = {3}: k at the distances 0, 1, 3 and 2."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]])
    k = [sum(math.exp(-((r / s) ** 2) / 2) for s in (1.0, 2.0, 4.0)) / 3 for r in (0.0, 1.0, 3.0, 2.0)]
    assert squared_mmd(x, y, width=2.0) == pytest.approx((2 * k[0] + 2 * k[1]) / 4 + k[0] - (k[2] + k[3]))
    assert squared_mmd(x, x, width=2.0) == pytest.approx(0, abs=1e-15)


def test_the_median_distance_is_that_of_different_items() -> None:
    assert median_distance(distances(*[torch.tensor([[0.0], [1.0], [3.0]])] * 2)) == 2.0
    assert median_distance(distances(*[torch.zeros(4, 1)] * 2)) == 1.0


def test_the_standard_error_is_the_spread_over_draws() -> None:
    values, errors = [], []
    for stream in range(200):
        x, y = BatchNoise(2 * stream).normal((40, 1)), 1 + BatchNoise(2 * stream + 1).normal((60, 1))
        found = discrepancy(*(-distances(*pair) for pair in ((x, x), (x, y), (y, y))))
        values.append(found.value)
        errors.append(found.std_error)
    assert sum(errors) / len(errors) == pytest.approx(float(torch.tensor(values).std()), rel=0.15)


def test_halves_are_all_the_places_once() -> None:
    found = halves(10, 3, seed=1)
    assert all(sorted(torch.cat(pair).tolist()) == list(range(10)) and len(pair[0]) == 5 for pair in found)
    assert len({tuple(one.tolist()) for one, _ in found}) == 3
