"""What processes, checkpoints and restarts cost: python benchmarks/processes.py [--experiment digits] [--processes 1 2] [--threads 1]

Prints JSON, a line for each of

    training      images per second with each number of processes: (m - n) batch / (T_m - T_n) over runs of n and m steps
    checkpoint    seconds that saving the training state takes, and its size in bytes
    resume        seconds until a run that lacks one step has made it, beside those of a command that only loads the experiment
    sampling      most memory (resident set, in MiB) while samples are drawn, for two counts

To be taken on a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SAVES = 5


def command(threads: int, *words: str) -> float:
    """The seconds that a command takes."""
    start = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-m", "scoresde.core", *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def trained(arguments: argparse.Namespace, folder: Path, processes: int, steps: int) -> float:
    """The seconds of a training stage."""
    settings = [f"training.steps={steps}", *(f"training.{key}_every=1000000" for key in ("checkpoint", "validate", "log"))]
    words = [word for setting in (*settings, *arguments.set) for word in ("--set", setting)]
    words += ["--out", str(folder), "--processes", str(processes), "--quiet"]
    command(arguments.threads, "train", arguments.experiment, *words)
    seconds: float = json.loads((folder / "run.json").read_text())["stages"]["train"]["seconds"]
    return seconds


def training(arguments: argparse.Namespace, place: Path) -> Iterator[dict[str, Any]]:
    from scoresde.core.experiment import find, load
    from scoresde.registry import Registry

    batch = load(find(arguments.experiment), Registry.discover(), arguments.set).experiment.training.batch
    few, many = arguments.steps // 5, arguments.steps
    for processes in arguments.processes:
        seconds = [trained(arguments, place / f"{processes}-{steps}", processes, steps) for steps in (few, many)]
        rate = (many - few) * batch / (seconds[1] - seconds[0])
        yield {"measured": "training", "processes": processes, "images_per_second": round(rate, 1)}


def checkpoint(arguments: argparse.Namespace, place: Path) -> Iterator[dict[str, Any]]:
    from scoresde.core.checkpoint import newest, read, save_step

    path = newest(next(place.glob("1-*")) / "checkpoints")
    assert path is not None
    held, times = read(path), []
    for step in range(_SAVES):
        start = time.monotonic()
        save_step(place / "saved", step, held.tensors, held.manifest)
        times.append(time.monotonic() - start)
    yield {"measured": "checkpoint", "seconds": round(min(times), 4), "bytes": sum(file.stat().st_size for file in path.iterdir())}


def resume(arguments: argparse.Namespace, place: Path) -> Iterator[dict[str, Any]]:
    from scoresde.core.checkpoint import newest, read, save_step

    run = place / f"1-{arguments.steps}"
    path = newest(run / "checkpoints")
    assert path is not None
    held = read(path)
    save_step(run / "checkpoints", held.manifest["step"] - 1, held.tensors, {**held.manifest, "step": held.manifest["step"] - 1})
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "stages": {}}))
    least = command(arguments.threads, "check", str(run / "experiment.toml"))
    seconds = command(arguments.threads, "train", str(run), "--resume", "--quiet")
    yield {"measured": "resume", "seconds": round(seconds, 2), "seconds_of_check": round(least, 2)}


def sampling(arguments: argparse.Namespace, place: Path) -> Iterator[dict[str, Any]]:
    run = str(place / f"1-{arguments.steps}")
    for count in (arguments.count // 10, arguments.count):
        words = ["sample", run, "--set", f"sampling.count={count}", "--set", f"sampling.steps={arguments.sampling_steps}", "--quiet"]
        code = (
            f"import resource, subprocess, sys\nsubprocess.run([sys.executable, '-m', 'scoresde.core', *{words!r}], check=True, stdout=2)\n"
        )
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
        environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
        yield {"measured": "sampling", "count": count, "mib": int(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--sampling-steps", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for measure in (training, checkpoint, resume, sampling):
            for found in measure(arguments, place):
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
