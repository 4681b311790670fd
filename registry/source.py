"""One plugin, before and after it is loaded.

Each plugin is loaded by itself. One that fails is kept with its reason and is wholly absent, so a broken plugin never stops another.
"""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, final

import attrs

from .hook import ContractError

BUILTIN = "scoresde"

Load: TypeAlias = Callable[[], tuple[type, ...]]


class RegistryError(LookupError):
    """A component that cannot be given, or a plugin that was asked for and is wrong: one line."""


@final
@attrs.frozen
class Provided:
    """A component class and the plugin it comes from."""

    kind: str
    name: str
    component: type
    distribution: str
    version: str
    entry_point: str

    @property
    def qualified(self) -> str:
        """The name that means this component whatever else is installed."""
        return f"{self.distribution}:{self.name}"

    @property
    def origin(self) -> str:
        return label(self.distribution, self.version)


@final
@attrs.frozen
class Source:
    """One plugin: its components, or the one line that says why it has none, with the traceback where its own code failed.

    A file has its base name as ``distribution``, the digest of its text as ``version`` and its path as ``entry_point``.
    """

    distribution: str
    version: str
    entry_point: str
    components: tuple[Provided, ...] = ()
    error: str | None = None
    traceback: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return canonical(self.distribution), self.entry_point

    @property
    def origin(self) -> str:
        return label(self.distribution, self.version)


@final
@attrs.frozen
class Plugin:
    """A plugin before it is loaded. ``load`` gives its component classes and may raise anything; ``path`` is a file's, as it was given."""

    distribution: str
    version: str
    entry_point: str
    load: Load
    path: Path | None = None

    @property
    def key(self) -> tuple[str, str]:
        return canonical(self.distribution), self.entry_point

    def open(self) -> Source:
        """Load it. Raises RegistryError in one line; its cause is what the plugin raised."""
        try:
            components = self.load()
        except (Exception, SystemExit) as error:
            raise RegistryError(f"{self._place(error)}: {_reason(error)}") from error
        origin = self.distribution, self.version, self.entry_point
        provided = (_provided(component, origin) for component in components)
        return Source(*origin, components=tuple(sorted(provided, key=lambda p: (p.kind, p.name))))

    def read(self) -> Source:
        """Load it, or keep the reason why it failed; raises nothing that a plugin raises."""
        try:
            return self.open()
        except RegistryError as error:
            cause = error.__cause__
            text = None if cause is None or isinstance(cause, ContractError) else "".join(traceback.format_exception(cause))
            return Source(self.distribution, self.version, self.entry_point, error=str(error), traceback=text)

    def _place(self, error: BaseException) -> str:
        if self.path is not None:
            return f"{self.path}:{_line(error, self.entry_point)}"
        entry = f" (entry point {self.entry_point})" if self.entry_point else ""
        return label(self.distribution, self.version) + entry


def canonical(distribution: str) -> str:
    """The form in which all spellings of a distribution's name are equal (PEP 503); the base name of a file stays as it is."""
    return distribution if distribution.endswith(".py") else re.sub(r"[-_.]+", "-", distribution).lower()


def label(distribution: str, version: str) -> str:
    return f"{distribution} {version}".strip()


def _provided(component: Any, origin: tuple[str, str, str]) -> Provided:
    return Provided(component.kind, component.name, component, *origin)


def _reason(error: BaseException) -> str:
    """One line that says what happened and, where it is known, what to do."""
    if isinstance(error, ContractError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"it needs the module {error.name}, which is not installed: install it"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _line(error: BaseException, file: str) -> int:
    """The last line of the file that took part in the error."""
    if isinstance(error, ContractError):
        return error.line or 1
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno or 1
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    return lines[-1] if lines else 1
