"""The checks of data sets: the built-in ones pass them, and each catches a data set that is wrong in what it looks at, and no other check
does."""

import re
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import numpy as np
import pytest
import torch
from PIL import Image

from scoresde.core import Dataset, DataSpec, Items, Mixture, SeededNoise, TensorItems, option
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import checks_by
from scoresde.plugins import Arrays, Digits, GaussianMixtureData, ImageFolder, TorchVision, Toy
from scoresde.registry import Registry

HELD = TemporaryDirectory()  # until the interpreter ends: tests are made when this file is read
FOLDER = Path(HELD.name)
NUMBERS = np.random.RandomState(0)
SQUARE = ((0.04, 0.01), (0.01, 0.09))


def write_files() -> None:
    """Twenty pictures, MNIST's four files with a few digits, and arrays of floats, of levels and of levels with labels."""
    for i in range(20):
        Image.fromarray(NUMBERS.randint(0, 256, (9, 11, 3)).astype(np.uint8)).save(FOLDER / f"{i}.png")
    raw = FOLDER / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 12), ("t10k", 5)):
        for name, shape, high in (("images-idx3", (count, 28, 28), 256), ("labels-idx1", (count,), 10)):
            values = NUMBERS.randint(0, high, shape).astype(np.uint8)
            header = struct.pack(f">{1 + len(shape)}i", 0x0800 + len(shape), *shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(header + values.tobytes())
    np.save(FOLDER / "floats.npy", NUMBERS.uniform(-1, 1, (50, 2, 3)))
    np.save(FOLDER / "others.npy", NUMBERS.uniform(-1, 1, (20, 2, 3)))
    np.savez(FOLDER / "levels.npz", x=NUMBERS.randint(0, 5, (40, 6, 6)), y=NUMBERS.randint(0, 3, 40))


write_files()


@parametrize_with_checks(
    [
        Digits,
        Digits(centered=False),
        TorchVision(collection="MNIST", root=FOLDER),
        ImageFolder(root=FOLDER, size=8, test_share=0.3),
        ImageFolder(root=FOLDER, size=8, channels=1, centered=False, test_share=0.3),
        Arrays(file=FOLDER / "floats.npy"),
        Arrays(file=FOLDER / "floats.npy", test_file=FOLDER / "others.npy", range=(-1.0, 1.0)),
        Arrays(file=FOLDER / "levels.npz", key="x", label_key="y", levels=5, range=(0.0, 1.0)),
        Toy(count=500, seed=3),
        Toy(count=500, figure="swiss_roll"),
        GaussianMixtureData(weights=(1.0, 2.0), means=((-1.0, 0.0), (1.0, 0.5)), covariances=(SQUARE, SQUARE), count=1000),
    ]
)
def test_conformance(component, check):
    check(component)


class Points(Dataset):
    """Whole numbers in the plane, of 8 levels (Metz et al., 2017)."""

    spec = DataSpec(shape=(6,), range=(-1.0, 1.0), levels=8, classes=2)
    law = None

    def open(self, split):
        indices = range(100) if split == "train" else range(100, 160)
        x = self.draw(SeededNoise(0, indices, "data"), indices)
        return self.items(x, (x[:, 0] > 3).long())

    def draw(self, noise, indices):
        return noise.integers(self.spec.levels, (len(indices), *self.spec.shape))

    def items(self, x, labels):
        return TensorItems(self.spec, {"x": x}, self.law, labels)


@attrs.frozen(kw_only=True)
class Right(Points):
    """Whole numbers (Metz et al., 2017)."""

    name = "right"


@attrs.frozen(kw_only=True)
class NineLevels(Points):
    """Has a number that is no level (Metz et al., 2017)."""

    name = "nine_levels"

    def draw(self, noise, indices):
        return noise.integers(9, (len(indices), 6))


@attrs.frozen(kw_only=True)
class FewOfManyLevels(Points):
    """Declares 256 levels for 8 (Metz et al., 2017)."""

    name = "few_of_many_levels"
    spec = attrs.evolve(Points.spec, levels=256)

    def draw(self, noise, indices):
        return noise.integers(8, (len(indices), 6))


@attrs.frozen(kw_only=True)
class OutOfRange(Points):
    """Declares a range that its numbers leave (Metz et al., 2017)."""

    name = "out_of_range"
    spec = attrs.evolve(Points.spec, levels=None)

    def draw(self, noise, indices):
        return noise.normal((len(indices), 6))


@attrs.frozen(kw_only=True)
class LabelsFromOne(Points):
    """Counts its classes from 1 (Metz et al., 2017)."""

    name = "labels_from_one"

    def items(self, x, labels):
        return Points.items(self, x, labels + 1)


class SortedItems(Items):
    """Reads its items in the order in which they stand."""

    def __init__(self, items):
        self.items, self.spec, self.labels = items, items.spec, items.labels

    def __len__(self):
        return len(self.items)

    def batch(self, indices):
        return self.items.batch(sorted(indices))


@attrs.frozen(kw_only=True)
class Sorting(Points):
    """Sorts the positions that it is asked for (Metz et al., 2017)."""

    name = "sorting"

    def items(self, x, labels):
        return SortedItems(Points.items(self, x, labels))


class HeldItems(Items):
    """Hands out its own memory for a batch that it was asked for before."""

    def __init__(self, items):
        self.items, self.spec, self.labels, self.held = items, items.spec, items.labels, {}

    def __len__(self):
        return len(self.items)

    def batch(self, indices):
        return self.held.setdefault(tuple(indices), self.items.batch(indices))


@attrs.frozen(kw_only=True)
class Holding(Points):
    """Hands out what it holds (Metz et al., 2017)."""

    name = "holding"

    def items(self, x, labels):
        return HeldItems(Points.items(self, x, labels))


@attrs.frozen(kw_only=True)
class Leaking(Points):
    """Holds out what it trains on (Metz et al., 2017)."""

    name = "leaking"

    def draw(self, noise, indices):
        return Points.draw(self, SeededNoise(0, range(len(indices)), "data"), indices)


@attrs.frozen(kw_only=True)
class SeedOfNoUse(Points):
    """Does not read its seed (Metz et al., 2017)."""

    name = "seed_of_no_use"
    seed: int = option(0)


@attrs.frozen(kw_only=True)
class OtherLaw(Points):
    """Declares the law of data of half the size (Metz et al., 2017)."""

    name = "other_law"
    spec = DataSpec(shape=(6,), classes=2)
    law = Mixture(torch.ones(1), torch.zeros(1, 6), 0.25 * torch.eye(6)[None])

    def draw(self, noise, indices):
        return noise.normal((len(indices), 6))


@attrs.frozen(kw_only=True)
class Constant(Points):
    """Has one item (Metz et al., 2017)."""

    name = "constant"

    def draw(self, noise, indices):
        return torch.full((len(indices), 6), 4 + int(indices[0] > 0))


BITES = [
    ("levels", NineLevels, r"its items hold 8.0, none of the levels 0, ..., 7 \(train\)"),
    ("levels", FewOfManyLevels, r"it declares 256 levels, but no item is above 7 \(train\)"),
    ("levels", OutOfRange, r"its items run from -\d.\d+ to \d.\d+, but it declares the range \(-1.0, 1.0\) \(train\)"),
    ("labels", LabelsFromOne, r"a label is 2, but it declares 2 classes \(train\)"),
    ("positions", Sorting, r"in another order, 10 of 10 items are not those that stand at their positions \(x, train\)"),
    ("fresh", Holding, r"\d+ numbers of its items change as a batch that was handed out is changed \(train\)"),
    ("splits", Leaking, r"60 of 60 held-out items are among 100 of the 100 for training"),
    ("seed", SeedOfNoUse, r"with another seed, 0 of its numbers are others \(train\)"),
    ("law", OtherLaw, r"the moments of 100 items are off those of the declared law by \d+.\d standard errors \(train\)"),
    ("law", Constant, r"of 100 items 0 differ from the first \(train\)"),
]
PROVEN_ELSEWHERE = {check.name for check in checks_by(lambda *arguments: [])}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


def test_the_right_one_fails_no_check(registry):
    assert [outcome.check.name for outcome in conform(Right(), registry) if outcome.status != "pass"] == []


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_a_wrong_one_is_caught_by_the_check_of_its_fault_alone(registry, name, wrong, message):
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    assert failed.keys() == {name}, failed
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} == {check.name for check in checks_of("dataset")} - PROVEN_ELSEWHERE
