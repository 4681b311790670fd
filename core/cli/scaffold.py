"""The command that writes a plugin to begin with."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..scaffold import USES, named, write_package, write_single_file

if TYPE_CHECKING:
    from ..scaffold import Plugin


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", required=True, metavar="KIND", help=f"What its component is: {', '.join(USES)}.")
@click.option("--single-file", is_flag=True, help="Write one file for --plugin, and no package.")
def new_plugin(name: str, kind: str, single_file: bool) -> None:
    """Write a plugin to begin with: a package NAME with one component, its tests and an example experiment, all working as they are.

    \b
    Example:
      scoresde new-plugin my-sampler --kind predictor
      cd my-sampler && pip install -e . && scoresde run example.toml && pytest
    \b
    An idea for an afternoon is one file:
      scoresde new-plugin my-sampler --kind predictor --single-file
      scoresde conform --plugin my_sampler.py
    """
    plugin = named(name, kind)
    _check_free(plugin)
    here = Path.cwd()
    if single_file:
        write_single_file(plugin, here)
        file, use = f"{plugin.module}.py", plugin.use
        _say(
            file,
            [
                f"scoresde describe {kind} {plugin.component} --plugin {file}",
                f"scoresde conform --plugin {file}",
                f"scoresde run {use.experiment} --plugin {file} --set {use.setting}={plugin.component} --out runs/{plugin.component}",
            ],
        )
    else:
        write_package(plugin, here)
        _say(f"{name}/", [f"cd {name}", "pip install -e .", "scoresde run example.toml", "pytest"])


def _check_free(plugin: "Plugin") -> None:
    """Raises UserError where an installed plugin has a component of this kind and name."""
    from scoresde.registry import Registry

    from ..errors import UserError

    for source in Registry.discover().sources:
        for provided in source.components:
            if (provided.kind, provided.name) == (plugin.kind, plugin.component):
                words = f'there is a {plugin.kind} "{plugin.component}" already, of {provided.origin}'
                raise UserError(f"{words}: take another name, such as my-{plugin.distribution}")


def _say(what: str, commands: list[str]) -> None:
    click.echo("\n  ".join([f"{what} is written. To go on:", *commands]))
