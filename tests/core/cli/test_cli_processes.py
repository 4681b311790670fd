"""Several processes: what they make is what one makes, one of them writes and speaks, and all stop together."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scoresde.core.errors import UserError
from scoresde.core.processes import check_configuration, check_count, check_devices

Several = Callable[..., list[Any]]
SUB_STEPS = ("--set", "training.accumulate=2")


def well(ended: list[Any]) -> None:
    assert [process.status for process in ended] == [0] * len(ended), ended


def log(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "training.jsonl").read_text().splitlines()]


def same_arrays(one: str, other: str, names: tuple[str, ...]) -> None:
    for name in names:
        with np.load(Path(one, name)) as first, np.load(Path(other, name)) as second:
            assert first.files == second.files
            assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first.files), name


def close_training(one: str, other: str) -> None:
    """The curves agree to rounding, and so do the weights."""
    first, second = log(one), log(other)
    assert [record["step"] for record in first] == [record["step"] for record in second]
    for key in ("loss", "validation"):
        values = [[record[key] for record in records if key in record] for records in (first, second)]
        np.testing.assert_allclose(values[0], values[1], rtol=2e-5)
    weights = load_file(Path(one, "weights.safetensors")), load_file(Path(other, "weights.safetensors"))
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", ["tiny", "small-digits"])
def test_two_processes_train_as_one(several: Several, name: str) -> None:
    """With dropout in the digits' network, validation, and a batch in parts."""
    well(several(1, "train", f"{name}.toml", "--out", "one", "--quiet"))
    well(several(2, "train", f"{name}.toml", "--out", "two", "--quiet"))
    well(several(2, "train", f"{name}.toml", "--out", "parts", "--quiet", *SUB_STEPS))
    close_training("one", "two")
    close_training("one", "parts")
    facts = json.loads(Path("two/run.json").read_text())
    assert (facts["processes"], facts["device"], facts["threads"]) == (2, "cpu", 1)


def test_two_processes_sample_condition_and_evaluate_likelihoods_as_one_to_the_last_bit(several: Several) -> None:
    well(several(1, "train", "small-digits.toml", "--out", "run", "--quiet"))
    settings = ("--set", "sampling.count=10", "--set", "conditioning.count=6", "--set", "likelihood.count=6")
    for count in (1, 2, 3):
        well(several(count, "sample", "run", "--out", f"samples-{count}", "--quiet", *settings))
        well(several(count, "likelihood", "run", "--out", f"likelihood-{count}", "--quiet", *settings))
    for count in (2, 3):
        same_arrays("samples-1", f"samples-{count}", ("samples.npz", "inpainting.npz"))
        same_arrays("likelihood-1", f"likelihood-{count}", ("likelihood.npz",))
        for name in ("samples", "likelihood"):
            assert Path(f"{name}-1/results.json").read_bytes() == Path(f"{name}-{count}/results.json").read_bytes()


def test_one_process_speaks_and_its_first_line_says_where(several: Several) -> None:
    first, second = several(2, "run", "tiny.toml", "--set", "sampling.count=12")
    assert (first.status, second.status, second.out, second.err) == (0, 0, "", "")
    where, *lines = first.err.splitlines()
    assert where == "2 processes on cpu, 1 thread each"
    heads = ["training: step 1/6", "training: step 6/6", "sampling, process 1 of 2: sample steps", "sampling, process 1 of 2: sample steps"]
    assert [line.startswith(head) for line, head in zip(lines, [*heads, "likelihood, process 1 of 2: item 4/4"], strict=True)] == [True] * 5
    assert first.out.splitlines()[-1].startswith("runs/tiny: checkpoints, experiment.toml, ")


def test_an_error_of_all_is_said_once_in_one_line(several: Several) -> None:
    patient = "import scoresde.core.cli.main, sys; sys.modules['scoresde.core.cli.main']._PATIENCE = 0.0"
    ended = several(2, "train", "tiny.toml", "--set", "training.batch=9", before=patient)
    words = "training.batch = 9 cannot be shared by 2 processes: take a multiple of 2\n"
    assert [(process.status, process.out, process.err) for process in ended] == [(2, "", words), (2, "", f"process 2: {words}")]
    assert not Path("runs").exists()
    (ended, _) = several(2, "train", "tiny.toml", *SUB_STEPS, "--set", "training.batch=6", before=patient)
    words = "training.batch = 6 cannot be shared by 2 processes, in 2 parts each: take a multiple of 4\n"
    assert (ended.status, ended.err) == (2, words)


def test_commands_on_codes_work_in_one_process(several: Several) -> None:
    well(several(1, "train", "tiny.toml", "--quiet"))
    ended, _ = several(2, "encode", "runs/tiny", before="import scoresde.core.cli.main as m")
    assert (ended.status, ended.err) == (2, "scoresde encode works in one process, and 2 were started\n")


STOP_AT_3 = """\
import os, signal
from scoresde.core.training import Trainer
advance = Trainer.advance
def stop(self, source):
    loss = advance(self, source)
    if self.done == 3 and os.environ["RANK"] in {ranks}:
        os.kill(os.getpid(), signal.{signal})
    return loss
Trainer.advance = stop
"""


@pytest.mark.parametrize("ranks", ["01", "1"])
def test_sigterm_to_one_or_both_stops_both_at_one_step(several: Several, ranks: str) -> None:
    well(several(2, "train", "tiny.toml", "--out", "straight", "--quiet"))
    ended = several(2, "train", "tiny.toml", "--out", "cut", "--quiet", before=STOP_AT_3.format(ranks=repr(ranks), signal="SIGTERM"))
    assert [(process.status, process.out) for process in ended] == [(143, ""), (143, "")]
    assert [process.err for process in ended] == ["stopped at step 3, with the state saved: --resume goes on from there\n", ""]
    well(several(2, "train", "cut", "--resume", "--quiet"))
    assert Path("cut/weights.safetensors").read_bytes() == Path("straight/weights.safetensors").read_bytes()
    assert Path("cut/training.jsonl").read_bytes() == Path("straight/training.jsonl").read_bytes()


def test_both_killed_in_training_or_sampling_go_on_bit_for_bit(several: Several) -> None:
    well(several(2, "run", "small-digits.toml", "--out", "straight", "--quiet"))
    killed = several(2, "run", "small-digits.toml", "--out", "cut", "--quiet", before=STOP_AT_3.format(ranks="'01'", signal="SIGKILL"))
    assert [process.status for process in killed] == [-signal.SIGKILL] * 2
    sampling = """\
import os, signal
import scoresde.core.stages.sampling as stage
generate = stage.generate
def kill(*all, **named):
    if os.environ["RANK"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return generate(*all, **named)
stage.generate = kill
"""
    first, second = several(2, "run", "cut", "--resume", "--quiet", before=sampling)
    assert (first.status, second.status != 0) == (-signal.SIGKILL, True)
    well(several(2, "run", "cut", "--resume", "--quiet"))
    for name in ("weights.safetensors", "weights.json", "training.jsonl", "results.json"):
        assert Path("cut", name).read_bytes() == Path("straight", name).read_bytes(), name
    same_arrays("straight", "cut", ("samples.npz", "inpainting.npz", "likelihood.npz"))
    assert not Path("cut/partial").exists()


def test_a_run_that_goes_on_with_another_number_of_processes_warns(several: Several) -> None:
    well(several(1, "run", "tiny.toml", "--quiet"))
    Path("runs/tiny/samples.npz").unlink()
    facts = json.loads(Path("runs/tiny/run.json").read_text())
    del facts["stages"]["sample"]
    Path("runs/tiny/run.json").write_text(json.dumps(facts))
    first, _ = several(2, "run", "runs/tiny", "--resume", "--quiet")
    warning = "warning: the run had 1 process, here is 2 processes: last bits of weights in training may differ\n"
    assert (first.status, first.err) == (0, warning)


def test_what_is_asked_for_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "ACCELERATE_USE_CPU", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    check_count(None)
    check_count(2)  # nobody has started any yet
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UserError) as error:
        check_count(None)
    assert str(error.value) == (
        "accelerate launch was asked for several processes and has started one (on CPUs it needs MPI): take scoresde COMMAND"
        " --processes N, or torchrun --nproc_per_node N -m scoresde.core COMMAND"
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_count(None)
    check_count(2)
    with pytest.raises(UserError) as error:
        check_count(3)
    assert str(error.value) == "--processes 3: the launcher has started 2: ask both for the same number, or leave --processes out"
    with pytest.raises(UserError) as error:
        check_devices("mps")
    assert str(error.value) == "2 processes cannot share the device mps: take --set run.device=cpu, or one process"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError) as error:
        check_devices("cuda")
    assert str(error.value) == "2 processes on this machine need as many CUDA devices, and there are 1"


def test_a_precision_that_accelerate_s_configuration_contradicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    check_configuration("run.precision", "bf16")
    with pytest.raises(UserError) as error:
        check_configuration("run.precision", "float32")
    said = "accelerate's configuration asks for bf16, and run.precision is float32: set that (--set run.precision=bf16)"
    assert str(error.value) == said


def launched(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=600, env=environment)


def test_the_command_starts_processes_itself(several: Several) -> None:
    well(several(2, "train", "tiny.toml", "--out", "forked", "--quiet"))
    done = launched("scoresde.core", "train", "tiny.toml", "--processes", "2", "--out", "started")
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "2 processes on cpu, 1 thread each")
    assert len(done.stderr.splitlines()) == 3
    assert Path("started/weights.safetensors").read_bytes() == Path("forked/weights.safetensors").read_bytes()
    refused = launched("scoresde.core", "train", "started", "--processes", "2", "--resume", "--set", "sde.beta_max=15")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)


def test_torchrun_starts_them_as_well(several: Several) -> None:
    well(several(2, "train", "tiny.toml", "--out", "forked", "--quiet"))
    torchrun = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "scoresde.core")
    done = launched(*torchrun, "train", "tiny.toml", "--out", "torchrun")
    assert done.returncode == 0, done.stderr
    assert "2 processes on cpu, 1 thread each" in done.stderr.splitlines()
    assert Path("torchrun/weights.safetensors").read_bytes() == Path("forked/weights.safetensors").read_bytes()


def test_nothing_is_touched_by_an_import() -> None:
    code = (
        "import scoresde.core.stages, scoresde.core.cli.work, scoresde.core.workspace, scoresde.plugins, torch, accelerate\n"
        "print(torch.cuda.is_initialized(), torch.distributed.is_initialized(), accelerate.PartialState._shared_state == {})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (0, "False False True\n"), done.stderr
