"""Arrays in numpy's files, read a block at a time."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from scoresde.core import arrays

X = np.arange(30, dtype=np.int16).reshape(10, 3)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "plain.npz", x=X, y=X[:2])
    np.savez_compressed(tmp_path / "packed.npz", x=X.astype(">f4"))
    return {path.stem: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize(("file", "name", "dtype"), [("x", None, np.int16), ("plain", "x", np.int16), ("packed", "x", np.float32)])
@pytest.mark.parametrize("size", [1, 4, 10, 99])
def test_blocks_are_the_rows_in_their_order(files: dict[str, Path], file: str, name: str | None, dtype: type, size: int) -> None:
    assert arrays.header(files[file], name).shape == (10, 3)
    found = list(arrays.blocks(files[file], name, size))
    assert [len(block) for block in found] == [min(size, 10 - start) for start in range(0, 10, size)]
    np.testing.assert_array_equal(np.concatenate(found), X.astype(dtype))


def test_a_large_array_never_lies_in_memory_whole(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "large.npz", x=np.zeros((20_000, 1000), np.uint8))
    tracemalloc.start()
    try:
        assert sum(int(block.sum()) + len(block) for block in arrays.blocks(tmp_path / "large.npz", "x", 100)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 2e6  # of 20 MB
    finally:
        tracemalloc.stop()


def test_names_and_which_one_is_meant(files: dict[str, Path]) -> None:
    assert arrays.names(files["plain"]) == ["x", "y"]
    assert [arrays.chosen(files[file], ("y", "x")) for file in ("plain", "packed", "x")] == ["y", "x", None]
    with pytest.raises(ValueError, match=r"plain.npz holds x, y; expected an array samples or arr_0, or a single one$"):
        arrays.chosen(files["plain"], ("samples", "arr_0"))


def test_what_is_no_array_is_one_line(tmp_path: Path, files: dict[str, Path]) -> None:
    text, objects, columns, cut = (tmp_path / name for name in ("text.npz", "words.npy", "columns.npy", "cut.npy"))
    text.write_text("no archive")
    np.save(objects, np.array(["a"]))
    np.save(columns, np.asfortranarray(X))
    cut.write_bytes(files["x"].read_bytes()[:-4])
    cases = [
        (text, "x", f"{text} is no .npz file"),
        (objects, None, f"{objects} holds <U1, no numbers"),
        (columns, None, f"{columns} is stored by columns: save numpy.ascontiguousarray of it"),
        (files["plain"], "z", f"{files['plain']} holds no array 'z'"),
        (cut, None, f"{cut} ends before its array does"),
    ]
    for path, name, message in cases:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            list(arrays.blocks(path, name, 100))


def test_blocks_are_written_as_numpy_reads_them(tmp_path: Path) -> None:
    x, y = np.arange(60, dtype=np.float32).reshape(5, 3, 4), np.arange(5, dtype=np.uint8)
    path = tmp_path / "x.npz"
    arrays.write_blocks(
        path, {"x": (arrays.Header(x.shape, x.dtype), iter([x[:2], x[2:2], x[2:]])), "y": (arrays.Header(y.shape, y.dtype), [y])}
    )
    with np.load(path, allow_pickle=False) as held:
        assert held.files == ["x", "y"]
        assert [(held[name].dtype, held[name].tolist()) for name in ("x", "y")] == [(x.dtype, x.tolist()), (y.dtype, y.tolist())]
    assert np.concatenate(list(arrays.blocks(path, "x", 2))).tolist() == x.tolist()
    with pytest.raises(ValueError, match=r"^x: there are 4 rows, told were 5$"):
        arrays.write_blocks(path, {"x": (arrays.Header(x.shape, x.dtype), [x[:4]])})
    with pytest.raises(ValueError, match=r"^x: a block is float64 \(5, 3, 4\), told was float32 \(5, 3, 4\)$"):
        arrays.write_blocks(path, {"x": (arrays.Header(x.shape, x.dtype), [x.astype(np.float64)])})
