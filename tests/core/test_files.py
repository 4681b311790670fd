"""Files and folders are written whole or not at all, whatever stops the writing."""

import errno
import os
from pathlib import Path

import pytest

from scoresde.core.errors import UserError
from scoresde.core.files import read_json, recover_folder, remove_unfinished, write_file, write_folder, write_json, write_text


def fail(temporary: Path) -> None:
    """Writes a part, then fails as a full disk does: without a file name."""
    temporary.write_text("half", "utf-8")
    raise OSError(errno.ENOSPC, "No space left on device")


def text(value: str) -> object:
    return lambda path: path.write_text(value, "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_file_is_made_with_its_folders_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json(path, {"one": 1})
    write_json(path, {"two": [2]})
    assert contents(tmp_path) == {"a/b.json": b'{\n  "two": [\n    2\n  ]\n}\n'}
    assert read_json(path) == {"two": [2]}


def test_a_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_text(path, "old")
    with pytest.raises(OSError, match="No space left") as error:
        write_file(path, fail)
    assert error.value.filename == str(path)
    assert contents(tmp_path) == {"results.json": b"old"}


def test_the_temporary_file_has_the_suffix_and_lies_beside_the_place(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_file(tmp_path / "samples.png", lambda path: (seen.append(path), path.write_text("x"))[1])
    assert (seen[0].parent, seen[0].suffix, seen[0].name != "samples.png") == (tmp_path, ".png", True)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"seed": ', "utf-8")
    with pytest.raises(UserError) as error:
        read_json(tmp_path / "run.json")
    assert str(error.value) == f"{tmp_path / 'run.json'}: not valid JSON: Expecting value: line 1 column 10 (char 9)"


def test_a_folder_is_made_and_replaced_whole(tmp_path: Path) -> None:
    write_folder(tmp_path / "best", {"a": text("1"), "b": text("2")})
    write_folder(tmp_path / "best", {"a": text("3")})
    assert contents(tmp_path) == {"best/a": b"3"}


def test_a_failed_writing_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    write_folder(tmp_path / "best", {"a": text("old")})
    with pytest.raises(OSError, match="No space left") as error:
        write_folder(tmp_path / "best", {"a": text("new"), "b": fail})
    assert error.value.filename == str(tmp_path / "best")
    assert contents(tmp_path) == {"best/a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_renaming_that_fails_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    write_folder(tmp_path / "best", {"a": text("old")})
    calls, replace = [0], os.replace

    def refuse(source: object, target: object) -> None:
        calls[0] += 1
        if calls[0] == failing:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        write_folder(tmp_path / "best", {"a": text("new")})
    assert contents(tmp_path) == {"best/a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("killed_at", range(1, 8))
def test_at_every_moment_the_old_or_the_new_folder_can_be_read(tmp_path: Path, killed_at: int) -> None:
    """A child process is killed before its n-th change of the file system."""
    write_folder(tmp_path / "best", {"a": text("old")})
    child = os.fork()
    if child == 0:
        _write_until(tmp_path / "best", killed_at)
    os.waitpid(child, 0)
    recover_folder(tmp_path / "best")
    remove_unfinished(tmp_path)
    assert contents(tmp_path) == {"best/a": b"old" if killed_at <= 4 else b"new"}  # the fourth renames the new folder
    write_folder(tmp_path / "best", {"a": text("newer")})
    assert contents(tmp_path) == {"best/a": b"newer"}


def _write_until(path: Path, killed_at: int) -> None:
    """Ends the process without any clean-up before the n-th of the calls that rename, sync or remove."""
    import shutil

    count = 0

    def counted(function: object) -> object:
        def call(*args: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == killed_at:
                os._exit(9)
            return function(*args, **named)

        return call

    os.replace, os.fsync, shutil.rmtree = counted(os.replace), counted(os.fsync), counted(shutil.rmtree)
    try:
        write_folder(path, {"a": text("new")})
    finally:
        os._exit(0)
