"""The command that holds components to the conformance kit."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .options import discover, plugin_files, plugin_options

if TYPE_CHECKING:
    from scoresde.registry import Provided, Registry

    from ..component import Component
    from ..testing import Outcome

_EXPECTED = ("pass", "expected failure")


@click.command()
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.option("--set", "overrides", multiple=True, metavar="OPTION=VALUE", help="Set one option, such as order=3 (repeatable).")
@plugin_options
def conform(kind: str | None, name: str | None, overrides: Sequence[str], plugin: Sequence[str], no_plugins: bool) -> None:
    """Hold a component to the checks of its kind: that its answers are exact, and its methods pure.

    With --plugin FILE and no KIND and NAME, every component of the file, with its default options. Exit status 1 where a check fails.

    \b
    Example:
      scoresde conform predictor ancestral --set variance=transition
      scoresde conform sampler predictor_corrector --set predictor.use=ancestral
      scoresde conform --plugin my_sampler.py
    """
    registry = discover(plugin, no_plugins)
    chosen = _chosen(registry, kind, name, overrides, plugin)
    made = [(provided, _made(provided, registry, overrides)) for provided in chosen]
    held = [_held(provided, component, registry) for provided, component in made]
    sys.exit(0 if all(held) else 1)


def _chosen(registry: "Registry", kind: str | None, name: str | None, overrides: Sequence[str], plugin: Sequence[str]) -> "list[Provided]":
    """The components that are meant. Raises UserError where it is not said, and RegistryError where there are none."""
    from ..errors import UserError

    if kind is not None and name is not None:
        return [registry.provided(kind, name)]
    files = [path.name for path in plugin_files(plugin)]
    if kind is not None or not files:
        raise UserError("say which component: KIND NAME, as in scoresde conform predictor ancestral; or --plugin FILE for all of a file")
    if overrides:
        raise UserError(f"--set {overrides[0]}: sets an option of one component: say which, KIND NAME")
    found = [provided for source in registry.sources if source.distribution in files for provided in source.components]
    chosen = sorted(found, key=lambda provided: provided.kind != "sde")  # which the others are measured under
    if not chosen:
        raise UserError(f"{', '.join(files)}: no components in it")
    return chosen


def _made(provided: "Provided", registry: "Registry", overrides: Sequence[str]) -> "Component":
    """The component with these options. Raises UserError for wrong ones, and for a kind that has no checks."""
    from ..errors import UserError
    from ..experiment.single import loads_component
    from ..interfaces import KINDS

    title = f'{provided.kind} "{provided.name}"'
    other = [override for override in overrides if override.partition("=")[0].strip() == "use"]
    if other:
        raise UserError(f"--set {other[0]}: the component is {title}: name another one by KIND NAME")
    if provided.kind not in KINDS:
        raise UserError(f"{title} of {provided.origin}: there are no checks of kind {provided.kind}, but of {', '.join(KINDS)}")
    text = f'use = "{provided.qualified}"'
    try:
        made: Component = loads_component(KINDS[provided.kind], text, registry, overrides, label=title)
    except UserError:
        raise
    except Exception as error:  # a plugin's class can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{provided.origin}: {title} cannot be made ({reason})") from error
    return made


def _held(provided: "Provided", component: "Component", registry: "Registry") -> bool:
    """Prints the table of a component's checks as they are done; whether all were, and passed or failed as expected."""
    from ..testing import Subject, checks_of, conform

    names = [check.name for check in checks_of(component.kind)]
    width, outcomes = max(map(len, names)), []
    click.echo(f'{provided.kind} "{provided.name}" of {provided.origin}')
    try:
        for line in Subject(component, registry).left_out.values():
            click.echo(f"  {line}")
        for outcome in conform(component, registry):
            outcomes.append(outcome)
            _print(outcome, width)
    except SystemExit:  # the component's own; what is missing then is told below
        pass
    counts = Counter(outcome.status for outcome in outcomes)
    click.echo(f"{len(outcomes)} checks: {', '.join(f'{count} {status}' for status, count in counts.items()) or 'none'}\n")
    missing = names[len(outcomes) :]
    if missing and outcomes and outcomes[-1].check.needed:
        click.echo(
            f'{len(missing)} of {len(names)} checks were not done: they need "{outcomes[-1].check.name}" to pass: {", ".join(missing)}\n'
        )
    elif missing:
        click.echo(f"It ended the run (sys.exit) before {len(missing)} of {len(names)} checks were done: {', '.join(missing)}\n")
    return not missing and all(outcome.status in _EXPECTED for outcome in outcomes)


def _print(outcome: "Outcome", width: int) -> None:
    click.echo(f"  {outcome.check.name:<{width}}  {outcome.status:<16}  {outcome.message}".rstrip())
    if outcome.status == "fail":
        click.echo(f"  {'':<{width}}  {'advice':<16}  {outcome.check.advice}")
