"""What a failed look-up says, in one line: what is wrong, the nearest names, all names, and the plugins that could not be loaded."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from .source import Plugin, Provided, Source, canonical


def unknown(kind: str, name: str, sources: Sequence[Source], excluded: Sequence[str]) -> str:
    """Nothing of this kind has this name, plain or qualified."""
    if ":" in name:
        return f'no {kind} "{name}": {absent(name, kind, sources, excluded)}'
    provided = [component for source in sources for component in source.components]
    names = {component.name for component in provided if component.kind == kind}
    kinds = {component.kind for component in provided}
    elsewhere = {component.kind for component in provided if component.name == name}
    return _sentences(
        f'unknown {kind} "{name}"',
        _hint(name, names),
        f'"{name}" is a {_list(elsewhere)}' if elsewhere else "",
        f"Registered: {_list(names)}" if names else f"There is nothing of kind {kind}; kinds: {_list(kinds)}",
        _failed(sources),
        _left_out(excluded),
    )


def absent(name: str, kind: str | None, sources: Sequence[Source], excluded: Sequence[str]) -> str:
    """Why there is no "distribution:name" (of any kind, where that is None), or nothing at all of a "distribution"."""
    distribution, _, plain = name.rpartition(":") if ":" in name else (name, "", "")
    own = [source for source in sources if canonical(source.distribution) == canonical(distribution)]
    out = [plugin for plugin in excluded if canonical(plugin.partition(":")[0]) == canonical(distribution)]
    if not own and not out:
        others = {source.distribution for source in sources}
        return _sentences(f"there is no plugin {distribution}", _hint(distribution, others), f"There are: {_list(others)}")
    names = {component.name for source in own for component in source.components if kind in (None, component.kind)}
    healthy = [source for source in own if source.error is None]
    return _sentences(
        f"{healthy[0].origin} has no {kind or 'component'} {plain}".rstrip() if healthy else "",
        _hint(plain, names) if healthy else "",
        f"It has: {_list(names)}" if healthy else "",
        _failed(own),
        _left_out(out),
    )


def clash(found: Sequence[Provided]) -> str:
    """Several plugins claim one name."""
    first, title = found[0], f'{found[0].kind} "{found[0].name}"'
    if len({canonical(provided.distribution) for provided in found}) == 1:
        entries = _list(f"{provided.distribution}:{provided.entry_point}" for provided in found)
        return f"several entry points of {first.origin} claim {title}: name one of {entries} as the plugin to load"
    claims = ", ".join(provided.origin for provided in found)
    uses = " or ".join(f'use = "{provided.qualified}"' for provided in found)
    return f'several plugins claim {title}: {claims}. Write {uses}; or, for all names, [plugins] prefer = ["{first.distribution}"]'


def not_installed(choice: str, plugins: Sequence[Plugin]) -> str:
    """A plugin was asked for by name that no installed distribution has."""
    distribution = choice.partition(":")[0]
    entries = {f"{p.distribution}:{p.entry_point}" for p in plugins if canonical(p.distribution) == canonical(distribution)}
    known = entries or {plugin.distribution for plugin in plugins}
    return _sentences(f'no plugin "{choice}" is installed', _hint(choice, known), f"Installed: {_list(known)}")


def _failed(sources: Sequence[Source]) -> str:
    errors = [source.error for source in sources if source.error is not None]
    return f"Failed to load: {'; '.join(errors)}" if errors else ""


def _left_out(excluded: Sequence[str]) -> str:
    return f"Not loaded, as asked: {', '.join(excluded)}" if excluded else ""


def _hint(name: str, names: Iterable[str]) -> str:
    spellings = {known.lower(): known for known in sorted(names)}
    close = get_close_matches(name.lower(), spellings, n=2)
    return f"Did you mean {' or '.join(spellings[match] for match in close)}?" if close else ""


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _sentences(*parts: str) -> str:
    """The parts that say something, one after the other."""
    said = [part for part in parts if part]
    return " ".join(part if part is said[-1] or part.endswith("?") else f"{part}." for part in said)
