"""What a run keeps beside its results: snapshots, samples until all are there, and what it was made with."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

Command = Callable[..., Result]
Process = Callable[..., "subprocess.CompletedProcess[str]"]
SAMPLES = ("--set", "sampling.count=20")  # three chunks of 8


def test_snapshots_are_the_averaged_weights_of_every_k_th_step(done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("--set", "training.snapshot_every=3", "--set", "training.log_every=6", "--set", "training.checkpoint_every=4")
    done("train", "tiny.toml", "--out", "straight", *settings)
    folders = sorted(Path("straight/snapshots").iterdir())
    assert [folder.name for folder in folders] == ["step-00000003", "step-00000006"]
    facts = [json.loads((folder / "weights.json").read_text()) for folder in folders]
    assert [(fact["weights"], fact["step"]) for fact in facts] == [("ema", 3), ("ema", 6)]
    assert facts[1] == json.loads(Path("straight/weights.json").read_text())
    assert (folders[1] / "weights.safetensors").read_bytes() == Path("straight/weights.safetensors").read_bytes()
    assert facts[0]["digest"] != facts[1]["digest"]
    with monkeypatch.context() as patch:
        patch.setattr("scoresde.core.stages.training.loss_curve", lambda *all: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scoresde("train", "tiny.toml", "--out", "cut", *settings)
    (Path("cut/snapshots") / ".writing-x").mkdir()
    done("train", "cut", "--resume")
    assert sorted(folder.name for folder in Path("cut/snapshots").iterdir()) == ["step-00000003", "step-00000006"]
    for folder in folders:
        assert Path("cut/snapshots", folder.name, "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_weights_that_are_no_average_are_called_raw(done: Command) -> None:
    done("train", "tiny.toml", "--set", "training.ema=0")
    assert json.loads(Path("runs/tiny/weights.json").read_text())["weights"] == "raw"
    newest = load_file("runs/tiny/checkpoints/step-00000006/model.safetensors")
    assert all(torch.equal(value, newest[key]) for key, value in load_file("runs/tiny/weights.safetensors").items())


STOPPED_IN_THE_THIRD = """\
import os, signal, torch
import scoresde.core.stages.sampling as stage
torch.set_num_threads({threads})
generate, calls = stage.generate, []
def stop(*all, **named):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.{signal})
    return generate(*all, **named)
stage.generate = stop
"""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_sampling_goes_on_where_it_was(number: str, done: Command, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    done("train", "tiny.toml")
    done("sample", "runs/tiny", "--out", "straight", *SAMPLES)
    before = STOPPED_IN_THE_THIRD.format(threads=torch.get_num_threads(), signal=number)
    stopped = process(before, "sample", "runs/tiny", "--out", "cut", "--quiet", *SAMPLES)
    if number == "SIGTERM":
        said = "stopped with 2 of 3 chunks finished and saved: --resume goes on from there\n"
        assert (stopped.returncode, stopped.stdout, stopped.stderr) == (143, "", said)
    else:
        assert stopped.returncode == -signal.SIGKILL
    assert sorted(path.name for path in Path("cut/partial/sample").rglob("*.safetensors")) == [
        "chunk-000000.safetensors",
        "chunk-000001.safetensors",
    ]
    calls: list[int] = []
    generate = "scoresde.core.stages.sampling.generate"
    from scoresde.core.sampling import generate as original

    monkeypatch.setattr(generate, lambda *all, **named: (calls.append(1), original(*all, **named))[1])
    done("sample", "cut", "--resume")
    assert len(calls) == 1
    assert not Path("cut/partial").exists()
    with np.load("straight/samples.npz") as first, np.load("cut/samples.npz") as second:
        assert all(np.array_equal(first[key], second[key]) for key in first.files)
    assert Path("cut/results.json").read_bytes() == Path("straight/results.json").read_bytes()


def test_a_folder_in_which_another_process_works_is_refused(scoresde: Command, done: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr("scoresde.core.runs._TRIES", 1)
    done("train", "tiny.toml")
    handle = os.open("runs/tiny", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        result = scoresde("run", "tiny.toml", "--resume", "--quiet")
    finally:
        os.close(handle)
    said = "runs/tiny: another process is at work in this folder: wait for it, or end it\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)


def test_a_run_says_what_it_was_made_with_and_what_is_missing_of_it(done: Command, scoresde: Command, folder: Path) -> None:
    done("train", "tiny.toml", "--plugin", "my_sampler.py", "--set", "sampling.predictor.use=drift")
    facts = json.loads(Path("runs/tiny/run.json").read_text())
    assert list(facts["distributions"]) == ["my_sampler.py", "scoresde"]
    assert facts["distributions"]["scoresde"] == facts["versions"]["scoresde"]
    assert facts["distributions"]["my_sampler.py"].startswith("sha256:")

    facts["distributions"]["scoresde-deis"] = "0.3"
    Path("runs/tiny/run.json").write_text(json.dumps(facts))
    experiment = Path("runs/tiny/experiment.toml")
    experiment.write_text(experiment.read_text().replace("my_sampler.py:drift", "scoresde-deis:deis").replace("factor = 1.0\n", ""))
    result = scoresde("sample", "runs/tiny")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 2), result.stderr
    first, last = result.stderr.splitlines()[0], result.stderr.splitlines()[-1]
    assert 'no predictor "scoresde-deis:deis": there is no plugin scoresde-deis' in first
    assert last == "runs/tiny was made with scoresde-deis 0.3, which is not installed: pip install scoresde-deis==0.3"


def test_a_plugin_of_another_version_is_a_warning(done: Command, scoresde: Command) -> None:
    done("train", "tiny.toml")
    facts = json.loads(Path("runs/tiny/run.json").read_text())
    facts["distributions"]["scoresde"] = "0.0.1"
    Path("runs/tiny/run.json").write_text(json.dumps(facts))
    result = scoresde("train", "tiny.toml", "--resume", "--quiet")
    here = facts["versions"]["scoresde"]
    assert (result.exit_code, result.stderr) == (0, f"warning: the run had scoresde 0.0.1, here is {here}: results may differ\n")
