"""The built-in components that core's functions take where none is given, found as every plugin is: through their entry point."""

from typing import Any

from scoresde.registry import Registry


def builtin(kind: str, name: str, **options: Any) -> Any:
    """The component of this kind that ships under this name, made with these options."""
    return Registry.discover(only=()).get(kind, f"scoresde:{name}")(**options)
