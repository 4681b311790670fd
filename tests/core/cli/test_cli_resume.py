"""A run that is stopped, whatever stops it, goes on and ends with the same weights and samples to the last bit."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from click.testing import CliRunner, Result

from scoresde.core.cli import main
from scoresde.core.training import Trainer

Command = Callable[..., Result]
Tree = Callable[[Path], dict[str, bytes]]
Process = Callable[..., "subprocess.CompletedProcess[str]"]

RESULTS = ("weights.safetensors", "weights.json", "training.jsonl", "results.json")

KILLED_WHILE_WRITING = """\
import os, signal
from pathlib import Path
replace = os.replace
def kill(source, target):
    if Path(target).name == "step-00000004":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = kill
"""

STOPPED_AT_3 = """\
import os, signal
from scoresde.core.training import Trainer
advance = Trainer.advance
def stop(self, source):
    loss = advance(self, source)
    if self.done == 3:
        os.kill(os.getpid(), signal.SIGNAL)
    return loss
Trainer.advance = stop
"""


def same_run(one: Path, other: str) -> None:
    for name in RESULTS:
        assert Path(one, name).read_bytes() == Path(other, name).read_bytes(), name
    for name in ("samples.npz", "inpainting.npz", "likelihood.npz"):
        with np.load(Path(one, name)) as first, np.load(Path(other, name)) as second:
            assert first.files == second.files
            assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first.files), name


def raising(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException) -> None:
    """Training fails in this step."""
    advance = Trainer.advance

    def fail(self: Trainer, source: Any) -> torch.Tensor:
        if self.done == step:
            raise error
        return advance(self, source)

    monkeypatch.setattr(Trainer, "advance", fail)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, digits_text: str) -> Path:
    """The run of small-digits that nothing stopped."""
    folder = tmp_path_factory.mktemp("straight")
    (folder / "small-digits.toml").write_text(digits_text, "utf-8")
    AcceleratorState._reset_state(True)
    result = CliRunner().invoke(main, ["run", str(folder / "small-digits.toml"), "--out", str(folder / "run")], catch_exceptions=False)
    assert result.exit_code == 0
    return folder / "run"


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_run_that_raised_goes_on_bit_for_bit(
    straight: Path, done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The network has dropout, the learning rate falls, and the best weights in validation are kept."""
    with monkeypatch.context() as patch:
        raising(patch, step, RuntimeError("cut short"))
        with pytest.raises(RuntimeError, match=r"^cut short$"):
            scoresde("run", "small-digits.toml", "--out", "cut")
    steps = [int(path.name[-1]) for path in Path("cut", "checkpoints").glob("step-*")] if step > 1 else []
    assert sorted(steps) == list(range(2, step + 1, 2))
    done("run", "small-digits.toml", "--out", "cut", "--resume")
    same_run(straight, "cut")


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_bit_for_bit(straight: Path, done: Command, process: Process) -> None:
    threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"
    killed = process(threads + KILLED_WHILE_WRITING, "run", "small-digits.toml", "--out", "killed")
    assert killed.returncode == -signal.SIGKILL
    there = sorted(path.name for path in Path("killed", "checkpoints").iterdir())
    assert [name for name in there if not name.startswith(".writing-")] == ["best", "step-00000002"]
    assert len(there) == 3
    done("run", "killed", "--resume")
    same_run(straight, "killed")
    assert sorted(path.name for path in Path("killed", "checkpoints").iterdir()) == ["best", "step-00000004", "step-00000006"]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_sigterm_saves_the_state_and_leaves_with_143(number: str, straight: Path, done: Command, process: Process) -> None:
    threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"
    stopped = process(threads + STOPPED_AT_3.replace("SIGNAL", number), "run", "small-digits.toml", "--out", "stopped", "--quiet")
    assert (stopped.returncode, stopped.stdout) == (143, "")
    assert stopped.stderr == "stopped at step 3, with the state saved: --resume goes on from there\n"
    assert sorted(path.name for path in Path("stopped", "checkpoints").iterdir()) == ["best", "step-00000002", "step-00000003"]
    done("run", "stopped", "--resume")
    same_run(straight, "stopped")


def test_sigterm_is_the_caller_s_again_after_training(done: Command) -> None:
    before = signal.getsignal(signal.SIGTERM)
    done("train", "tiny.toml")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_stage_that_failed_is_done_again_and_the_others_are_not(
    straight: Path, done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch, tree: Tree
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("scoresde.core.stages.likelihood.figures", lambda *all: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scoresde("run", "small-digits.toml", "--out", "cut")
    before = tree(Path("cut"))
    done("run", "small-digits.toml", "--out", "cut", "--resume")
    same_run(straight, "cut")
    after = tree(Path("cut"))
    kept = [name for name in before if name not in ("run.json", "results.json") and not name.startswith(("likelihood", "partial"))]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_a_half_written_line_of_the_log_is_dropped(
    straight: Path, done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        raising(patch, 3, RuntimeError("cut short"))
        with pytest.raises(RuntimeError):
            scoresde("run", "small-digits.toml", "--out", "cut")
    log = Path("cut/training.jsonl")
    log.write_text(log.read_text() + '{"step": 4, "lo', "utf-8")
    done("run", "small-digits.toml", "--out", "cut", "--resume")
    same_run(straight, "cut")


def test_progress_of_a_resumed_run_starts_where_it_was(scoresde: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        raising(patch, 4, RuntimeError("cut short"))
        with pytest.raises(RuntimeError):
            scoresde("train", "tiny.toml")
    _, first, last = scoresde("train", "tiny.toml", "--resume").stderr.splitlines()
    assert first.startswith("training: step 5/6 (83 %), loss ")
    assert last.startswith("training: step 6/6 (100 %), loss ")


def test_a_kill_between_the_first_two_files_of_a_run_can_be_resumed(done: Command) -> None:
    done("run", "tiny.toml", "--out", "straight")
    Path("cut").mkdir()
    Path("cut/experiment.toml").write_bytes(Path("straight/experiment.toml").read_bytes())
    done("run", "tiny.toml", "--out", "cut", "--resume")
    assert Path("cut/weights.safetensors").read_bytes() == Path("straight/weights.safetensors").read_bytes()


def test_threads_are_those_of_the_run(done: Command, scoresde: Command) -> None:
    done("train", "tiny.toml")
    facts = json.loads(Path("runs/tiny/run.json").read_text())
    facts["threads"], facts["versions"]["torch"] = 4096, "1.0"
    Path("runs/tiny/run.json").write_text(json.dumps(facts))
    before = torch.get_num_threads()
    try:
        result = scoresde("train", "tiny.toml", "--resume")
        assert torch.get_num_threads() == 4096
    finally:
        torch.set_num_threads(before)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: the run had 4096 threads, more than this machine has processors",
        f"warning: the run had torch 1.0, here is {torch.__version__}: last bits may differ",
    ]


def damage(name: str, content: bytes | None) -> None:
    path = Path("runs/tiny/checkpoints/step-00000004", name)
    path.write_bytes(path.read_bytes()[:-9] if content is None else content)


CUT = "runs/tiny/checkpoints/step-00000004"
GO_ON = "remove the folder to go on from an older one"


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("optimizer.safetensors", None, rf"{CUT}: the checkpoint cannot be read: Error while .*; {GO_ON}\n"),
        ("manifest.json", None, rf"{CUT}: the checkpoint cannot be read: {CUT}/manifest.json: not valid JSON: .*; {GO_ON}\n"),
        ("manifest.json", b"{}", rf"{CUT}: the checkpoint is not of this training run: {GO_ON}\n"),
    ],
)
def test_a_damaged_checkpoint_is_one_line_and_the_older_one_goes_on(
    done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch, tree: Tree, name: str, content: bytes | None, error: str
) -> None:
    done("run", "tiny.toml", "--out", "straight")
    with monkeypatch.context() as patch:
        raising(patch, 5, RuntimeError("cut short"))
        with pytest.raises(RuntimeError):
            scoresde("run", "tiny.toml")
    damage(name, content)
    before = tree(Path("runs"))
    result = scoresde("run", "tiny.toml", "--resume", "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(error, result.stderr)
    assert tree(Path("runs")) == before
    for file in Path(CUT).iterdir():
        file.unlink()
    os.rmdir(CUT)
    done("run", "tiny.toml", "--resume")
    assert Path("runs/tiny/weights.safetensors").read_bytes() == Path("straight/weights.safetensors").read_bytes()
