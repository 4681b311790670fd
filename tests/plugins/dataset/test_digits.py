import torch
from sklearn.datasets import load_digits

from scoresde.core import DataSpec
from scoresde.plugins.dataset.digits import Digits


def test_both_splits_together_are_every_digit_once() -> None:
    train, test = Digits().open("train"), Digits().open("test")
    assert (len(train), len(test)) == (1500, 297)
    images, labels = load_digits(return_X_y=True)
    expected = sorted((*row, label) for row, label in zip(images.astype(int).tolist(), labels.tolist(), strict=True))
    found = [
        (*row, int(label))
        for items in (train, test)
        for row, label in zip(items.batch(range(len(items)))["x"].flatten(1).tolist(), items.labels, strict=True)
    ]
    assert sorted(found) == [tuple(row) for row in expected]


def test_the_order_is_fixed() -> None:
    train, test = Digits().open("train"), Digits().open("test")
    assert train.labels[:12].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]
    assert train.labels.bincount().tolist() == [151, 157, 142, 155, 143, 157, 151, 148, 151, 145]
    assert test.labels.bincount().tolist() == [27, 25, 35, 28, 38, 25, 30, 31, 23, 35]


def test_levels_and_range_are_true() -> None:
    items = Digits().open("train")
    assert items.spec == DataSpec(shape=(1, 8, 8), range=(-1.0, 1.0), levels=17, classes=10)
    x = items.batch(range(1500))["x"]
    assert (x.dtype, int(x.min()), int(x.max())) == (torch.uint8, 0, 16)
    assert Digits(centered=False).open("test").spec.range == (0.0, 1.0)


def test_a_batch_has_the_items_asked_for_and_nothing_but_x() -> None:
    items = Digits().open("test")
    batch = items.batch([5, 0, 5])
    assert list(batch) == ["x"]
    torch.testing.assert_close(batch["x"], items.batch(range(297))["x"][[5, 0, 5]], rtol=0, atol=0)
