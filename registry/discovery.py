"""Where plugins are found: among the installed distributions, in single files, and among classes and modules that are handed in.

An installed plugin is an entry point of the group ``scoresde``, known as ``distribution:entry``. The loop over the distributions is our
own: ``importlib.metadata.entry_points`` stops at one damaged entry_points.txt anywhere, and pluggy's loader stops at one plugin that fails
to import, and of two distributions with the same entry-point name loads one.
"""

import hashlib
import importlib.metadata
import re
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError
from pathlib import Path
from types import ModuleType

from .hook import PROJECT, ContractError, checked, contributions
from .source import Load, Plugin, RegistryError, canonical


def installed() -> list[Plugin]:
    """The plugins of the installed distributions, sorted by name; reads metadata only and imports none of them."""
    found = [_first_copy(distribution) for distribution in importlib.metadata.distributions() if _offers_plugins(distribution)]
    each = {canonical(_title(distribution)[0]): distribution for distribution in found}
    return sorted((plugin for distribution in each.values() for plugin in _plugins(distribution)), key=lambda plugin: plugin.key)


def from_file(path: Path) -> Plugin:
    """The plugin in one python file; its folder is not on sys.path. Raises RegistryError where there is no such file."""
    where = path.expanduser().resolve()
    if path.suffix != ".py":
        raise RegistryError(f"{path}: a plugin file is a python file, with a name that ends in .py")
    try:
        text = where.read_bytes()
    except OSError as error:
        raise RegistryError(f"{path}: cannot read this plugin file ({error.strerror})") from error
    version = "sha256:" + hashlib.sha256(text).hexdigest()[:12]
    return Plugin(path.name, version, str(where), lambda: contributions(_executed(where, text)), path=path)


def from_values(values: Sequence[type | ModuleType], distribution: str) -> list[Plugin]:
    """Component classes, and plugin modules, that the caller has in hand."""
    modules = [value for value in values if isinstance(value, ModuleType)]
    classes = [value for value in values if not isinstance(value, ModuleType)]
    plugins = [Plugin(distribution, "", module.__name__, partial(contributions, module)) for module in modules]
    return [*plugins, Plugin(distribution, "", "", lambda: checked(classes))] if classes else plugins


def _offers_plugins(distribution: Distribution) -> bool:
    try:
        return f"[{PROJECT}]" in (distribution.read_text("entry_points.txt") or "")
    except (OSError, UnicodeError):
        return False


def _title(distribution: Distribution) -> tuple[str, str]:
    """The (name, version), or the folder of an installation that has lost its METADATA."""
    try:
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
    except Exception:
        name, version = None, None
    return name or f"nameless distribution in {distribution.locate_file('')}", version or ""


def _first_copy(distribution: Distribution) -> Distribution:
    """Of several installed copies the first on sys.path, whose modules an import finds."""
    try:
        return importlib.metadata.distribution(_title(distribution)[0])
    except (PackageNotFoundError, ValueError):
        return distribution


def _plugins(distribution: Distribution) -> list[Plugin]:
    name, version = _title(distribution)
    try:
        points = set(distribution.entry_points.select(group=PROJECT))
    except Exception as error:
        return [Plugin(name, version, "", _refusal(f"its entry_points.txt is damaged ({error}): reinstall it"))]
    return [Plugin(name, version, entry, _entry([p for p in points if p.name == entry])) for entry in {p.name for p in points}]


def _entry(points: list[EntryPoint]) -> Load:
    if len(points) > 1:
        values = " and ".join(sorted(point.value for point in points))
        return _refusal(f"its entry_points.txt gives this entry point twice, as {values}: keep one")
    return lambda: contributions(_imported(points[0]))


def _imported(point: EntryPoint) -> object:
    if not re.match(r"[\w.]+\s*(:|$)", point.value):
        raise ContractError(f"its entry point says {point.value!r}: write the name of the module that has the hook components()")
    try:
        return point.load()
    except ModuleNotFoundError as error:
        if error.name and f"{point.module}.".startswith(f"{error.name}."):
            raise ContractError(f"its own module {error.name} is missing: reinstall it") from error
        raise


def _executed(path: Path, text: bytes) -> ModuleType:
    """The module of a file. Its name is made from path and text, so the same file gives the same classes, and a changed file new ones."""
    digest = hashlib.sha256(bytes(path) + b"\0" + text).hexdigest()[:16]
    name = f"scoresde_file_{re.sub(r'[^a-zA-Z0-9]', '_', path.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _refusal(message: str) -> Load:
    def load() -> tuple[type, ...]:
        raise ContractError(message)

    return load
