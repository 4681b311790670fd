"""Options that several commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def plugin_options(function: F) -> F:
    """--plugin and --no-plugins: which plugins are loaded."""
    function = click.option(
        "--plugin",
        "plugin",
        multiple=True,
        metavar="FILE|NAME",
        help="Load this file of components, or of the installed plugins only those named (repeatable).",
    )(function)
    return click.option("--no-plugins", is_flag=True, help="Load the built-in components alone.")(function)


def work_options(function: F) -> F:
    """What the commands that work on an experiment share."""
    function = click.argument("experiment", metavar="EXPERIMENT")(function)
    function = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one value, such as sde.beta_max=15 (repeatable)."
    )(function)
    function = click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The run's folder.")(function)
    function = click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")(function)
    function = click.option(
        "--processes", type=click.IntRange(min=1), metavar="N", help="Work in N processes on this machine; the result is the same."
    )(function)
    function = click.option("--quiet", is_flag=True, help="Say nothing while working.")(function)
    return plugin_options(function)


def discover(plugin: Sequence[str], no_plugins: bool) -> Any:
    """The registry that these options ask for. Raises RegistryError for a plugin that is not there."""
    from scoresde.registry import Registry

    files = plugin_files(plugin)
    names = [name for name in plugin if not name.endswith(".py")]
    return Registry.discover(only=() if no_plugins and not names else names or None, files=files)


def plugin_files(plugin: Sequence[str]) -> list[Path]:
    """Those of ``--plugin`` that are files."""
    return [Path(name) for name in plugin if name.endswith(".py")]
