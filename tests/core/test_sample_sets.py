"""Sets of samples: the same pictures from a file, a folder and a data set, and one line where they do not fit."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scoresde.core import DataSpec, TensorItems
from scoresde.core.runs import digest
from scoresde.core.sample_sets import SampleSet, of_items, of_path

BYTES = DataSpec(shape=(3, 2, 4), range=(-1.0, 1.0), levels=256)
X = (37 * torch.arange(5 * 24)).reshape(5, 3, 2, 4).to(torch.uint8)


def pictures(samples: SampleSet, size: int = 2) -> Tensor:
    found = list(samples.pictures(size))
    assert all(block.dtype == torch.uint8 for block in found)
    return torch.cat(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, picture in enumerate(X):
        path = tmp_path / "pictures" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return tmp_path / "pictures"


def test_one_set_of_pictures_by_four_roads(tmp_path: Path, folder: Path) -> None:
    np.savez_compressed(tmp_path / "first.npz", x=X.numpy(), other=np.zeros(3))
    np.savez(tmp_path / "last.npz", arr_0=X.movedim(1, -1).numpy(), mu=np.zeros(3))
    np.save(tmp_path / "plain.npy", X.numpy())
    sets = [
        of_items(TensorItems(BYTES, {"x": X}), "data"),
        *(of_path(tmp_path / f"{name}", BYTES) for name in ("first.npz", "last.npz", "plain.npy")),
    ]
    assert {one.digest for one in sets} == {digest([X])}
    for one in sets:
        assert torch.equal(pictures(one), X)
        assert torch.equal(one.values(3), BYTES.scale(X[:3]))
    order = [0, 2, 4, 1, 3]  # the paths are sorted
    for like in (BYTES, None):
        assert torch.equal(pictures(of_path(folder, like)), X[order])
    assert of_path(folder, BYTES).protocol == {"source": str(folder), "n": 5, "digest": digest([X[order]])}


def test_the_first_of_a_set(tmp_path: Path) -> None:
    samples = of_items(TensorItems(BYTES, {"x": X}), "data")
    assert torch.equal(pictures(samples.first(3)), X[:3])
    assert (len(samples.first(3)), samples.first(3).digest, len(samples.values(99))) == (3, digest([X[:3]]), 5)
    with pytest.raises(ValueError, match=r"^data: holds 5, fewer than 6$"):
        samples.first(6)


def test_other_levels_and_numbers_become_bytes(tmp_path: Path) -> None:
    levels = DataSpec(shape=(1, 1, 3), range=(0.0, 1.0), levels=17, classes=3)
    np.savez(tmp_path / "levels.npz", x=np.array([[[[0, 8, 16]]]], dtype=np.uint8))
    np.savez(tmp_path / "numbers.npz", model_range=np.array([[[[0.0, 0.5, 1.25]]]]))
    for name in ("levels", "numbers"):
        assert pictures(of_path(tmp_path / f"{name}.npz", levels)).flatten().tolist() == [0, 128, 255]
    assert of_path(tmp_path / "levels.npz", levels).values(1).flatten().tolist() == [0.0, 0.5, 1.0]
    assert of_path(tmp_path / "numbers.npz", levels).values(1).flatten().tolist() == [0.0, 0.5, 1.25]


def test_a_colour_folder_for_grey_data(folder: Path) -> None:
    grey = pictures(of_path(folder, DataSpec(shape=(1, 2, 4), range=(0.0, 1.0), levels=256)))
    expected = np.array(Image.fromarray(X[2].permute(1, 2, 0).numpy()).convert("L"))
    assert grey[1, 0].tolist() == expected.tolist()


def test_what_does_not_fit_is_one_line(tmp_path: Path, folder: Path) -> None:
    np.save(tmp_path / "wide.npy", X.numpy().repeat(2, axis=-1))
    np.save(tmp_path / "high.npy", X.numpy())
    np.save(tmp_path / "nan.npy", np.full((1, 3, 2, 4), np.nan))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    few = DataSpec(shape=(3, 2, 4), range=(0.0, 1.0), levels=17)
    wide = r"wide.npy holds items of shape \(3, 2, 8\); the data that they are compared with have \(3, 2, 4\)$"
    for name, like, message in [
        ("wide.npy", BYTES, wide),
        ("high.npy", few, r"high.npy: item 0 holds 37 at \(0, 0, 1\); expected one of the levels 0, ..., 16$"),
        ("high.npy", DataSpec(shape=(3, 2, 4)), r"high.npy holds whole numbers; the data have no levels$"),
        ("nan.npy", BYTES, r"nan.npy: item 0 holds nan at \(0, 0, 0\); expected a finite number$"),
        ("empty", BYTES, r"empty: no picture below it \(looked for .bmp, "),
        ("text.txt", BYTES, r"text.txt: expected a folder of pictures, a .npz or a .npy file$"),
    ]:
        with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}/{message}"):
            list(of_path(tmp_path / name, like).blocks())
    Image.new("RGB", (4, 3)).save(folder / "1" / "odd.png")
    with pytest.raises(ValueError, match=r"/1/odd.png is 4 x 3; the others are 4 x 2$"):
        list(of_path(folder, None).blocks())
    (folder / "0" / "0.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"/0/0.png: cannot be read: Pillow knows no such format$"):
        of_path(folder, None)
    with pytest.raises(ValueError, match=r"^points: items of shape \(2,\) are no pictures \(1 or 3 channels, H, W\)$"):
        of_items(TensorItems(DataSpec(shape=(2,)), {"x": torch.zeros(1, 2)}), "points").pictures()
