"""Checks of data sets: what they declare of their items is true, and the items of a split are a function of the options alone.

Data with L levels are whole numbers 0, ..., L - 1 and stand in the declared range as the model sees them; log-probabilities in bits/dim
rest on both (Theis et al., 2016). Where the items' law is declared, their moments are those of the law within standard errors. Of a large
split the checks look at some items, spread evenly.
"""

import random
from collections.abc import Sequence
from typing import Any, get_args

import attrs
import numpy as np
import torch
from torch import Tensor

from ...data import Items, Split
from ...interfaces import Dataset
from ...noise import Noise
from ...sde import SDE
from ..conformance import Check, Subject
from ..statistics import Law
from .component import checks_by, seeded

SPLITS: tuple[Split, ...] = get_args(Split)
SOME, MANY = 256, 4096
_SHARED = ("frozen", "toml", "source", "repeatable", "copies", "random")  # a data set is handed no state


def exercise(dataset: Dataset, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    results = []
    for split in SPLITS:
        items = dataset.open(split)
        results += list(items.batch(spread(items, 16)).values())
        results += [] if items.labels is None else [items.labels]
    return results


def spread(items: Items, most: int = SOME) -> list[int]:
    """The positions of so many items at most, spread evenly."""
    count = min(len(items), most)
    return [i * len(items) // count for i in range(count)]


def check_levels(subject: Subject) -> None:
    """The items' shape, their levels or finite numbers, and where they stand in the range; more than half of the levels are used."""
    for split in SPLITS:
        items = _dataset(subject).open(split)
        spec, x = items.spec, items.batch(spread(items))["x"]
        assert tuple(x.shape[1:]) == spec.shape, f"its items have the shape {tuple(x.shape[1:])}, but it declares {spec.shape} ({split})"
        assert bool(torch.isfinite(x.double()).all()), (
            f"its items hold {_first(x, ~torch.isfinite(x.double()))}, no finite number ({split})"
        )
        if spec.levels is not None:
            outside = (x < 0) | (x > spec.levels - 1) | (x.double().round() != x)
            assert not bool(outside.any()), f"its items hold {_first(x, outside)}, none of the levels 0, ..., {spec.levels - 1} ({split})"
            assert 2 * int(x.max()) >= spec.levels - 1, f"it declares {spec.levels} levels, but no item is above {int(x.max())} ({split})"
            back = (spec.quantise(spec.scale(x)) != x).sum()
            assert int(back) == 0, f"{int(back)} numbers are others after they were scaled to the range and back ({split})"
        if spec.range is not None:
            for seen in (spec.scale(x), spec.scale(x, seeded(len(x)))):
                low, high = float(seen.min()), float(seen.max())
                inside = spec.range[0] <= low and high <= spec.range[1]
                assert inside, f"its items run from {low:.4g} to {high:.4g}, but it declares the range {spec.range} ({split})"


def check_labels(subject: Subject) -> None:
    """One for each item, and each a class; or neither labels nor classes."""
    for split in SPLITS:
        items = _dataset(subject).open(split)
        classes, labels = items.spec.classes, items.labels
        if classes is None or labels is None:
            assert classes is None, f"it declares {classes} classes, but its items have no labels ({split})"
            assert labels is None, f"its items have labels, but it declares no number of classes ({split})"
            continue
        assert labels.dtype == torch.int64, f"its labels are in {labels.dtype}, not in int64 ({split})"
        assert tuple(labels.shape) == (len(items),), f"its {len(items)} items have labels of the shape {tuple(labels.shape)} ({split})"
        low, high = int(labels.min()), int(labels.max())
        assert low >= 0, f"a label is {low} ({split})"
        assert high < classes, f"a label is {high}, but it declares {classes} classes ({split})"


def check_positions(subject: Subject) -> None:
    """Items are read by position: in any order, several times, one by one."""
    for split in SPLITS:
        items = _dataset(subject).open(split)
        places = spread(items, 8)
        whole = items.batch(places)
        order = [*range(len(places))[::-1], 0, 0]
        picked = items.batch([places[i] for i in order])
        assert picked.keys() == whole.keys(), f"a batch holds {sorted(picked)}, another one {sorted(whole)} ({split})"
        for key, value in whole.items():
            assert len(value) == len(places), f"{key} of {len(places)} items has {len(value)} rows ({split})"
            off = int((picked[key] != value[order]).flatten(1).any(1).sum()) if value.ndim > 1 else int((picked[key] != value[order]).sum())
            assert off == 0, f"in another order, {off} of {len(order)} items are not those that stand at their positions ({key}, {split})"


def check_fresh(subject: Subject) -> None:
    """What is handed out may be changed: neither the items nor the data set opened again change with it."""
    for split in SPLITS:
        items = _dataset(subject).open(split)
        places = spread(items, 8)
        for again in (items, _dataset(subject).open(split)):
            handed = items.batch(places)["x"]
            before = handed.clone()
            handed.zero_()
            off = int((again.batch(places)["x"] != before).sum())
            assert off == 0, f"{off} numbers of its items change as a batch that was handed out is changed ({split})"


def check_splits(subject: Subject) -> None:
    """The held-out items are not those for training: fewer than half of those that are expected if all were."""
    training, held_out = (_dataset(subject).open(split) for split in SPLITS)
    looked = spread(training, MANY)
    seen = {row.numpy().tobytes() for start in range(0, len(looked), SOME) for row in training.batch(looked[start : start + SOME])["x"]}
    rows = held_out.batch(spread(held_out))["x"]
    found = sum(row.numpy().tobytes() in seen for row in rows)
    if len(rows) and 2 * found >= max(1, len(rows) * len(looked) / len(training)):
        raise AssertionError(f"{found} of {len(rows)} held-out items are among {len(looked)} of the {len(training)} for training")


def check_seed(subject: Subject) -> None:
    """Opened again under other global random states, the same items; with another value of its option ``seed``, if any, others."""
    dataset = _dataset(subject)
    for split in SPLITS:
        first, second = (_under(seed, dataset, split) for seed in (0, 1))
        assert len(first) == len(second), f"opened twice it has {len(first)} and then {len(second)} items ({split})"
        off = float((first != second).double().mean())
        assert off == 0, f"opened twice, {off:.3g} of its numbers are others: they depend on a global random state ({split})"
        reseeded = _with_seed(dataset)
        if reseeded is not None:
            other = _under(0, reseeded, split)
            changed = 1.0 if other.shape != first.shape else float((first != other).double().mean())
            assert changed > 0, f"with another seed, {changed:.3g} of its numbers are others ({split})"


def check_law(subject: Subject) -> None:
    """The items are not all the same; where their law is declared, their moments lie within 5 standard errors of the law's."""
    for split in SPLITS:
        items = _dataset(subject).open(split)
        x = items.batch(spread(items, MANY if items.law is not None else SOME))["x"].double().flatten(1)
        varied = int((x != x[0]).any(1).sum())
        assert len(x) == 1 or varied > 0, f"of {len(x)} items {varied} differ from the first ({split})"
        if items.law is not None:
            worst = Law(items.law).deviations(x).worst()
            assert worst < 5, f"the moments of {len(x)} items are off those of the declared law by {worst:.3g} standard errors ({split})"


CHECKS = (
    *(check for check in checks_by(exercise) if check.name in _SHARED),
    Check(
        "levels", check_levels, "hand out whole numbers 0, ..., levels - 1 and leave scaling to DataSpec.scale; without levels, real ones"
    ),
    Check("labels", check_labels, "give DataSpec(classes=...) and labels (N,) int64, or neither"),
    Check("positions", check_positions, "batch(indices) is the items at these positions, in this order"),
    Check("fresh", check_fresh, "hand out copies: indexing by a tensor makes one, a slice is a view"),
    Check("splits", check_splits, "split by a rule that puts each item in one split"),
    Check("seed", check_seed, "draw from SeededNoise(self.seed, ..., 'data'), or from a generator of your own"),
    Check("law", check_law, "law is the mixture that the items as stored are drawn from"),
)


def _dataset(subject: Subject) -> Dataset:
    assert isinstance(subject.component, Dataset)
    return subject.component


def _with_seed(dataset: Any) -> Dataset | None:
    """The data set of another seed; None where it has no such option."""
    return attrs.evolve(dataset, seed=dataset.seed + 1) if "seed" in attrs.fields_dict(type(dataset)) else None


def _first(x: Tensor, where: Tensor) -> float:
    return float(x[where][0])


def _under(seed: int, dataset: Dataset, split: Split) -> Tensor:
    """Some items, opened and read with the global random states set to this seed, and back again."""
    states = torch.random.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        items = dataset.open(split)
        return items.batch(spread(items))["x"]
    finally:
        torch.random.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
