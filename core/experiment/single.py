"""One component as TOML, outside an experiment file."""

from collections.abc import Sequence
from typing import Any

import attrs
import tomli
import tomli_w

from scoresde.registry import Registry

from ..component import Component
from .errors import Problem, report
from .reading import merge, override_node
from .source import Node, Setting
from .structure import RefusedError, Structure
from .writing import component_table


def dumps_component(component: Component, registry: Registry) -> str:
    """The component's table, with every option written out. Raises ValueError for what no file can say."""
    return tomli_w.dumps(component_table(component, registry))


def loads_component(kind: type[Component], text: str, registry: Registry, overrides: Sequence[str] = ()) -> Any:
    """The component of this interface that a table says, with ``overrides`` such as ``order=3`` set last.

    Raises ExperimentError with every problem that there is.
    """
    problems: list[Problem] = []
    root = Node.of(tomli.loads(text), Setting(text.strip().replace("\n", ", ")))
    for override in overrides:
        node = override_node(override, problems)
        root = root if node is None else merge(root, node)
    field = attrs.fields(attrs.make_class("Single", {"component": attrs.field(type=kind)})).component
    try:
        made = Structure(registry, problems).value(root, field)
    except RefusedError:
        made = None
    if problems:
        raise report(problems)
    return made
