"""Chunks of one fixed size: a network's last bits change with its batch size, so a short last chunk is filled up and the rest dropped."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Chunk(NamedTuple):
    """``places`` of the samples (beginning again where filled up), their stream ``indices`` (going on there), and how many are kept."""

    places: list[int]
    indices: list[int]
    kept: int


def chunks(indices: Sequence[int], size: int) -> Iterator[Chunk]:
    """The samples with these stream indices, ``size`` at a time."""
    further = max(indices, default=0) + 1
    for start in range(0, len(indices), size):
        kept = min(size, len(indices) - start)
        places = [(start + i) % len(indices) for i in range(size)]
        yield Chunk(places, [*indices[start : start + kept], *range(further, further + size - kept)], kept)
