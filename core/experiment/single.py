"""One component as TOML, outside an experiment file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import attrs
import tomli
import tomli_w

from scoresde.registry import Registry

from ..component import Component
from .errors import Place, Problem, report
from .reading import merge, override_node
from .source import Node, Source
from .structure import RefusedError, Structure
from .words import KeyPath
from .writing import component_table


def dumps_component(component: Component, registry: Registry) -> str:
    """The component's table, with every option written out. Raises ValueError for what no file can say."""
    return tomli_w.dumps(component_table(component, registry))


@final
@attrs.frozen
class Given(Source):
    """A component's table on its own, called ``label`` in errors."""

    label: str
    folder: Path = attrs.field(factory=Path.cwd)
    ships: bool = False

    def place(self, path: KeyPath) -> Place:
        return Place(self.label)


def loads_component(kind: type[Component], text: str, registry: Registry, overrides: Sequence[str] = (), label: str | None = None) -> Any:
    """The component of this interface that a table says, with ``overrides`` such as ``order=3`` set last.

    Raises ExperimentError with every problem that there is; those of the text itself begin with the ``label``, or else with the text.
    """
    problems: list[Problem] = []
    path = (kind.kind,)
    root = Node.of(tomli.loads(text), Given(text.strip().replace("\n", ", ") if label is None else label), path)
    for override in overrides:
        node = override_node(override, problems, path)
        root = root if node is None else merge(root, node.content[kind.kind])
    field = attrs.fields(attrs.make_class("Single", {"component": attrs.field(type=kind)})).component
    try:
        made = Structure(registry, problems).value(root, field)
    except RefusedError:
        made = None
    if problems:
        raise report(problems)
    return made
