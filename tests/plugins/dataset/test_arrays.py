import re
from pathlib import Path

import numpy as np
import pytest
import torch

from scoresde.core import DataSpec
from scoresde.plugins.dataset.arrays import Arrays

COUNTING = np.arange(20 * 2 * 3 * 4).reshape(20, 2, 3, 4)


def save(path: Path, *arrays: np.ndarray, **named: np.ndarray) -> Path:
    if named:
        np.savez(path, **named)
    else:
        np.save(path, arrays[0])
    return path


def everything(data: Arrays, split: str = "train") -> torch.Tensor:
    items = data.open(split)
    return items.batch(range(len(items)))["x"]


def refused(data: Arrays, message: str, split: str = "train", error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        data.open(split)


def test_numbers_without_levels_are_used_as_they_are(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npy", COUNTING / 7)
    data = Arrays(file=file, test_file=file)
    for split in ("train", "test"):
        assert data.open(split).spec == DataSpec(shape=(2, 3, 4))
        torch.testing.assert_close(everything(data, split), torch.from_numpy(COUNTING / 7).float(), rtol=0, atol=0)


def test_the_splits_are_a_fixed_permutation_of_the_items(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npz", images=COUNTING, labels=np.arange(20, dtype=np.uint8) % 5)
    data = Arrays(file=file, key="images", label_key="labels", test_share=0.26)
    train, test = data.open("train"), data.open("test")
    order = np.random.RandomState(0).permutation(20)
    assert (len(train), len(test)) == (15, 5)
    torch.testing.assert_close(everything(data), torch.from_numpy(COUNTING[order[:15]]).float(), rtol=0, atol=0)
    torch.testing.assert_close(everything(data, "test"), torch.from_numpy(COUNTING[order[15:]]).float(), rtol=0, atol=0)
    assert torch.cat([train.labels, test.labels]).tolist() == (order % 5).tolist()
    assert train.spec.classes == 5


def test_levels_bring_a_range(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npy", COUNTING % 7)
    assert Arrays(file=file, levels=7).open("train").spec == DataSpec(shape=(2, 3, 4), levels=7, range=(-1.0, 1.0))
    assert Arrays(file=file, levels=7, range=(0.0, 1.0)).open("train").spec.range == (0.0, 1.0)
    assert everything(Arrays(file=file, levels=7)).dtype == torch.uint8
    assert everything(Arrays(file=file, levels=500)).dtype == torch.int64


def test_layouts(tmp_path: Path) -> None:
    last = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3) % 256
    options = {"levels": 256, "test_file": (file := save(tmp_path / "last.npy", last))}
    first = torch.from_numpy(last.transpose(0, 3, 1, 2).astype(np.uint8))
    torch.testing.assert_close(everything(Arrays(file=file, **options)), first, rtol=0, atol=0)
    torch.testing.assert_close(everything(Arrays(file=file, layout="channels_last", **options)), first, rtol=0, atol=0)
    assert everything(Arrays(file=file, layout="channels_first", **options)).shape == (2, 4, 5, 3)
    grey = save(tmp_path / "grey.npy", last[..., 0])
    assert Arrays(file=grey, test_file=grey, levels=256).open("train").spec.shape == (1, 4, 5)
    assert Arrays(file=grey, test_file=grey).open("train").spec.shape == (4, 5)
    channels_first = save(tmp_path / "first.npy", first.numpy())
    assert Arrays(file=channels_first, test_file=file, levels=256).open("train").spec.shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("value", "options", "rest"),
    [
        (9.0, {"levels": 9}, "holds 9.0 at (3, 1), none of the levels 0, ..., 8"),
        (0.5, {"levels": 9}, "holds 0.5 at (3, 1), none of the levels 0, ..., 8"),
        (-1.0, {"levels": 9}, "holds -1.0 at (3, 1), none of the levels 0, ..., 8"),
        (float("nan"), {"levels": 9}, "holds nan at (3, 1), none of the levels 0, ..., 8"),
        (1.5, {"range": (-1.0, 1.0)}, "holds 1.5 at (3, 1), outside the range -1 to 1"),
        (float("inf"), {}, "holds inf at (3, 1), not a finite number"),
    ],
)
def test_values_that_are_not_as_declared_are_named(tmp_path: Path, value: float, options, rest: str) -> None:
    values = np.zeros((20, 2))
    values[3, 1] = value
    file = save(tmp_path / "a.npy", values)
    refused(Arrays(file=file, **options), f"arrays: {file} {rest}")


def test_files_that_do_not_hold_what_is_asked_for(tmp_path: Path) -> None:
    missing = tmp_path / "none.npy"
    refused(Arrays(file=missing), f"arrays: there is no file {missing}", error=FileNotFoundError)
    (text := tmp_path / "text.npy").write_text("no numbers")
    refused(Arrays(file=text), f"arrays: {text} is no .npy or .npz file of numbers")
    several = save(tmp_path / "several.npz", images=COUNTING, labels=np.arange(20))
    refused(Arrays(file=several), f"arrays: {several} holds 2 arrays: set key to one of images, labels")
    refused(Arrays(file=several, key="x"), f"arrays: {several} holds no array 'x': it holds images, labels")
    one = save(tmp_path / "one.npy", COUNTING)
    refused(Arrays(file=one, key="x"), f"arrays: {one} holds one array without a name: leave out 'x'")
    refused(Arrays(file=one, test_share=0.0), f"arrays: none of the 20 items of {one} is in the test split with test_share = 0.0", "test")
    flat = save(tmp_path / "flat.npy", np.arange(20))
    refused(Arrays(file=flat), f"arrays: {flat} must hold numbers with an axis of items and more: it has int64 (20,)")
    short = save(tmp_path / "short.npz", x=COUNTING, y=np.arange(19))
    refused(Arrays(file=short, key="x", label_key="y"), f"arrays: 'y' in {short} must hold 20 whole numbers: it has int64 (19,)")


def test_a_single_array_of_an_npz_file_needs_no_key(tmp_path: Path) -> None:
    file = save(tmp_path / "a.npz", only=COUNTING)
    torch.testing.assert_close(everything(Arrays(file=file, test_file=file)), torch.from_numpy(COUNTING).float(), rtol=0, atol=0)


def test_a_range_must_rise() -> None:
    with pytest.raises(ValueError, match=r"^range = \(1.0, 1.0\) must rise$"):
        Arrays(file=Path("a.npy"), range=(1.0, 1.0))
