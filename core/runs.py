"""The run folder: everything that a run makes, with what is needed to trust it and to go on.

experiment.toml    the resolved experiment          run.json       versions, seed, threads, what is done
training.jsonl     the training log                 checkpoints/   the training state
weights.*          the weights that the rest uses   results.json   every figure with its protocol
samples.*, inpainting.*, likelihood.*, *.png        what the stages made
partial/           the chunks of a stage until it is finished      snapshots/     averaged weights of earlier steps
trackers/          what TensorBoard and others keep
latents.*, interpolation.*      what encode and interpolate made     classifier/    the same of the classifier's training
"""

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import tomli
import torch

from .errors import UserError
from .files import read_json, remove_unfinished, write_json, write_text

_TRIES, _BETWEEN = 15, 0.2  # seconds: a process whose launcher was killed ends as late
_MADE = {"train": "weights.safetensors", "classifier": "classifier/weights.safetensors"}  # which other stages start from
_PACKAGES = ("scoresde", "torchvision", "accelerate", "numpy", "scikit-learn")


@final
class RunFolder:
    """One run's folder. ``check`` sees that it may be used, ``make`` makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @staticmethod
    def check(path: Path, experiment: str, *, resume: bool, today: Callable[[Path], str] | None = None) -> "RunFolder":
        """The folder of a run of this experiment (TOML), which need not be there yet; nothing is changed.

        ``today`` writes a file's experiment as this version would, which may have new options with defaults. Raises UserError where
        the folder holds anything else, or this very run and ``resume`` is false.
        """
        folder, file = RunFolder(path), path / "experiment.toml"
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return folder
        if not file.is_file():
            raise UserError(f"{path} holds something that is not a run: choose another --out DIR")
        there = file.read_text(encoding="utf-8")
        if there != experiment and today is not None:
            with suppress(UserError):
                there = today(file)
        if there != experiment:
            changes = ", ".join(differences(_tables(there), tomli.loads(experiment)))
            raise UserError(f"{path} holds the run of another experiment (it differs in {changes}): choose another --out DIR")
        if not resume:
            raise UserError(f"{path} already holds a run of this experiment: add --resume to go on with it, or choose another --out DIR")
        return folder

    def make(self, experiment: str, facts: Mapping[str, Any], weights_from: Path | None = None) -> None:
        """Makes the folder where it is not there yet. ``weights_from`` is the folder of the run whose weights it uses, if not its own."""
        if not self.exists:
            relative = None if weights_from is None else os.path.relpath(weights_from, self.path)
            write_text(self / "experiment.toml", experiment)
            write_json(self / "run.json", {**environment(), **facts, "weights_from": relative, "stages": {}})

    @property
    def exists(self) -> bool:
        return (self / "run.json").is_file()

    @property
    def weights_from(self) -> Path | None:
        """The folder of the run whose weights this one uses; None for its own."""
        relative = self.facts["weights_from"] if self.exists else None
        return None if relative is None else Path(os.path.normpath(self.path / relative))

    @property
    def facts(self) -> dict[str, Any]:
        """The contents of run.json."""
        facts: dict[str, Any] = read_json(self / "run.json")
        return facts

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from working in the folder. Raises UserError where one does, and goes on doing so for a moment."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            for _ in range(_TRIES):
                if _lock(handle):
                    break
                time.sleep(_BETWEEN)
            else:
                raise UserError(f"{self.path}: another process is at work in this folder: wait for it, or end it")
            yield
        finally:
            os.close(handle)

    def done(self, stage: str) -> bool:
        """Whether a stage is finished, and the weights that it makes are still there."""
        return self.exists and stage in self.facts["stages"] and (stage not in _MADE or (self / _MADE[stage]).is_file())

    def partial(self, stage: str) -> Path:
        """Where a stage keeps what it has until it is finished."""
        return self / "partial" / stage

    def finish(self, stage: str, seconds: float, figures: Iterable[Mapping[str, Any]] = ()) -> None:
        """Notes that a stage is done, and its figures in results.json; what it kept until then is removed."""
        path, figures = self / "results.json", list(figures)
        new = {figure["name"] for figure in figures}
        earlier = [figure for figure in read_json(path)["figures"] if figure["name"] not in new] if path.exists() else []
        write_json(path, {"figures": [*earlier, *figures]})
        facts = self.facts
        facts["stages"][stage] = {"seconds": round(seconds, 3), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_json(self / "run.json", facts)
        self.tidy()

    def tidy(self) -> None:
        """Removes what killed processes left half-written, and what finished stages kept until they were."""
        remove_unfinished(self.path)
        for stage in (self / "partial").glob("*"):
            if self.done(stage.name):
                shutil.rmtree(stage)
        with suppress(OSError):  # not there, or not empty
            (self / "partial").rmdir()


def _lock(handle: int) -> bool:
    """Whether this process has the folder to itself now; true where the system knows no such locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def environment() -> dict[str, Any]:
    """Versions and what else the last bits of a result depend on."""
    return {
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__), **{name: version(name) for name in _PACKAGES}},
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _tables(text: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError:
        return {}


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The key paths in which two tables differ."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        mine, theirs = one.get(key), other.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            found += differences(mine, theirs, f"{prefix}{key}.")
        elif mine != theirs:
            found.append(f"{prefix}{key}")
    return found


def free_folder(parent: Path, stem: str) -> Path:
    """parent/stem-001, or the next number that is free."""
    taken = {path.name for path in parent.glob(f"{stem}-*")}
    return next(parent / name for name in (f"{stem}-{number:03d}" for number in range(1, 10**6)) if name not in taken)


def digest(tensors: Sequence[torch.Tensor]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the tensors' bytes."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
