"""Distances of any shape beside their floors: samples of the same law come as near as the floor, others do not."""

import pytest
import torch
from torch import Tensor

from scoresde.core import DataSpec, TensorItems
from scoresde.core.distances import energy_distance, sliced_wasserstein
from scoresde.core.noise import permutation
from scoresde.core.point_sets import NAMES, point_figures
from scoresde.core.sample_sets import SampleSet, of_items
from scoresde.core.testing import BatchNoise


def as_set(x: Tensor, source: str = "x") -> SampleSet:
    return of_items(TensorItems(DataSpec(shape=tuple(x.shape[1:])), {"x": x}), source)


@pytest.mark.parametrize("shape", [(2,), (1, 16)])
def test_perfect_samples_come_as_near_as_the_floor(shape: tuple[int, ...]) -> None:
    x, y = as_set(BatchNoise(1).normal((300, *shape))), as_set(BatchNoise(2).normal((600, *shape)))
    shifted = as_set(0.5 + BatchNoise(1).normal((300, *shape)))
    for right, wrong in zip(point_figures(x, y, NAMES, seed=0), point_figures(shifted, y, NAMES, seed=0), strict=True):
        floor, spread = right["protocol"]["floor"], right["protocol"]["floor_std"]
        assert (wrong["protocol"]["floor"], wrong["protocol"]["n"]) == (floor, 300)
        assert abs(right["value"] - floor) < 4 * spread
        assert wrong["value"] - floor > 10 * spread


def test_the_figures_are_the_distances_of_the_sets_that_they_name() -> None:
    x, y = BatchNoise(1).normal((50, 2)), BatchNoise(2).normal((31, 2))
    sliced, energy, mmd = point_figures(as_set(x, "runs/a"), as_set(y, "data"), NAMES, seed=4)
    held = y[permutation(4, 0, 31, "evaluation")[:15]]
    assert sliced["value"] == pytest.approx(sliced_wasserstein(x[:15], held, seed=4))
    assert energy["value"] == pytest.approx(energy_distance(x[:15], held))
    assert (sliced["std_error"], energy["std_error"] > 0, mmd["std_error"] > 0) == (None, True, True)
    assert energy["protocol"]["samples"] == {"source": "runs/a", "n": 50, "digest": as_set(x).digest, "used": 15}
    assert energy["protocol"]["reference"] == {"source": "data", "n": 31, "digest": as_set(y).digest, "used": 15}
    assert (mmd["protocol"]["kernel"], mmd["protocol"]["squared"]) == (
        "mean of Gaussians of half, one and two median distances of held-out items",
        True,
    )


def test_items_with_levels_are_compared_in_the_models_range() -> None:
    spec = DataSpec(shape=(1,), range=(-1.0, 1.0), levels=3)
    items = of_items(TensorItems(spec, {"x": torch.tensor([[0], [1], [2], [1]])}), "data")
    (figure,) = point_figures(items, items, ["sliced_wasserstein"], seed=0)
    assert figure["protocol"]["n"] == 2
    assert figure["value"] <= 2.0


def test_too_few_items() -> None:
    message = r"^distances need two samples and four items to compare with, or more: there are 5 samples and 3 items$"
    with pytest.raises(ValueError, match=message):
        point_figures(as_set(torch.zeros(5, 1)), as_set(torch.zeros(3, 1)), ["mmd"], seed=0)
