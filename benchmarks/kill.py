"""A run that is killed again and again, at random moments, and goes on: it ends with the weights and samples of one that nothing stopped.

    python benchmarks/kill.py --kills 300
    python benchmarks/kill.py --kills 100 --processes 2

Every run is killed (SIGKILL) at a moment drawn uniformly, resumed, and killed again until it ends; then another begins. What it was at
when it was killed is counted, and the files are compared to the last bit: status 1 where they differ. The processes are forked from
this one, so that a kill costs no import. Prints JSON.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import numpy as np
import scipy.special  # noqa: F401
import sklearn.datasets  # noqa: F401
import torchvision  # noqa: F401

import scoresde.core.stages
import scoresde.plugins  # noqa: F401
from scoresde.core.cli import main

EXPERIMENT = """\
extends = "digits.toml"

[experiment]
name = "killed"

[model]
channels = 8
dropout = 0.2
attention = []

[training]
steps = 16
batch = 8
accumulate = 2
warmup = 2
checkpoint_every = 2
snapshot_every = 4
log_every = 1

[sampling]
count = 10
steps = 6

[conditioning]
count = 2

[likelihood]
count = 2
rtol = 1e-1
atol = 1e-1

[evaluation]
classifier = false

[run]
device = "cpu"
chunk = 4
"""
STAGES = ("train", "sample", "condition", "likelihood", "evaluate")
EXACT = ("weights.safetensors", "weights.json", "training.jsonl", "results.json", "experiment.toml")
ARRAYS = ("samples.npz", "inpainting.npz", "likelihood.npz")


def started(words: list[str], processes: int) -> list[int]:
    """The processes that work on this command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            if processes > 1:
                place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                os.environ.update({key: str(value) for key, value in {**place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items()})
            status = 1
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                main(words)
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else int(error.code is not None)
            finally:
                os._exit(status)
        children.append(child)
    return children


def ended(children: list[int], within: float | None) -> list[int] | None:
    """The exit statuses; None where the processes were killed, not having ended in time."""
    deadline = None if within is None else time.monotonic() + within
    statuses: dict[int, int] = {}
    while len(statuses) < len(children):
        for child in children:
            pid, status = (0, 0) if child in statuses else os.waitpid(child, os.WNOHANG)
            if pid:
                statuses[child] = os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() > deadline:
            for child in [child for child in children if child not in statuses]:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return None
        time.sleep(0.001)
    return [statuses[child] for child in children]


def doing(folder: Path) -> str:
    """What a killed run was at."""
    if not (folder / "run.json").exists():
        return "begin"
    if list(folder.glob("checkpoints/.writing-*")):
        return "write a checkpoint"
    if list(folder.rglob(".writing-*")):
        return "write another file"
    done = json.loads((folder / "run.json").read_text())["stages"]
    return next((stage for stage in STAGES if stage not in done), "end")


def different(one: Path, other: Path) -> list[str]:
    """The results that differ, and what is there in one run only."""
    wrong = [name for name in EXACT if (one / name).read_bytes() != (other / name).read_bytes()]
    for name in ARRAYS:
        with np.load(one / name) as first, np.load(other / name) as second:
            equal = first.files == second.files and all(np.array_equal(first[key], second[key], equal_nan=True) for key in first.files)
        wrong += [] if equal else [name]
    files = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (one, other)]
    return wrong + sorted(files[0] ^ files[1])


def killed_and_resumed(folder: Path, experiment: Path, processes: int, longest: float, limit: int, draw: random.Random) -> list[str]:
    """Runs to the end, killed at most ``limit`` times on the way: what it was at each time."""
    found: list[str] = []
    words = ["run", str(experiment), "--out", str(folder), "--resume", "--quiet"]
    while True:
        within = draw.uniform(0, longest) if len(found) < limit else None
        statuses = ended(started(words, processes), within)
        if statuses is not None:
            assert statuses == [0] * processes, f"{folder}: ended with {statuses}"
            return found
        found.append(doing(folder))


def measured(arguments: argparse.Namespace, place: Path) -> dict[str, object]:
    experiment, straight, processes = place / "killed.toml", place / "straight", arguments.processes
    experiment.write_text(EXPERIMENT, "utf-8")
    draw, at, wrong, runs = random.Random(arguments.seed), Counter[str](), dict[str, list[str]](), 0
    start = time.monotonic()
    killed_and_resumed(straight, experiment, processes, 0.0, 0, draw)
    seconds = time.monotonic() - start
    while at.total() < arguments.kills:
        folder, limit = place / f"run-{runs:03d}", min(arguments.each, arguments.kills - at.total())
        at.update(killed_and_resumed(folder, experiment, processes, arguments.share * seconds, limit, draw))
        if found := different(straight, folder):
            wrong[folder.name] = found
        runs += 1
    facts = {"kills": at.total(), "processes": processes, "runs": runs, "seconds_of_a_run": round(seconds, 2)}
    return {**facts, "while": dict(at.most_common()), "different": wrong}


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--each", type=int, default=12, help="most kills of one run")
    parser.add_argument("--share", type=float, default=0.6, help="latest kill, in durations of a whole run")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        result = measured(command_line(), Path(folder))
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["different"] else 0)
