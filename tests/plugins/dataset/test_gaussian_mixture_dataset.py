import pytest
import torch

from scoresde.core import DataSpec, SeededNoise
from scoresde.plugins.dataset.gaussian_mixture import GaussianMixtureData

OPTIONS = {"weights": (1.0, 3.0), "means": ((-2.0, 0.0), (2.0, 1.0)), "covariances": (((0.2, 0.1), (0.1, 0.4)), ((0.3, 0.0), (0.0, 0.1)))}


def points(**options) -> torch.Tensor:
    items = GaussianMixtureData(**OPTIONS, **options).open("train")
    return items.batch(range(len(items)))["x"]


def test_the_items_carry_the_law_that_was_written() -> None:
    for split in ("train", "test"):
        items = GaussianMixtureData(**OPTIONS, count=3).open(split)
        assert items.spec == DataSpec(shape=(2,), classes=2)
        assert items.law.weights.tolist() == [0.25, 0.75]
        assert items.law.means.tolist() == [[-2.0, 0.0], [2.0, 1.0]]
        assert items.law.covariances.tolist() == [[[0.2, 0.1], [0.1, 0.4]], [[0.3, 0.0], [0.0, 0.1]]]


def test_the_points_have_the_moments_of_the_law() -> None:
    x = points(count=20_000).double()
    law = GaussianMixtureData(**OPTIONS).open("train").law
    torch.testing.assert_close(x.mean(0), law.mean(), rtol=0, atol=0.04)
    torch.testing.assert_close(torch.cov(x.T), law.covariance(), rtol=0.05, atol=0.03)


def test_each_point_has_a_stream_of_its_own_training_points_first() -> None:
    x = points(count=10, seed=5)
    torch.testing.assert_close(points(count=4, seed=5), x[:4], rtol=0, atol=0)
    held_out = GaussianMixtureData(**OPTIONS, count=4, seed=5).open("test").batch(range(4))["x"]
    torch.testing.assert_close(held_out, x[4:8], rtol=0, atol=0)
    noise = SeededNoise(5, range(10), "data")
    law = GaussianMixtureData(**OPTIONS).open("train").law
    torch.testing.assert_close(law.sample(noise.uniform((10,)), noise.normal((10, 2))).float(), x, rtol=0, atol=0)
    assert float((points(count=10, seed=6) - x).abs().min()) > 0


def test_labels_are_the_components() -> None:
    items = GaussianMixtureData(**OPTIONS, count=5000).open("test")
    x, labels = items.batch(range(5000))["x"].double(), items.labels
    assert abs(float(labels.double().mean()) - 0.75) < 4 * (0.1875 / 5000) ** 0.5
    for label in range(2):
        law = items.law.component(label)
        away = (x[labels == label].mean(0) - law.mean()) / law.covariance().diagonal().sqrt()
        assert float(away.abs().max()) < 4 / int((labels == label).sum()) ** 0.5


def test_wrong_parameters_are_refused_when_the_component_is_made() -> None:
    with pytest.raises(ValueError, match=r"^a mixture needs as many weights as means and covariances: there are 1, 2 and 2$"):
        GaussianMixtureData(**{**OPTIONS, "weights": (1.0,)})
