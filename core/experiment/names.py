"""What the names of components in an experiment file mean."""

from scoresde.registry import Registry, RegistryError

from ..component import Component
from .words import text

BUILTIN = "scoresde"


def named_class(registry: Registry, kind: str, name: str, ships: bool) -> type:
    """The class of a name; in a file that ships here a plain name means a built-in. Raises RegistryError for none."""
    return builtin_class(registry, kind, name) if ships and ":" not in name else registry.get(kind, name)


def builtin_class(registry: Registry, kind: str, name: str) -> type:
    """The built-in component of this name, or in a registry that was made without the built-ins the only one."""
    there = any(source.distribution == BUILTIN for source in registry.sources)
    return registry.get(kind, f"{BUILTIN}:{name}" if there else name)


def known_names(registry: Registry, kind: str) -> str:
    return ", ".join(registry.names(kind)) or "none is registered"


def owner_words(cls: type[Component], registry: Registry) -> str:
    """``sde "vp" (scoresde)``: whose an option is."""
    try:
        distribution = f" ({registry.qualified(cls).split(':')[0]})"
    except RegistryError:
        distribution = ""
    return f"{cls.kind} {text(cls.name)}{distribution}"
