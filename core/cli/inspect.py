"""Commands that only look: check, experiments, plugins, describe."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import discover, plugin_options

if TYPE_CHECKING:
    from scoresde.registry import Provided

    from ..experiment import Description


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@plugin_options
def check(files: Sequence[str], plugin: Sequence[str], no_plugins: bool) -> None:
    """Check experiment files: every error at once, with file and line; exit status 2 if there is any.

    \b
    Example:
      scoresde check my-experiment.toml digits
    """
    from ..experiment import ExperimentError, find, load

    registry, wrong = discover(plugin, no_plugins), False
    for name in files:
        try:
            load(find(name), registry)
            click.echo(f"{name}: ok")
        except ExperimentError as error:
            wrong = True
            click.echo(str(error), err=True)
    sys.exit(2 if wrong else 0)


@click.command()
def experiments() -> None:
    """List the experiments that ship with the package.

    \b
    Example:
      scoresde experiments
    """
    from ..experiment import shipped

    entries = shipped()
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        click.echo(f"{entry.name:<{width}}  {entry.description}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def plugins(as_json: bool, plugin: Sequence[str], no_plugins: bool) -> None:
    """List the plugins with their components, and those that failed to load with the reason.

    \b
    Example:
      scoresde plugins
      scoresde plugins --json
    """
    sources = discover(plugin, no_plugins).sources
    if as_json:
        rows = [
            {
                "distribution": source.distribution,
                "version": source.version,
                "entry_point": source.entry_point,
                "components": [{"kind": c.kind, "name": c.name} for c in source.components],
                "error": source.error,
            }
            for source in sources
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for source in sources:
        click.echo(f"{source.distribution} {source.version} ({source.entry_point})")
        if source.error:
            click.echo(f"  failed to load: {source.error}")
        for kind in sorted({component.kind for component in source.components}):
            names = ", ".join(sorted(component.name for component in source.components if component.kind == kind))
            click.echo(f"  {kind:<12} {names}")


@click.command()
@click.argument("kind")
@click.argument("name")
@plugin_options
def describe(kind: str, name: str, plugin: Sequence[str], no_plugins: bool) -> None:
    """Say what a component is: its text, its options with types, defaults and ranges, and who provides it.

    KIND "table" stands for the tables of an experiment file.

    \b
    Example:
      scoresde describe sde vp
      scoresde describe predictor ancestral
      scoresde describe table training
    """
    from inspect import cleandoc

    from ..experiment import describe as describe_options
    from ..experiment import table

    if kind == "table":
        rows, texts = describe_options(table(name)), [table(name).__doc__]
    else:
        provided = discover(plugin, no_plugins).provided(kind, name)
        rows = _options(provided)
        texts = [provided.component.__doc__, sys.modules[provided.component.__module__].__doc__]
        click.echo(f'{kind} "{name}" of {provided.distribution} {provided.version}\n')
    for text in filter(None, texts):
        click.echo(cleandoc(text) + "\n")
    click.echo("Options:" if rows else "It has no options.")
    for row in rows:
        facts = ", ".join(filter(None, [row.type, f"default {row.default}" if row.default != "required" else "required", row.range]))
        click.echo(f"  {row.name:<16} {facts}")
        if row.help:
            click.echo(f"  {'':<16} {row.help}")


def _options(provided: "Provided") -> "list[Description]":
    """The options of a component in words. Raises UserError for a class whose options cannot be read."""
    from ..errors import UserError
    from ..experiment import describe as describe_options

    try:
        return describe_options(provided.component)
    except Exception as error:  # a plugin's annotations can raise anything
        title, reason = f'{provided.kind} "{provided.name}"', " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{provided.origin}: the options of {title} cannot be read ({reason})") from error


def experiment_path(name: str) -> tuple[Path, Path | None]:
    """(the experiment's file, the folder of the run that it is the folder of)."""
    from ..errors import UserError
    from ..experiment import find, shipped

    folder = Path(name)
    if (folder / "experiment.toml").is_file():
        return folder / "experiment.toml", folder
    if folder.is_dir() and name not in {entry.name for entry in shipped()}:
        raise UserError(
            f"{name}: a folder without a run (it holds no experiment.toml): name a run's folder, a file or a shipped experiment"
        )
    return find(name), None
