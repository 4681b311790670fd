"""Distances between samples and held-out items of any shape, each beside its floor: the same distance between two halves of held-out items.

With n samples and m held-out items, k = min(n, m / 2, 2000) samples are compared with k held-out items, and the floor is the mean over ten
random halvings of 2k held-out items. Samples and halves have one size, so that perfect samples would come as near as the floor.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .distances import discrepancy, distances, gaussian_kernel, halves, median_distance, sliced_wasserstein
from .noise import permutation
from .sample_sets import SampleSet

Figure = dict[str, Any]
NAMES = ("sliced_wasserstein", "energy_distance", "mmd")
_MOST = 2000  # of a set; all their pairs are looked at
_HALVINGS = 10
_DIRECTIONS = 256


class Compared(NamedTuple):
    """k samples and 2k held-out items, the first k of which are compared with them, in the model's range (*, D)."""

    samples: Tensor
    heldout: Tensor


def point_figures(samples: SampleSet, heldout: SampleSet, metrics: Sequence[str], *, seed: int) -> list[Figure]:
    """The figures of these names, each {name, value, std_error, protocol}. Raises ValueError where there are too few items."""
    check_counts(len(samples), len(heldout))
    count = min(len(samples), len(heldout) // 2, _MOST)
    order = permutation(seed, 0, len(heldout), "evaluation")[: 2 * count]
    rows = torch.cat(list(heldout.blocks()))[order]
    compared = Compared(samples.values(count).flatten(1), heldout.spec.scale(rows).flatten(1))
    protocol = {
        "samples": {**samples.protocol, "used": count},
        "reference": {**heldout.protocol, "used": count},
        "units": "the model's range",
        "seed": seed,
    }
    found = []
    for name in metrics:
        entry = {"sliced_wasserstein": _sliced, "energy_distance": _energy, "mmd": _mmd}[name](compared, seed)
        entry["protocol"] = {"n": count, **entry["protocol"], **protocol}
        found.append(entry)
    return found


def check_counts(samples: int, heldout: int) -> None:
    """Raises ValueError where there are too few items to compare."""
    if samples < 2 or heldout < 4:
        raise ValueError(
            f"distances need two samples and four items to compare with, or more: there are {samples} samples and {heldout} items"
        )


def _sliced(compared: Compared, seed: int) -> Figure:
    """The distance over several directions; its floor has the same ones."""
    samples, heldout = compared
    count = len(samples)
    value = sliced_wasserstein(samples, heldout[:count], _DIRECTIONS, seed)
    floor = [sliced_wasserstein(heldout[one], heldout[other], _DIRECTIONS, seed) for one, other in halves(2 * count, _HALVINGS, seed)]
    return _figure("sliced_wasserstein", value, None, floor, directions=_DIRECTIONS)


def _energy(compared: Compared, seed: int) -> Figure:
    return _by_kernel("energy_distance", compared, seed, lambda between: -between, {"kernel": "-|x - y|"})


def _mmd(compared: Compared, seed: int) -> Figure:
    width = median_distance(distances(compared.heldout, compared.heldout))
    settings = {"kernel": "mean of Gaussians of half, one and two median distances of held-out items", "median_distance": width}
    return _by_kernel("mmd", compared, seed, lambda between: gaussian_kernel(between, width), {**settings, "squared": True})


def _by_kernel(name: str, compared: Compared, seed: int, kernel: Callable[[Tensor], Tensor], settings: dict[str, Any]) -> Figure:
    samples, heldout = compared
    count = len(samples)
    among = kernel(distances(heldout, heldout))
    xx, xy = kernel(distances(samples, samples)), kernel(distances(samples, heldout[:count]))
    estimate = discrepancy(xx, xy, among[:count, :count])
    floor = []
    for one, other in halves(2 * count, _HALVINGS, seed):
        floor.append(discrepancy(among[one][:, one], among[one][:, other], among[other][:, other]).value)
    return _figure(name, estimate.value, estimate.std_error, floor, **settings)


def _figure(name: str, value: float, error: float | None, floor: Sequence[float], **settings: Any) -> Figure:
    mean = sum(floor) / len(floor)
    std = math.sqrt(sum((each - mean) ** 2 for each in floor) / (len(floor) - 1))
    words = f"mean over {len(floor)} random halvings of the held-out items into sets of n"
    return {"name": name, "value": value, "std_error": error, "protocol": {"floor": mean, "floor_std": std, "floor_of": words, **settings}}
