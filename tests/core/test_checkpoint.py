"""Checkpoints: what is written is read back, and what cannot be read is refused in one line."""

import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from scoresde.core.checkpoint import load_weights, newest, read, read_tensors, save, save_step, write_tensors
from scoresde.core.errors import UserError
from scoresde.core.files import remove_folder, remove_unfinished

TENSORS = {"model": {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}, "optimizer": {"a/exp_avg": torch.ones(2, 3)}}


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, "best", TENSORS, {"step": 4, "best": None})
    found = read(path)
    assert found.manifest == {"step": 4, "best": None}
    assert {group: sorted(entries) for group, entries in found.tensors.items()} == {"model": ["a", "n"], "optimizer": ["a/exp_avg"]}
    assert torch.equal(found.tensors["model"]["a"], TENSORS["model"]["a"])
    assert found.tensors["model"]["n"].dtype == torch.int64


def test_views_and_tied_weights_are_kept_by_value(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    path = save(tmp_path, "best", {"model": {"whole": whole, "tied": whole, "part": whole[1], "turned": whole.T}}, {})
    found = read(path).tensors["model"]
    expected = {"whole": whole, "tied": whole, "part": whole[1], "turned": whole.T}
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_the_newest_two_steps_and_the_best_stay(tmp_path: Path) -> None:
    save(tmp_path, "best", TENSORS, {})
    for step in (5, 10, 100, 1000):
        save_step(tmp_path, step, TENSORS, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "step-00000100", "step-00001000"]
    assert newest(tmp_path) == tmp_path / "step-00001000"


def test_no_checkpoint_is_newest_of_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "checkpoints") is None


def test_what_a_killed_process_left_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    save_step(tmp_path, 5, TENSORS, {"step": 5})
    (tmp_path / ".writing-x").mkdir()
    (tmp_path / ".writing-x" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "step-00000010").mkdir()
    assert newest(tmp_path) == tmp_path / "step-00000005"
    remove_unfinished(tmp_path)
    assert not (tmp_path / ".writing-x").exists()


@pytest.mark.parametrize("removed", range(4))
def test_a_checkpoint_is_never_half_removed(tmp_path: Path, removed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies when so many files of the oldest are gone: what is left under its name is whole, and the next start tidies."""
    for step in (5, 10):
        save_step(tmp_path, step, TENSORS, {"step": step})

    def dies(path: Path) -> None:
        for file in sorted(path.iterdir())[:removed]:
            file.unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "step-00000005")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-00000010"]
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.safetensors", b"\x10", "Error while deserializing header: header too small"),
        ("manifest.json", b"{", "{file}: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("manifest.json", None, "[Errno 2] No such file or directory: '{file}'"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    path = save(tmp_path, "best", TENSORS, {})
    (path / name).unlink()
    if content is not None:
        (path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        read(path)
    why = reason.format(file=path / name)
    assert str(error.value) == f"{path}: the checkpoint cannot be read: {why}; remove the folder to go on from an older one"


def test_a_truncated_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, TENSORS["model"])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError) as error:
        read_tensors(path)
    assert str(error.value).startswith(f"{path}: the weights cannot be read: ")


def test_weights_of_another_model_are_refused_with_names_and_shapes(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    weights = {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}
    with pytest.raises(UserError) as error:
        load_weights(network, weights, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: the checkpoint is of another model: size mismatch for weight: copying a param with shape torch.Size([3, 2]) from"
        " checkpoint, the shape in current model is torch.Size([2, 2])."
    )
    with pytest.raises(UserError) as error:
        load_weights(network, {"scale": torch.zeros(1), "shift": torch.zeros(1)}, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: the checkpoint is of another model: weight is missing; bias is missing; scale is not in the model; and 1 more"
    )


def test_a_full_disk_keeps_the_old_checkpoint_and_names_the_new_one(tmp_path: Path) -> None:
    """The limit on the size of a file stands for a full disk."""
    save_step(tmp_path, 1, TENSORS, {"step": 1})
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            save_step(tmp_path, 2, {"model": {"a": torch.zeros(10000)}}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert error.value.filename == str(tmp_path / "step-00000002")
    assert os.listdir(tmp_path) == ["step-00000001"]
    assert read(tmp_path / "step-00000001").manifest == {"step": 1}


def test_nothing_in_a_checkpoint_is_code(tmp_path: Path) -> None:
    path = save(tmp_path, "best", TENSORS, {"step": 4})
    assert sorted(os.listdir(path)) == ["manifest.json", "model.safetensors", "optimizer.safetensors"]
    assert json.loads((path / "manifest.json").read_text()) == {"step": 4}
    header = (path / "model.safetensors").read_bytes()
    assert json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["a"]["shape"] == [2, 3]
