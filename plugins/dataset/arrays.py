"""Items of a file in numpy's format (Harris et al., 2020): one array whose first axis counts the items.

With ``levels`` the values are the whole numbers 0, ..., levels - 1, which the model sees in ``range`` (-1 to 1 if not given); without,
they are used as they are, and a declared range must hold them. Without a test file, numpy's RandomState(0), whose numbers are fixed for
good, permutes the items, and the last ``test_share`` of them are held out.
"""

import zipfile
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

import attrs
import numpy as np
import torch

from scoresde.core import Dataset, DataSpec, Items, Split, TensorItems, option

Array: TypeAlias = "np.ndarray[Any, Any]"


@final
@attrs.frozen(kw_only=True)
class Arrays(Dataset):
    """The items of a .npy or .npz file, of any shape."""

    name = "arrays"

    file: Path = option(help="a .npy or .npz file")
    key: str | None = option(None, help="the array's name in a .npz file that holds several")
    label_key: str | None = option(None, help="the name of the array of classes, in the same .npz file")
    test_file: Path | None = option(None, help="a second file, like the first, that holds the held-out items")
    test_share: float = option(0.1, at_least=0, below=1, help="share of the items that is held out, without a test file")
    levels: int | None = option(None, at_least=2, help="the values are the whole numbers 0, ..., levels - 1")
    range: tuple[float, float] | None = option(None, help="with levels, what the model sees; without, what the values must lie in")
    layout: Literal["auto", "channels_first", "channels_last"] = option(
        "auto", help="auto moves a last axis of 1 or 3 to the front where the first is neither, and gives (H, W) with levels a channel axis"
    )

    def __attrs_post_init__(self) -> None:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range = {self.range!r} must rise")

    def open(self, split: Split) -> Items:
        file = self.test_file if split == "test" and self.test_file is not None else self.file
        stored = read(file, self.key)
        if stored.ndim < 2 or stored.dtype.kind not in "biuf":
            raise ValueError(f"arrays: {file} must hold numbers with an axis of items and more: it has {stored.dtype} {stored.shape}")
        labels = None if self.label_key is None else read(file, self.label_key)
        if labels is not None and (labels.shape != stored.shape[:1] or labels.dtype.kind not in "iu"):
            raise ValueError(
                f"arrays: {self.label_key!r} in {file} must hold {len(stored)} whole numbers: it has {labels.dtype} {labels.shape}"
            )
        rows = self._rows(split, len(stored))
        if len(rows) == 0:
            raise ValueError(
                f"arrays: none of the {len(stored)} items of {file} is in the {split} split with test_share = {self.test_share!r}"
            )
        self._check(file, stored)
        x = torch.from_numpy(self._arrange(stored[rows]))
        bounds = (-1.0, 1.0) if self.range is None and self.levels is not None else self.range
        classes = None if labels is None else int(labels.max()) + 1
        spec = DataSpec(shape=tuple(x.shape[1:]), range=bounds, levels=self.levels, classes=classes)
        return TensorItems(spec, {"x": x}, labels=None if labels is None else torch.from_numpy(labels[rows].astype(np.int64)))

    def _rows(self, split: Split, count: int) -> Array:
        if self.test_file is not None:
            return np.arange(count)
        order = np.random.RandomState(0).permutation(count)
        training = count - round(count * self.test_share)
        return order[:training] if split == "train" else order[training:]

    def _check(self, file: Path, stored: Array) -> None:
        """Raises ValueError, naming the first value that is not as declared."""
        if self.levels is not None:
            good = (stored >= 0) & (stored <= self.levels - 1) & (np.floor(stored) == stored)
            declared = f"none of the levels 0, ..., {self.levels - 1}"
        elif self.range is not None:
            good = (stored >= self.range[0]) & (stored <= self.range[1])
            declared = f"outside the range {self.range[0]:g} to {self.range[1]:g}"
        else:
            good, declared = np.isfinite(stored), "not a finite number"
        if not good.all():
            place = tuple(int(i) for i in np.unravel_index(np.argmin(good), good.shape))
            raise ValueError(f"arrays: {file} holds {stored[place].item()!r} at {place}, {declared}")

    def _arrange(self, x: Array) -> Array:
        """Channels first, in uint8, int64 or float32."""
        last = self.layout == "channels_last" or (
            self.layout == "auto" and x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3)
        )
        if last:
            x = np.moveaxis(x, -1, 1)
        elif self.layout == "auto" and x.ndim == 3 and self.levels is not None:
            x = x[:, None]
        kind = np.float32 if self.levels is None else np.uint8 if self.levels <= 256 else np.int64
        return np.ascontiguousarray(x, dtype=kind)


def read(file: Path, key: str | None) -> Array:
    """One array of a numpy file. Raises OSError or ValueError, in one line, where there is none."""
    if not file.is_file():
        raise FileNotFoundError(f"arrays: there is no file {file}")
    try:
        held = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"arrays: {file} is no .npy or .npz file of numbers") from error
    if isinstance(held, np.ndarray):
        if key is not None:
            raise ValueError(f"arrays: {file} holds one array without a name: leave out {key!r}")
        return held
    with held:
        names = ", ".join(held.files)
        if key is None and len(held.files) != 1:
            raise ValueError(f"arrays: {file} holds {len(held.files)} arrays: set key to one of {names}")
        if key is not None and key not in held.files:
            raise ValueError(f"arrays: {file} holds no array {key!r}: it holds {names}")
        try:
            array: Array = held[held.files[0] if key is None else key]
        except (ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"arrays: cannot read {key or held.files[0]!r} in {file}: {error}") from error
        return array
