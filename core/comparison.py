"""Figures of several sets of samples taken together: their mean and spread, and of a training run's snapshots the best, the last, the mean.

With k sets and the values v_i the figure is their mean, its spread s = (sum_i (v_i - mean)^2 / (k - 1))^(1/2) and its standard error
s / k^(1/2).
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, TypeAlias

Figure: TypeAlias = dict[str, Any]

_HIGHER = ("inception_score", "precision", "recall", "log_density_nats")
_LOWER = ("FID", "KID", "sliced_wasserstein", "energy_distance", "mmd", "bits_per_dim", "heldout_loss")


def is_better_high(name: str) -> bool | None:
    """Whether a figure of this name is the better the higher it is, or the lower; None where nobody can say."""
    return True if name.startswith(_HIGHER) else False if name.startswith(_LOWER) else None


def together(sets: Sequence[Sequence[Figure]]) -> list[Figure]:
    """One figure for each that the sets have in common in their order; that of a single set as it is.

    Raises ValueError where the sets have other figures, as those of other numbers of samples are.
    """
    if len(sets) == 1:
        return list(sets[0])
    names = [[figure["name"] for figure in figures] for figures in sets]
    if any(each != names[0] for each in names):
        one, other = next((a, b) for each in names for a, b in zip(names[0], each, strict=True) if a != b)
        raise ValueError(f"{one} and {other} are not to be averaged: take as many samples of each set")
    return [_mean([figures[place] for figures in sets]) for place in range(len(names[0]))]


def over_snapshots(steps: Sequence[int], sets: Sequence[Sequence[Figure]]) -> list[Figure]:
    """For each figure its best, last and mean value over the snapshots of these training steps, in rising order."""
    found = []
    for place in range(len(sets[0])):
        figures = [each[place] for each in sets]
        name, values = figures[0]["name"], [figure["value"] for figure in figures]
        best = (max if is_better_high(name) else min)(range(len(values)), key=lambda at: values[at])
        each = [{"step": step, "value": value} for step, value in zip(steps, values, strict=True)]
        for which, at in (("best", best), ("last", len(values) - 1)):
            figure = figures[at]
            found.append({**figure, "name": f"{name}_{which}", "protocol": {**figure["protocol"], "step": steps[at], "each": each}})
        mean = _mean(figures)
        found.append({**mean, "name": f"{name}_mean", "std_error": None, "protocol": {**mean["protocol"], "each": each}})
    return found


def _mean(figures: Sequence[Figure]) -> Figure:
    values = [figure["value"] for figure in figures]
    spread = stdev(values) if len(values) > 1 else None
    each = [{"value": figure["value"], **_origin(figure["protocol"])} for figure in figures]
    shared = {name: value for name, value in figures[0]["protocol"].items() if name != "samples"}
    return {
        "name": figures[0]["name"],
        "value": fmean(values),
        "std_error": None if spread is None else spread / math.sqrt(len(values)),
        "protocol": {**shared, "spread": spread, "each": each},
    }


def _origin(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the samples of one set from those of another."""
    return {"samples": protocol["samples"]}
