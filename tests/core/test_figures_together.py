"""Figures of several sets: mean, spread, best and last."""

import math
from typing import Any

import pytest

from scoresde.core.comparison import is_better_high, over_snapshots, together


def figure(name: str, value: float, source: str = "a") -> dict[str, Any]:
    return {"name": name, "value": value, "std_error": 0.1, "protocol": {"n": 5, "samples": {"source": source, "seed": 3}}}


def test_one_set_is_as_it_is() -> None:
    assert together([[figure("FID@5", 2.0)]]) == [figure("FID@5", 2.0)]


def test_the_mean_of_three_with_its_spread() -> None:
    (found,) = together([[figure("FID@5", value, source)] for value, source in ((1.0, "a"), (2.0, "b"), (6.0, "c"))])
    spread = math.sqrt((4 + 1 + 9) / 2)
    assert (found["name"], found["value"], found["protocol"]["n"]) == ("FID@5", 3.0, 5)
    assert (found["protocol"]["spread"], found["std_error"]) == (pytest.approx(spread), pytest.approx(spread / math.sqrt(3)))
    assert found["protocol"]["each"] == [
        {"value": value, "samples": {"source": source, "seed": 3}} for value, source in ((1.0, "a"), (2.0, "b"), (6.0, "c"))
    ]
    assert "samples" not in found["protocol"]


def test_sets_of_other_numbers_are_not_averaged() -> None:
    with pytest.raises(ValueError, match=r"^FID@5 and FID@6 are not to be averaged: take as many samples of each set$"):
        together([[figure("FID@5", 1.0)], [figure("FID@6", 1.0)]])


def test_the_best_snapshot_is_the_lowest_distance_or_the_highest_recall() -> None:
    sets = [[figure("FID@5", fid), figure("recall_classifier@5", recall)] for fid, recall in ((3.0, 0.1), (1.0, 0.4), (2.0, 0.3))]
    found = {one["name"]: one for one in over_snapshots([10, 20, 30], sets)}
    assert {name: one["value"] for name, one in found.items()} == {
        "FID@5_best": 1.0,
        "FID@5_last": 2.0,
        "FID@5_mean": 2.0,
        "recall_classifier@5_best": 0.4,
        "recall_classifier@5_last": 0.3,
        "recall_classifier@5_mean": pytest.approx(0.8 / 3),
    }
    assert [found[f"FID@5_{which}"]["protocol"].get("step") for which in ("best", "last", "mean")] == [20, 30, None]
    assert found["FID@5_mean"]["protocol"]["each"] == [{"step": step, "value": value} for step, value in ((10, 3.0), (20, 1.0), (30, 2.0))]


def test_which_figures_are_better_high() -> None:
    names = ("FID@5", "KID", "mmd", "precision@5", "recall", "inception_score_classifier@5")
    assert [is_better_high(name) for name in names] == [False, False, False, True, True, True]
