"""The experiments that ship with the package, by name: ``digits`` is ``digits.toml`` in ``scoresde.experiments``.

A file whose name begins with an underscore is no experiment of its own: it holds what the files beside it share, which extend it.
"""

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from .errors import ExperimentError, suggestion


class Shipped(NamedTuple):
    """A shipped experiment and the first comment of its file."""

    name: str
    description: str


def folder() -> Path:
    """Where the shipped experiments lie."""
    return Path(str(files("scoresde.experiments")))


def shipped() -> list[Shipped]:
    """All shipped experiments, sorted by name."""
    root = folder()
    paths = (path for path in root.rglob("*.toml") if not path.name.startswith("_"))
    return sorted(Shipped(path.relative_to(root).with_suffix("").as_posix(), _description(path)) for path in paths)


def shipped_file(name: str) -> Path | None:
    """The file of a shipped experiment, named with or without .toml; None where there is none."""
    stem = name.removesuffix(".toml")
    return next((folder() / f"{entry.name}.toml" for entry in shipped() if entry.name == stem), None)


def find(name: str | Path) -> Path:
    """An existing file, or else the file of the shipped experiment of this name. Raises ExperimentError for neither."""
    if Path(name).is_file():
        return Path(name)
    found = shipped_file(str(name))
    if found is None:
        raise ExperimentError([f"{name}: no such file, and no shipped experiment of that name.{known(str(name))}"])
    return found


def known(name: str) -> str:
    """The hint for a name that is none: a close one, and all there are, those in folders by their number."""
    names = [entry.name for entry in shipped()]
    inside = Counter(entry.partition("/")[0] for entry in names if "/" in entry)
    listed = [entry for entry in names if "/" not in entry] + [f"{folder}/ ({count})" for folder, count in inside.items()]
    return f"{suggestion(name.removesuffix('.toml'), names)} Shipped: {', '.join(listed) or 'none'}"


def _description(path: Path) -> str:
    comment = next((line for line in path.read_text("utf-8").splitlines() if line.startswith("#")), "")
    return comment.lstrip("# ")
