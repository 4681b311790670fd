"""Arrays in numpy's files (.npy, .npz), read and written a block of rows at a time, so that a large one never lies in memory whole."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.lib import format as numpy_format

_HEADERS = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}


class Header(NamedTuple):
    """What a file says of an array."""

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"


def names(path: Path) -> list[str]:
    """The names of the arrays of a .npz file. Raises ValueError or OSError where it is none."""
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def header(path: Path, name: str | None = None) -> Header:
    """Of the array ``name`` of a .npz file, or that of a .npy file. Raises ValueError or OSError where there is none."""
    with _opened(path, name) as (_, found):
        return found


def blocks(path: Path, name: str | None, size: int) -> "Iterator[np.ndarray[Any, Any]]":
    """The rows of an array, ``size`` at a time; the last block may be shorter. Raises ValueError where the file ends before its array."""
    with _opened(path, name) as (file, (shape, dtype)):
        each = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        for start in range(0, shape[0], size):
            rows = min(size, shape[0] - start)
            yield np.frombuffer(_read(path, file, rows * each), dtype=dtype).reshape(rows, *shape[1:])


def write_blocks(path: Path, arrays: "Mapping[str, tuple[Header, Iterable[np.ndarray[Any, Any]]]]") -> None:
    """Makes a .npz file of arrays whose rows come in blocks. Raises ValueError where they are not those of the header."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (told, rows) in arrays.items():
            count = 0
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                descr = numpy_format.dtype_to_descr(told.dtype)
                numpy_format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": told.shape})
                for block in rows:
                    if block.dtype != told.dtype or block.shape[1:] != told.shape[1:]:
                        raise ValueError(f"{name}: a block is {block.dtype} {block.shape}, told was {told.dtype} {told.shape}")
                    file.write(np.ascontiguousarray(block).data)
                    count += len(block)
            if count != told.shape[0]:
                raise ValueError(f"{name}: there are {count} rows, told were {told.shape[0]}")


def _read(path: Path, file: BinaryIO, count: int) -> bytearray:
    found = bytearray()
    while len(found) < count:
        try:
            part = file.read(count - len(found))
        except (zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if not part:
            raise ValueError(f"{path} ends before its array does")
        found += part
    return found


@contextmanager
def _opened(path: Path, name: str | None) -> Iterator[tuple[BinaryIO, Header]]:
    """A file that stands at the first row of its array."""
    with ExitStack() as held:
        if path.suffix == ".npz":
            archive = held.enter_context(_archive(path))
            member = f"{name}.npy"
            if member not in archive.namelist():
                raise ValueError(f"{path} holds no array {name!r}")
            file = cast(BinaryIO, held.enter_context(archive.open(member)))
        else:
            file = held.enter_context(path.open("rb"))
        yield file, _header(path, file)


def _header(path: Path, file: BinaryIO) -> Header:
    try:
        shape, by_columns, dtype = _HEADERS[numpy_format.read_magic(file)](file)
    except (KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is no .npy or .npz file of numbers") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {dtype}, no numbers")
    if by_columns and len(shape) > 1:
        raise ValueError(f"{path} is stored by columns: save numpy.ascontiguousarray of it")
    if not shape:
        raise ValueError(f"{path} holds a single number")
    return Header(tuple(shape), dtype)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no .npz file") from error
    with archive:
        yield archive


def chosen(path: Path, preferred: Sequence[str]) -> str | None:
    """The first of the preferred names that a .npz file has, or the name of its only array; None for a .npy file.

    Raises ValueError where it is not clear.
    """
    if path.suffix != ".npz":
        return None
    held = names(path)
    found = next((name for name in preferred if name in held), held[0] if len(held) == 1 else None)
    if found is None:
        raise ValueError(f"{path} holds {', '.join(held) or 'nothing'}; expected an array {' or '.join(preferred)}, or a single one")
    return found
