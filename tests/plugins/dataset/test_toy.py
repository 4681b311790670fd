import math

import pytest
import torch

from scoresde.core import DataSpec
from scoresde.plugins.dataset.toy import Toy

FIGURES = ["moons", "circles", "swiss_roll"]


@pytest.mark.parametrize("figure", FIGURES)
def test_training_points_are_standardised_and_the_seed_decides_them(figure: str) -> None:
    toy = Toy(figure=figure, count=500, seed=3)
    x = toy.open("train").batch(range(500))["x"]
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.mean(0), torch.zeros(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(2), rtol=1e-6, atol=0)
    torch.testing.assert_close(toy.open("train").batch(range(500))["x"], x, rtol=0, atol=0)
    others = (toy.open("test"), Toy(figure=figure, count=500, seed=4).open("train"))
    assert all(float((other.batch(range(500))["x"] - x).abs().max()) > 0.1 for other in others)


@pytest.mark.parametrize("split", ["train", "test"])
def test_circles_without_noise_have_radii_one_and_a_half(split: str) -> None:
    """Standardised, with equally many points on each circle, of variance (1 + 1/4) / 4 a coordinate."""
    items = Toy(figure="circles", count=400, noise=0.0).open(split)
    radii = items.batch(range(400))["x"].double().norm(dim=1) * math.sqrt(1.25 / 4)
    torch.testing.assert_close(radii, torch.where(items.labels == 0, 1.0, 0.5).double(), rtol=1e-5, atol=0)
    assert items.labels.bincount().tolist() == [200, 200]


def test_moons_without_noise_are_half_circles_in_the_scale_of_the_training_points() -> None:
    train, test = (Toy(figure="moons", count=300, noise=0.0).open(split) for split in ("train", "test"))
    x, y = (items.batch(range(300))["x"].double() for items in (train, test))
    order, other = ((points[:, 0] + 10 * items.labels).argsort() for points, items in ((x, train), (y, test)))
    torch.testing.assert_close(x[order], y[other], rtol=0, atol=1e-5)
    upper = x[train.labels == 0]
    centre, radius = (upper[:, 0].amax() + upper[:, 0].amin()) / 2, (upper[:, 0].amax() - upper[:, 0].amin()) / 2
    height = upper[:, 1].amax() - upper[:, 1].amin()
    circle = ((upper[:, 0] - centre) / radius) ** 2 + ((upper[:, 1] - upper[:, 1].amin()) / height) ** 2
    torch.testing.assert_close(circle, torch.ones_like(circle), rtol=0, atol=1e-3)


def test_the_swiss_roll_is_a_spiral_seen_from_its_end() -> None:
    """r = t and the angle is t, 3 pi / 2 <= t <= 9 pi / 2, up to shift and scale: found again by least squares from sklearn's points."""
    from sklearn.datasets import make_swiss_roll

    from scoresde.core.noise import stream_seed

    points, _ = make_swiss_roll(200, noise=0.0, random_state=stream_seed(0, 0, "data"))
    plane = points[:, [0, 2]]
    expected = torch.from_numpy((plane - plane.mean(0)) / plane.std(0)).float()
    items = Toy(figure="swiss_roll", count=200, noise=0.0).open("train")
    torch.testing.assert_close(items.batch(range(200))["x"], expected, rtol=0, atol=1e-6)
    assert items.labels is None


def test_the_plane_has_neither_levels_nor_a_range() -> None:
    assert Toy(count=10).open("train").spec == DataSpec(shape=(2,), classes=2)
    assert Toy(count=10, figure="swiss_roll").open("test").spec == DataSpec(shape=(2,))


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^figure = 'spiral' is no choice: it must be one of 'moons', 'circles', 'swiss_roll'$"):
        Toy(figure="spiral")
