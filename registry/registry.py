"""The registry: which component classes there are, and where each comes from.

A registry is a value and never a module global: ``Registry.discover()`` for what is installed, ``Registry.of(...)`` for a test. A look-up
gives a class or one line that says what to do. No answer depends on the order in which plugins are loaded.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import final

import attrs

from . import messages
from .discovery import from_file, from_values, installed
from .hook import checked
from .source import BUILTIN, Plugin, Provided, RegistryError, Source, canonical


@final
@attrs.frozen
class Registry:
    """Component classes by kind and name. A name is plain (``"heun"``) or qualified (``"distribution:heun"``).

    ``sources`` are the plugins, sorted by name, loaded or not. ``prefer`` settles plain names that several distributions claim.
    ``excluded`` are the installed plugins ("distribution:entry") that were left out on request.
    """

    sources: tuple[Source, ...] = ()
    prefer: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def discover(cls, *, only: Sequence[str] | None = None, files: Sequence[Path] = (), prefer: Sequence[str] = ()) -> "Registry":
        """The installed plugins and the given files.

        ``only`` narrows the installed ones to these distributions or "distribution:entry"; () leaves the built-in ones alone, which are
        always there. A plugin that fails to load is kept in ``failures``. Raises RegistryError for what was asked for by name: an
        ``only`` that is not installed, a file that is missing or wrong, a ``prefer`` that is not there.
        """
        plugins = installed()
        wanted = plugins if only is None else _narrowed(plugins, only)
        excluded = tuple(f"{plugin.distribution}:{plugin.entry_point}" for plugin in plugins if plugin not in wanted)
        registry = cls(sources=tuple(plugin.read() for plugin in wanted), excluded=excluded)
        return registry.adding_files(files).preferring(prefer)

    @classmethod
    def of(cls, *components: type | ModuleType, distribution: str = "local", prefer: Sequence[str] = ()) -> "Registry":
        """These classes, and the classes of these plugin modules, and no others. Raises RegistryError where one is wrong."""
        return cls().adding(*components, distribution=distribution).preferring(prefer)

    def adding(self, *components: type | ModuleType, distribution: str = "local") -> "Registry":
        """With these classes or plugin modules as well. Raises RegistryError where one is wrong or a name is taken in ``distribution``."""
        registry = self
        for plugin in from_values(components, distribution):
            earlier = [source for source in registry.sources if source.key == plugin.key]
            registry = registry._with(attrs.evolve(plugin, load=partial(_joined, earlier, plugin)).open())
        return registry

    def adding_files(self, paths: Iterable[Path]) -> "Registry":
        """With these plugin files as well. Raises RegistryError (file:line: reason) where one is missing or wrong."""
        registry = self
        for path in map(Path, paths):
            plugin = from_file(path)
            for source in registry.sources:
                if source.distribution == plugin.distribution and source.key != plugin.key:
                    raise RegistryError(
                        f"{path}: another plugin file is called {plugin.distribution} too, {source.entry_point}: rename one"
                    )
            registry = registry._with(plugin.open())
        return registry

    def preferring(self, prefer: Sequence[str]) -> "Registry":
        """With these preferences instead: distributions or "distribution:name", the latter before the former, earlier before later ones.

        Raises RegistryError where a preferred plugin is not there, because a plain name would quietly mean another component; only the
        built-in plugin may be missing, from a registry that was made by hand.
        """
        for choice in prefer:
            distribution, _, name = choice.partition(":")
            there = any(name in ("", provided.name) for provided in self._all(distribution))
            without_builtin = canonical(distribution) == BUILTIN and not self._all(BUILTIN)
            if not there and not without_builtin:
                raise RegistryError(f'cannot prefer "{choice}": {messages.absent(choice, None, self.sources, self.excluded)}')
        return attrs.evolve(self, prefer=tuple(prefer))

    @property
    def failures(self) -> tuple[Source, ...]:
        """The plugins that failed to load."""
        return tuple(source for source in self.sources if source.error is not None)

    def kinds(self) -> list[str]:
        return sorted({provided.kind for provided in self._all()})

    def names(self, kind: str) -> list[str]:
        """The plain names of a kind, each once."""
        return sorted({provided.name for provided in self._all() if provided.kind == kind})

    def get(self, kind: str, name: str) -> type:
        """The component class. Raises RegistryError where there is none or several distributions claim the name."""
        return self.provided(kind, name).component

    def provided(self, kind: str, name: str) -> Provided:
        """The component class and where it comes from; raises as ``get`` does."""
        distribution, _, plain = name.rpartition(":")
        found: dict[tuple[str, type], Provided] = {}
        for provided in self._all(distribution):
            if (provided.kind, provided.name) == (kind, plain):
                found.setdefault((canonical(provided.distribution), provided.component), provided)
        left = _preferred(list(found.values()), self.prefer)
        if not left:
            raise RegistryError(messages.unknown(kind, name, self.sources, self.excluded))
        if len(left) > 1:
            raise RegistryError(messages.clash(left))
        return left[0]

    def qualified(self, component: type) -> str:
        """The "distribution:name" of a class of this registry. Raises RegistryError for a class that is not in it."""
        for provided in self._all():
            if provided.component is component:
                return provided.qualified
        raise RegistryError(f"{component.__module__}.{component.__qualname__} is in no plugin of this registry: add it with adding(...)")

    def _all(self, distribution: str = "") -> list[Provided]:
        """The components of a distribution, or of all."""
        sources = [source for source in self.sources if not distribution or canonical(source.distribution) == canonical(distribution)]
        return [provided for source in sources for provided in source.components]

    def _with(self, source: Source) -> "Registry":
        """With this plugin, in place of an earlier state of itself."""
        others = [other for other in self.sources if other.key != source.key]
        return attrs.evolve(self, sources=tuple(sorted([*others, source], key=lambda source: source.key)))


def _narrowed(plugins: Sequence[Plugin], only: Sequence[str]) -> list[Plugin]:
    wanted = [plugin for plugin in plugins if canonical(plugin.distribution) == BUILTIN]
    for choice in only:
        distribution, _, entry = choice.partition(":")
        chosen = [p for p in plugins if canonical(p.distribution) == canonical(distribution) and entry in ("", p.entry_point)]
        if not chosen:
            raise RegistryError(messages.not_installed(choice, plugins))
        wanted += [plugin for plugin in chosen if plugin not in wanted]
    return sorted(wanted, key=lambda plugin: plugin.key)


def _preferred(found: list[Provided], prefer: Sequence[str]) -> list[Provided]:
    """Those of the strongest preference that speaks about them; all where none does."""
    for choice in sorted(prefer, key=lambda choice: ":" not in choice):
        distribution, _, name = choice.partition(":")
        chosen = [p for p in found if canonical(p.distribution) == canonical(distribution) and name in ("", p.name)]
        if chosen:
            return chosen
    return found


def _joined(earlier: Sequence[Source], plugin: Plugin) -> tuple[type, ...]:
    """The classes of a plugin after those that were given under the same name before."""
    return checked([*(provided.component for source in earlier for provided in source.components), *plugin.load()])
