"""Files that are written whole or not at all: to a temporary name beside the place, synced, then renamed.

An OSError of this module names the place, whatever the library that wrote knew of it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Makes ``path`` by calling ``write`` with a temporary name (of the same suffix) in its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        with _naming(path):
            write(temporary)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Raises UserError where the file is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error


def write_folder(path: Path, files: Mapping[str, Callable[[Path], object]]) -> None:
    """Makes the folder ``path`` with these files, each by its function; an older folder of the name is replaced at the end.

    No folder can be renamed onto another: the older one is put aside for that moment, and brought back where the renaming fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(path)
    aside = _aside(path)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    try:
        with _naming(path):
            for name, write in files.items():
                write(temporary / name)
                _sync(temporary / name)
            if path.exists():
                os.replace(path, aside)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        recover_folder(path)
        shutil.rmtree(temporary, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """After a replacement that was cut short: brings back the older folder where there is no newer one, or else removes it."""
    aside = _aside(path)
    if aside.exists() and not path.exists():
        os.replace(aside, path)
    shutil.rmtree(aside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Removes a folder, which is whole until it is gone under its name."""
    going = path.with_name(f".removing-{os.getpid()}-{path.name}")
    os.replace(path, going)
    shutil.rmtree(going)


def remove_unfinished(parent: Path) -> None:
    """Removes what killed processes left half-written, or half-removed, in a folder."""
    for path in (*parent.glob(".writing-*"), *parent.glob(".removing-*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".replaced-{path.name}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Gives an OSError the name of what was to be written, where it has none (a full disk) or a temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
