"""The classifier extractor: what it learns, that its seed alone decides, and what it refuses."""

import pytest
import torch

from scoresde.core import DataSpec, TensorItems
from scoresde.plugins import Classifier, Digits


def test_it_learns_the_digits() -> None:
    """An eighth of its steps is enough for nine in ten held-out digits."""
    classifier, data = Classifier(steps=125, batch=64), Digits()
    network, test = classifier.build(data.open("train").spec), data.open("test")
    classifier.fit(network, data.open("train"), lambda done, total: None)
    with torch.no_grad():
        found = network(test.spec.to_bytes(test.batch(range(len(test)))["x"]))
    assert {name: tuple(value.shape) for name, value in found.items()} == {"features": (297, 64), "logits": (297, 10)}
    assert float((found["logits"].argmax(1) == test.labels).float().mean()) > 0.9
    train = data.open("train")
    with torch.no_grad():
        features = network(train.spec.to_bytes(train.batch(range(1500))["x"]))["features"].double()
    torch.testing.assert_close(features.mean(0), torch.zeros(64, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(features.std(0), torch.ones(64, dtype=torch.float64), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("shape", "places"), [((1, 8, 8), 64 * 4), ((1, 28, 28), 64 * 16), ((3, 32, 32), 64 * 16), ((3, 64, 48), 64 * 12), ((1, 3, 3), 64)]
)
def test_convolutions_go_down_to_a_side_of_four(shape: tuple[int, int, int], places: int) -> None:
    network = Classifier(features=5).build(DataSpec(shape=shape, range=(-1.0, 1.0), levels=256, classes=3))
    assert network.features.in_features == places
    x = torch.zeros(2, *shape, dtype=torch.uint8)
    assert {name: tuple(value.shape) for name, value in network(x).items()} == {"features": (2, 5), "logits": (2, 3)}


def test_the_seed_alone_decides_the_first_weights() -> None:
    spec = Digits().open("train").spec
    first, again, other = (Classifier(seed=seed).build(spec).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classes.weight"], other["classes.weight"])


def test_more_pictures_a_step_than_there_are() -> None:
    spec = DataSpec(shape=(1, 8, 8), range=(-1.0, 1.0), levels=256, classes=2)
    items = TensorItems(spec, {"x": torch.zeros(3, 1, 8, 8, dtype=torch.uint8)}, labels=torch.tensor([0, 1, 0]))
    steps = []
    classifier = Classifier(steps=4, batch=128)
    classifier.fit(classifier.build(spec), items, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_data_without_classes_are_refused() -> None:
    digits = Digits().open("train")
    bare = TensorItems(digits.spec, digits.tensors)
    with pytest.raises(ValueError, match=r"^learns the classes of the data, and these have no labels$"):
        Classifier().check(bare)
    single = TensorItems(digits.spec, digits.tensors, labels=torch.zeros(1500, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^learns the classes of the data, and these have a single one$"):
        Classifier().check(single)
    with pytest.raises(ValueError, match=r"^learns the classes of the data, and these have none$"):
        Classifier().build(DataSpec(shape=(1, 8, 8)))
