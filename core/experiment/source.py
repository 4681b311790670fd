"""Experiment files as trees in which every value knows its key path and the source that set it.

A line number needs no second parser: the first growing prefix of the file that parses and holds a key path ends that item's statement, and
the line after the last prefix that parsed starts it. It is looked up when an error has to be shown.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, final

import attrs
import tomli

from . import finding
from .errors import Place, Problem, report
from .words import KeyPath, dotted


class Source(ABC):
    """What sets values: a file, or one --set of the command line."""

    folder: Path  # what relative paths are relative to
    ships: bool  # whether its names mean the components that ship here

    @abstractmethod
    def place(self, path: KeyPath) -> Place:
        """Where the value with this key path is set, or else the innermost table around it that is there."""


@final
class File(Source):
    """An experiment file. Raises ExperimentError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.parent
        self.ships = path.resolve().is_relative_to(finding.folder().resolve())
        try:
            self.text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise report([Problem(Place(self.label), error.strerror or str(error))]) from None
        except UnicodeDecodeError as error:
            raise report([Problem(Place(self.label, error.object[: error.start].count(b"\n") + 1), "not valid TOML: not UTF-8")]) from None

    @property
    def label(self) -> str:
        """The path as it was given; relative where it lies in the working directory."""
        path = Path(os.path.normpath(self.path))
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

    def parse(self) -> dict[str, Any]:
        """Raises ExperimentError for a file that is not TOML."""
        try:
            return tomli.loads(self.text)
        except ValueError as error:
            found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
            line = int(found[2]) if found else self._statements[1]
            what = f"{found[1]} (column {found[3]})" if found else str(error).removesuffix(" (at end of document)")
            raise report([Problem(Place(self.label, line), f"not valid TOML: {what}")]) from None

    def place(self, path: KeyPath) -> Place:
        lines = self._statements[0]
        while path and path not in lines:
            path = path[:-1]
        return Place(self.label, lines.get(path, 1))

    @cached_property
    def _statements(self) -> tuple[dict[KeyPath, int], int]:
        """The first line of the statement that set each key path, and the line after the last statement that parses."""
        lines = self.text.split("\n")
        first: dict[KeyPath, int] = {}
        start = 1
        for end in range(1, len(lines) + 1):
            try:
                document = tomli.loads("\n".join([*lines[:end], ""]))
            except ValueError:
                continue
            for path in _paths(document):
                first.setdefault(path, start)
            start = end + 1
        return first, start


@final
@attrs.frozen
class Setting(Source):
    """One ``--set key.path=value``."""

    text: str
    folder: Path = attrs.field(factory=Path.cwd)
    ships: bool = False

    def place(self, path: KeyPath) -> Place:
        return Place(f"--set {self.text}")


@final
@attrs.frozen(eq=False)
class Node:
    """One value of the merged tree: a table {key: Node}, an array [Node], or a TOML scalar."""

    content: Any
    path: KeyPath
    source: Source

    @staticmethod
    def of(value: Any, source: Source, path: KeyPath = ()) -> "Node":
        """The tree of a parsed TOML value."""
        if isinstance(value, dict):
            return Node({key: Node.of(item, source, (*path, key)) for key, item in value.items()}, path, source)
        if isinstance(value, list):
            return Node([Node.of(item, source, (*path, index)) for index, item in enumerate(value)], path, source)
        return Node(value, path, source)

    @property
    def is_table(self) -> bool:
        return isinstance(self.content, dict)

    @property
    def value(self) -> Any:
        """The TOML value."""
        if isinstance(self.content, dict):
            return {key: node.value for key, node in self.content.items()}
        return [node.value for node in self.content] if isinstance(self.content, list) else self.content

    @property
    def place(self) -> Place:
        return self.source.place(self.path)

    @property
    def name(self) -> str:
        return dotted(self.path)

    def within(self, key: str) -> "Node":
        """An empty table in this one, for a component that the file leaves out."""
        return Node({}, (*self.path, key), self.source)


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))
