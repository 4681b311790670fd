"""An experiment as TOML with qualified names, and a component's options as words."""

from pathlib import Path
from typing import Any, NamedTuple

import attrs
import tomli_w

from scoresde.registry import Registry

from ..component import Component, Within
from .compatibility import components
from .schema import Experiment, Option, options
from .words import text, type_words


class Description(NamedTuple):
    """One option in words; ``default`` is TOML, or ``required``, or ``none``; ``range`` is empty where any value will do."""

    name: str
    type: str
    default: str
    range: str
    help: str


def dumps(experiment: Experiment, registry: Registry) -> str:
    """The experiment with every option written out; what is None is left out. ``load`` reads back an equal one.

    Raises ValueError for an experiment that no file can say: a None where the default is a value.
    """
    return tomli_w.dumps(component_table(experiment, registry))


def describe(cls: type) -> list[Description]:
    """The options of a component, or the settings of a table."""
    return [_description(name, field) for name, field in options(cls).items()]


def distributions(experiment: Experiment, registry: Registry) -> dict[str, str]:
    """The distributions, and files, whose components an experiment uses, with their versions."""
    used = {type(component) for _, component in components(experiment)}
    provided = (provided for source in registry.sources for provided in source.components if provided.component in used)
    return dict(sorted((one.distribution, one.version) for one in provided))


def component_table(value: Any, registry: Registry) -> dict[str, Any]:
    """The table of a component, or of a table of settings, as TOML's values. Raises ValueError for what no file can say."""
    table: dict[str, Any] = {}
    if isinstance(value, Component):
        table["use"] = registry.qualified(type(value))
    for name, field in options(type(value)).items():
        item = getattr(value, field.name)
        if item is None and field.default is not None:
            raise ValueError(f"{name} of {type(value).__name__} is None, which TOML cannot say, and its default is {field.default!r}")
        if item is None:
            continue
        written = _written(item, registry)
        table |= written if field.metadata.get("inline") else {name: written}
    return table


def _written(value: Any, registry: Registry) -> Any:
    if isinstance(value, tuple):
        return [_written(item, registry) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    return component_table(value, registry) if attrs.has(type(value)) else value


def _description(name: str, field: Option) -> Description:
    within = field.metadata.get("within")
    bounded = isinstance(within, Within) and within != Within()
    return Description(
        name="use" if field.metadata.get("inline") else name,
        type=type_words(field.type),
        default=_default(field),
        range=str(within) if bounded else "",
        help=field.metadata.get("help", ""),
    )


def _default(field: Option) -> str:
    use = field.metadata.get("use")
    if use is not None and field.default is attrs.NOTHING:
        return text(use) if field.metadata.get("inline") else f"{{ use = {text(use)} }}"
    default = field.default
    if default is attrs.NOTHING:
        return "required"
    if isinstance(default, Component):
        return f"{{ use = {text(default.name)} }}"
    return "none" if default is None else text(default)
