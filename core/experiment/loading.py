"""Loading an experiment: read and merge its files, add its plugins, make its components, see that they fit together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scoresde.registry import Registry, RegistryError

from . import compatibility
from .errors import Place, Problem, report
from .reading import read
from .schema import Experiment, Identity, Plugins, options
from .source import Node
from .structure import RefusedError, Structure
from .words import KeyPath, text


class Loaded(NamedTuple):
    """An experiment and the registry with the plugins that it names."""

    experiment: Experiment
    registry: Registry


def load(source: Path, registry: Registry, overrides: Sequence[str] = ()) -> Loaded:
    """The experiment of a file, with ``overrides`` such as ``sde.beta_max=15`` set last.

    Raises ExperimentError with every problem that there is.
    """
    problems: list[Problem] = []
    root = read(source, overrides, problems)
    registry = _with_plugins(root, registry, problems)
    experiment = Structure(registry, problems).experiment(root)
    if experiment is not None:
        problems += compatibility.problems(experiment, lambda path: _place(root, path))
    if experiment is None or problems:
        raise report(problems)
    return Loaded(experiment, registry)


def _with_plugins(root: Node, registry: Registry, problems: list[Problem]) -> Registry:
    """With the files of experiment.plugins and the preferences of plugins.prefer, each refused one noted at its own place."""
    for node, path in _entries(root, Identity, "experiment", "plugins"):
        try:
            registry = registry.adding_files([path])
        except RegistryError as error:
            problems.append(Problem(node.place, f"{node.name} = {text(node.value)}: {error}"))
    prefer = []
    for node, name in _entries(root, Plugins, "plugins", "prefer"):
        try:
            registry.preferring([name])
        except RegistryError as error:
            problems.append(Problem(node.place, f"{node.name} = {text(node.value)}: {error}"))
        else:
            prefer.append(name)
    return registry.preferring(prefer) if prefer else registry


def _entries(root: Node, cls: type, table: str, key: str) -> list[tuple[Node, Any]]:
    """The elements of an array that is needed before all others; none where it is malformed, which is noted with the rest."""
    node = root.content[table].content.get(key) if table in root.content and root.content[table].is_table else None
    if node is None:
        return []
    try:
        return list(zip(node.content, Structure(Registry(), []).value(node, options(cls)[key]), strict=True))
    except RefusedError:
        return []


def _place(root: Node, path: KeyPath) -> Place:
    """Where a value is set, or else the innermost table around it that is in a file."""
    node = root
    for key in path:
        inside = node.content.get(key) if node.is_table else node.content[key] if isinstance(key, int) else None
        if inside is None:
            break
        node = inside
    return node.place
