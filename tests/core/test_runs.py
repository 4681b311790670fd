"""The run folder: what it refuses, what it notes, and that it never changes what it refuses."""

import json
from pathlib import Path

import pytest
import torch

from scoresde.core.errors import UserError
from scoresde.core.runs import RunFolder, differences, digest, environment, free_folder

ONE = '[experiment]\nname = "a"\nseed = 0\n\n[sde]\nuse = "vp"\n'
OTHER = '[experiment]\nname = "a"\nseed = 1\n\n[sde]\nuse = "ve"\n\n[run]\nchunk = 3\n'


def made(path: Path, weights_from: Path | None = None) -> RunFolder:
    folder = RunFolder.check(path, ONE, resume=False)
    folder.make(ONE, {"seed": 0}, weights_from)
    return folder


def test_checking_makes_nothing(tmp_path: Path) -> None:
    folder = RunFolder.check(tmp_path / "runs" / "a", ONE, resume=True)
    assert (folder.exists, folder.done("train"), folder.weights_from, list(tmp_path.iterdir())) == (False, False, None, [])


def test_a_new_folder_holds_experiment_and_facts(tmp_path: Path) -> None:
    folder = made(tmp_path / "runs" / "a")
    assert (folder / "experiment.toml").read_text() == ONE
    facts = json.loads((folder / "run.json").read_text())
    assert list(facts) == ["versions", "machine", "threads", "started", "seed", "weights_from", "stages"]
    assert (facts["seed"], facts["weights_from"], facts["stages"]) == (0, None, {})
    assert facts["versions"] == environment()["versions"]
    assert facts["threads"] == torch.get_num_threads()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    made(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiment.toml", "run.json"]


def test_making_it_again_changes_nothing(tmp_path: Path) -> None:
    folder = made(tmp_path)
    before = (folder / "run.json").read_bytes()
    folder.make(OTHER, {"seed": 7})
    assert (folder / "experiment.toml").read_text() == ONE
    assert (folder / "run.json").read_bytes() == before


def test_what_the_folder_may_hold(tmp_path: Path) -> None:
    path = made(tmp_path / "a").path
    with pytest.raises(UserError) as error:
        RunFolder.check(path, ONE, resume=False)
    assert str(error.value) == f"{path} already holds a run of this experiment: add --resume to go on with it, or choose another --out DIR"
    assert RunFolder.check(path, ONE, resume=True).exists
    for resume in (False, True):
        with pytest.raises(UserError) as error:
            RunFolder.check(path, OTHER, resume=resume)
        differs = "it differs in experiment.seed, run, sde.use"
        assert str(error.value) == f"{path} holds the run of another experiment ({differs}): choose another --out DIR"
    (tmp_path / "file").write_text("mine")
    for other in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError) as error:
            RunFolder.check(other, ONE, resume=True)
        assert str(error.value) == f"{other} holds something that is not a run: choose another --out DIR"


def test_a_damaged_experiment_is_another_one(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "experiment.toml").write_text("[experiment\n")
    with pytest.raises(UserError) as error:
        RunFolder.check(tmp_path, ONE, resume=True)
    assert str(error.value) == (
        f"{tmp_path} holds the run of another experiment (it differs in experiment, sde): choose another --out DIR"
    )  # fmt: skip


def test_stages_and_figures_are_noted_in_their_order(tmp_path: Path) -> None:
    folder = made(tmp_path)
    folder.finish("train", 1.23456)
    folder.finish("sample", 2.0, [{"name": "evaluations", "value": 4}])
    folder.finish("likelihood", 3.0, [{"name": "nats", "value": 1.5}])
    assert (folder.done("train"), folder.done("likelihood"), folder.done("evaluate")) == (False, True, False)
    (folder / "weights.safetensors").touch()
    assert folder.done("train")  # with its weights
    assert (list(folder.facts["stages"]), folder.facts["stages"]["train"]["seconds"]) == (["train", "sample", "likelihood"], 1.235)
    results = json.loads((folder / "results.json").read_text())
    assert results == {"figures": [{"name": "evaluations", "value": 4}, {"name": "nats", "value": 1.5}]}


def test_a_stage_done_twice_gives_its_figures_once(tmp_path: Path) -> None:
    """As after a kill between the two files that note a stage."""
    folder = made(tmp_path)
    folder.finish("sample", 2.0, iter([{"name": "evaluations", "value": 4}]))
    folder.finish("sample", 2.0, iter([{"name": "evaluations", "value": 5}]))
    assert json.loads((folder / "results.json").read_text()) == {"figures": [{"name": "evaluations", "value": 5}]}


def test_the_folder_of_the_weights_is_kept_relative_so_that_both_can_move(tmp_path: Path) -> None:
    drawn = made(tmp_path / "runs" / "a" / "sample-001", tmp_path / "runs" / "a")
    assert drawn.facts["weights_from"] == ".."
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert RunFolder(tmp_path / "moved" / "a" / "sample-001").weights_from == tmp_path / "moved" / "a"


def test_differences_are_key_paths() -> None:
    one = {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "f": [1, 2]}
    assert differences(one, one) == []
    assert differences(one, {"a": 1, "b": {"c": 3, "d": {"e": 3, "g": 1}}, "f": [2, 1]}) == ["b.c", "b.d.g", "f"]
    assert differences(one, {"a": {"x": 1}, "b": 2, "f": [1, 2]}) == ["a", "b"]


def test_the_next_free_folder(tmp_path: Path) -> None:
    assert free_folder(tmp_path, "sample") == tmp_path / "sample-001"
    (tmp_path / "sample-001").mkdir()
    (tmp_path / "sample-003").mkdir()
    (tmp_path / "likelihood-002").mkdir()
    assert free_folder(tmp_path, "sample") == tmp_path / "sample-002"


def test_a_digest_is_of_the_bytes() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert digest([x]) == digest([x[:1], x[1:]]) == digest([x.T.contiguous().T])
    assert digest([x]) != digest([x + 1e-6])
    assert len(digest([x])) == 16


def test_an_experiment_that_today_is_written_with_new_options_is_the_same(tmp_path: Path) -> None:
    folder, now = made(tmp_path), ONE + "new = 1\n"
    with pytest.raises(UserError, match=r"it differs in sde\.new"):
        RunFolder.check(tmp_path, now, resume=True)
    assert RunFolder.check(tmp_path, now, resume=True, today=lambda file: file.read_text() + "new = 1\n").exists
    (folder / "experiment.toml").write_text("[experiment\n")

    def refuse(file: Path) -> str:
        raise UserError("not TOML")

    with pytest.raises(UserError, match=r"it differs in experiment, sde"):
        RunFolder.check(tmp_path, now, resume=True, today=refuse)


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoresde.core.runs._TRIES", 2)
    folder = made(tmp_path)
    with folder.locked():
        with pytest.raises(UserError) as error, RunFolder(tmp_path).locked():
            pass
        assert str(error.value) == f"{tmp_path}: another process is at work in this folder: wait for it, or end it"
    with folder.locked():
        pass


def test_tidying_removes_what_is_half_written_and_what_is_finished(tmp_path: Path) -> None:
    folder = made(tmp_path)
    for stage in ("sample", "likelihood"):
        (folder.partial(stage) / "digest").mkdir(parents=True)
    (folder / ".writing-7-samples.npz").write_text("half")
    folder.finish("sample", 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiment.toml", "partial", "results.json", "run.json"]
    assert [path.name for path in (folder / "partial").iterdir()] == ["likelihood"]
    folder.finish("likelihood", 1.0)
    assert not (folder / "partial").exists()
