"""Classifier figures on the 8x8 digits: known accuracy, exact agreement with itself, and a verdict on noise."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from scoresde.core import DataSpec, TensorItems
from scoresde.core.evaluation import class_accuracy, classifier_agreement

SPEC = DataSpec(shape=(1, 8, 8), range=(-1.0, 1.0), levels=17, classes=10)


@pytest.fixture(scope="module")
def digits() -> tuple[TensorItems, TensorItems]:
    stored = load_digits()
    x, labels = torch.from_numpy(stored.images).long()[:, None], torch.from_numpy(stored.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return tuple(TensorItems(SPEC, {"x": x[rows]}, labels=labels[rows]) for rows in (order[:1500], order[1500:]))


def images(items: TensorItems) -> Tensor:
    return SPEC.scale(items.batch(range(len(items)))["x"])


def by_name(figures: list[dict]) -> dict[str, dict]:
    return {figure["name"]: figure for figure in figures}


def test_held_out_items_as_samples_give_identical_figures(digits: tuple[TensorItems, TensorItems]) -> None:
    train, test = digits
    found = by_name(classifier_agreement(images(test), train, test, seed=3))
    assert list(found) == [
        "classifier_accuracy_heldout",
        "classifier_top_probability_samples",
        "class_balance_samples",
        "classifier_top_probability_heldout",
        "class_balance_heldout",
    ]
    for name in ("classifier_top_probability", "class_balance"):
        one, other = dict(found[f"{name}_samples"]), dict(found[f"{name}_heldout"])
        del one["name"], other["name"]
        assert one == other
    accuracy = found["classifier_accuracy_heldout"]
    assert accuracy["value"] > 0.95
    assert accuracy["std_error"] == pytest.approx(math.sqrt(accuracy["value"] * (1 - accuracy["value"]) / 296))
    assert accuracy["protocol"] == {
        "n": 297,
        "classifier": "scikit-learn MLPClassifier",
        "classifier_n": 1500,
        "settings": {"hidden_layer_sizes": [256], "alpha": 0.01, "max_iter": 50},
        "seed": 3,
    }


def test_a_single_class_is_as_far_from_the_training_shares_as_the_rest_of_them(digits: tuple[TensorItems, TensorItems]) -> None:
    train, test = digits
    zeros = images(train)[train.labels == 0]
    balance = by_name(classifier_agreement(zeros, train, test, seed=0))["class_balance_samples"]
    shares = np.bincount(train.labels, minlength=10) / 1500
    assert balance["value"] == pytest.approx(1 - shares[0], abs=1e-12)
    assert balance["std_error"] is None
    assert balance["protocol"]["shares"] == [1.0, *[0.0] * 9]
    assert balance["protocol"]["training_shares"] == shares.tolist()
    chance = 0.5 * sum(math.sqrt(2 * r * (1 - r) / (math.pi * len(zeros))) for r in shares)
    assert balance["protocol"]["by_chance"] == pytest.approx(chance)


def test_noise_is_told_from_digits(digits: tuple[TensorItems, TensorItems]) -> None:
    train, test = digits
    noise = torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = by_name(classifier_agreement(noise, train, test, seed=0))
    assert found["classifier_top_probability_samples"]["value"] < 0.6
    assert found["classifier_top_probability_heldout"]["value"] > 0.9
    assert found["class_balance_samples"]["value"] > 2 * found["class_balance_samples"]["protocol"]["by_chance"]
    assert found["class_balance_heldout"]["value"] < 2 * found["class_balance_heldout"]["protocol"]["by_chance"]


def test_samples_count_as_the_items_they_would_be_stored_as(digits: tuple[TensorItems, TensorItems]) -> None:
    train, test = digits
    exact = images(test)
    off = exact + 0.06 * torch.sign(exact)  # outwards, by less than half a level of 1/8: past the ends of the range, but to no other level
    assert classifier_agreement(off, train, test, seed=0) == classifier_agreement(exact, train, test, seed=0)


def test_the_seed_decides(digits: tuple[TensorItems, TensorItems]) -> None:
    train, test = digits
    first, again, other = (classifier_agreement(images(test), train, test, seed) for seed in (0, 0, 1))
    assert first == again
    assert first[1]["value"] != other[1]["value"]


def test_at_most_10000_items_are_used_and_not_the_first_ones() -> None:
    x = torch.arange(12_000).div(6_000, rounding_mode="floor")[:, None].double() * 2 - 1  # sorted by class
    items = TensorItems(DataSpec(shape=(1,)), {"x": x}, labels=(x[:, 0] > 0).long())
    found = by_name(classifier_agreement(x[:10].float(), items, items, seed=0))
    assert found["classifier_accuracy_heldout"]["value"] == 1
    assert found["classifier_accuracy_heldout"]["protocol"]["n"] == 10_000
    shares = found["class_balance_samples"]["protocol"]["training_shares"]
    assert shares[0] == pytest.approx(0.5, abs=0.02)
    assert shares[0] not in (0.5, 0.6)


def test_data_without_labels_or_classes_are_refused(digits: tuple[TensorItems, TensorItems]) -> None:
    train, test = digits
    bare = TensorItems(SPEC, train.tensors)
    for pair in ((bare, test), (train, bare)):
        with pytest.raises(ValueError, match=r"^the classifier figures need data with labels: these have none$"):
            classifier_agreement(images(test), *pair, seed=0)
    one = TensorItems(SPEC, {"x": train.tensors["x"][:5]}, labels=torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^the classifier figures need data with at least two classes: these have one$"):
        classifier_agreement(images(test), one, test, seed=0)


def test_the_accuracy_of_each_class(digits: tuple[TensorItems, TensorItems]) -> None:
    """Held-out digits as samples have the accuracy that the classifier has; asked for other classes they have none, or little."""
    train, test = digits
    found = by_name(class_accuracy(images(test), test.labels, train, test, seed=3))
    assert list(found) == ["class_accuracy", *(f"class_accuracy_{label}" for label in range(10))]
    whole = found["class_accuracy"]
    assert whole["value"] == whole["protocol"]["accuracy_heldout"] > 0.95
    counts = torch.bincount(test.labels).tolist()
    each = [found[f"class_accuracy_{label}"] for label in range(10)]
    assert [figure["protocol"]["n"] for figure in each] == counts
    assert sum(figure["value"] * count for figure, count in zip(each, counts, strict=True)) / len(test) == pytest.approx(whole["value"])
    wrong = by_name(class_accuracy(images(test), (test.labels + 1) % 10, train, test, seed=3))
    assert wrong["class_accuracy"]["value"] < 0.05


def test_a_single_class_has_no_accuracy() -> None:
    items = TensorItems(SPEC, {"x": torch.zeros(4, 1, 8, 8).long()}, labels=torch.zeros(4).long())
    assert class_accuracy(images(items), items.labels, items, items, seed=0) == []
