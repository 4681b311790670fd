"""Sets of samples that are compared: a run's, those of a file of arrays or of a folder of pictures, and the items of data sets.

A set is read in its order, a block at a time, as often as it is needed; each item is there once. What two sets have in common is what a
model sees, values in its range, and for pictures bytes: level k of L is round(255 k / (L - 1))."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import attrs
import numpy as np
import torch
from torch import Tensor

from . import arrays
from .data import DataSpec, Items

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
BLOCK = 256
_BYTES = DataSpec(shape=(), range=(-1.0, 1.0), levels=256)
_NAMES = ("x", "arr_0", "samples", "model_range")  # of samples in a .npz file, the first that is there


@final
class SampleSet:
    """``count`` stored items, as ``spec`` declares them; ``read(size)`` gives them in blocks. ``facts`` is what a protocol says of them
    beside their source, number and digest."""

    def __init__(
        self, source: str, spec: DataSpec, count: int, read: Callable[[int], Iterator[Tensor]], facts: Mapping[str, Any] | None = None
    ) -> None:
        self.source, self.spec, self.count, self.facts = source, spec, count, dict(facts or {})
        self._read = read

    def __len__(self) -> int:
        return self.count

    def first(self, count: int) -> "SampleSet":
        """The first ``count`` of them. Raises ValueError where there are fewer."""
        if count > self.count:
            raise ValueError(f"{self.source}: holds {self.count}, fewer than {count}")
        return SampleSet(self.source, self.spec, count, self._read, self.facts)

    def blocks(self, size: int = BLOCK) -> Iterator[Tensor]:
        """The stored items (B, *shape). Raises ValueError or OSError, in one line, where one cannot be read or is not as declared."""
        left = self.count
        for block in self._read(size):
            if left <= 0:
                return
            yield block[:left]
            left -= len(block)

    def pictures(self, size: int = BLOCK) -> Iterator[Tensor]:
        """The items as bytes (B, C, H, W). Raises ValueError where they are no pictures, or have no range."""
        if not self.spec.is_image:
            raise ValueError(f"{self.source}: items of shape {self.spec.shape} are no pictures (1 or 3 channels, H, W)")
        return (self.spec.to_bytes(block) for block in self.blocks(size))

    def values(self, count: int) -> Tensor:
        """The first ``count`` items in the model's range (count, *shape), float32; all where there are fewer."""
        found = list(self.first(min(count, self.count)).blocks())
        return self.spec.scale(torch.cat(found)) if found else torch.empty(0, *self.spec.shape)

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the stored items."""
        total = hashlib.sha256()
        for block in self.blocks(4096):
            total.update(block.contiguous().numpy().tobytes())
        return total.hexdigest()[:16]

    @property
    def protocol(self) -> dict[str, Any]:
        return {"source": self.source, "n": self.count, "digest": self.digest, **self.facts}


def of_items(items: Items, source: str, facts: Mapping[str, Any] | None = None) -> SampleSet:
    """The items of a split."""

    def read(size: int) -> Iterator[Tensor]:
        for start in range(0, len(items), size):
            yield items.batch(range(start, min(start + size, len(items))))["x"]

    return SampleSet(source, items.spec, len(items), read, facts)


def of_path(path: Path, like: DataSpec | None, facts: Mapping[str, Any] | None = None) -> SampleSet:
    """The samples of a folder of pictures, a .npz or a .npy file. Those of data like ``like`` have to have its shape and levels.

    Raises ValueError or OSError, in one line, where there are none.
    """
    if path.is_dir():
        return _of_folder(path, like, facts)
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"{path}: expected a folder of pictures, a .npz or a .npy file")
    return _of_archive(path, like, facts)


def _of_archive(path: Path, like: DataSpec | None, facts: Mapping[str, Any] | None) -> SampleSet:
    """Whole numbers are stored items (bytes, where nothing is known of the data), others values in the model's range."""
    name = arrays.chosen(path, _NAMES)
    (count, *shape), dtype = arrays.header(path, name)
    last = len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3)
    shape = [shape[2], *shape[:2]] if last else shape
    whole = dtype.kind in "biu"
    spec = attrs.evolve(like or _BYTES, shape=tuple(shape), classes=None)
    spec = spec if whole else attrs.evolve(spec, levels=None, range=None if like is None else like.range)
    _check_shape(path, spec, like)
    if whole and spec.levels is None:
        raise ValueError(f"{path} holds whole numbers; the data have no levels")

    def read(size: int) -> Iterator[Tensor]:
        first = 0
        for block in arrays.blocks(path, name, size):
            items = torch.from_numpy(np.ascontiguousarray(np.moveaxis(block, -1, 1) if last else block))
            try:
                attrs.evolve(spec, range=None, levels=spec.levels).check(items, first)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            first += len(items)
            yield items if whole else items.float()

    return SampleSet(str(path), spec, count, read, facts)


def _of_folder(path: Path, like: DataSpec | None, facts: Mapping[str, Any] | None) -> SampleSet:
    """All the pictures below a folder, in the order of their paths, 8 bits a channel; they have to be of one size, and are not resized."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{path}: no picture below it (looked for {', '.join(SUFFIXES)})")
    channels = None if like is None or not like.is_image else like.shape[0]
    shape = tuple(_picture(files[0], channels).shape)
    spec = attrs.evolve(_BYTES, shape=shape, range=(-1.0, 1.0) if like is None or like.range is None else like.range)
    _check_shape(path, spec, like)

    def read(size: int) -> Iterator[Tensor]:
        for start in range(0, len(files), size):
            yield torch.stack([_sized(file, shape) for file in files[start : start + size]])

    return SampleSet(str(path), spec, len(files), read, facts)


def _sized(file: Path, shape: tuple[int, ...]) -> Tensor:
    picture = _picture(file, shape[0])
    if tuple(picture.shape) != shape:
        raise ValueError(f"{file} is {picture.shape[2]} x {picture.shape[1]}; the others are {shape[2]} x {shape[1]}")
    return picture


def _picture(file: Path, channels: int | None) -> Tensor:
    """(C, H, W) uint8; without a number of channels, its own."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            if picture.mode[0] in "IF":
                raise ValueError(f"its mode is {picture.mode}, more than 8 bits a channel")
            grey = picture.mode in ("1", "L", "LA") if channels is None else channels == 1
            rows = np.array(picture.convert("L" if grey else "RGB"))
    except UnidentifiedImageError as error:
        raise ValueError(f"{file}: cannot be read: Pillow knows no such format") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: cannot be read: {error}") from error
    return torch.from_numpy(rows[None] if rows.ndim == 2 else np.ascontiguousarray(np.moveaxis(rows, -1, 0)))


def _check_shape(path: Path, spec: DataSpec, like: DataSpec | None) -> None:
    if like is not None and spec.shape != like.shape:
        raise ValueError(f"{path} holds items of shape {spec.shape}; the data that they are compared with have {like.shape}")
