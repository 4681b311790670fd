"""The command that puts a sampler beside the others, against the number of evaluations."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import discover, plugin_options

if TYPE_CHECKING:
    from scoresde.registry import Registry

    from ..bench import Problem
    from ..bench_table import Row
    from ..interfaces import Grid, Sampler


@click.command()
@click.argument("predictor")
@click.option("--set", "overrides", multiple=True, metavar="OPTION=VALUE", help="Set one option, as order=3, or grid.rho=5 of the grid.")
@click.option("--grid", "grid", metavar="GRID", help="The times; left out: its own, or log_snr.")
@click.option("--sde", "sdes", multiple=True, metavar="SDE", help="Of ve, vp and sub_vp only this one (repeatable).")
@click.option("--dimension", "dimensions", multiple=True, type=int, metavar="D", help="Of 2 and 64 only this one (repeatable).")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The folder of table and plot.")
@plugin_options
def bench(
    predictor: str,
    overrides: Sequence[str],
    grid: str | None,
    sdes: Sequence[str],
    dimensions: Sequence[int],
    out: Path | None,
    plugin: Sequence[str],
    no_plugins: bool,
) -> None:
    """Measure a predictor, or a sampler, on exact mixtures with 5 to 200 evaluations, beside auto and the best of other libraries.

    Takes about a minute on one core. Prints the table, and writes it as bench.md with a plot, bench.svg, into bench-PREDICTOR-OPTIONS.

    \b
    Example:
      scoresde bench heun --grid karras
      scoresde bench auto --set tau=1
      scoresde bench unipc --set order=2 --set form=denoised --sde vp --dimension 2
      scoresde bench my_heun --plugin my_sampler.py
      scoresde bench adaptive --set rtol=0.05 --out runs/adaptive
    """
    from ..bench import SDES, is_noisy
    from ..bench_table import load, write
    from ..errors import UserError

    registry = discover(plugin, no_plugins)
    sampler, times = _made(registry, predictor, overrides, grid)
    problems = _problems(list(sdes) or list(SDES), dimensions)
    name = predictor.rpartition(":")[2]
    label = ", ".join([name, *([grid] if grid else []), *overrides])
    rows: list[Row] = []
    noisy = None
    for problem in problems:
        try:
            noisy = is_noisy(sampler, times, problem.sde) if noisy is None else noisy
            rows += _rows(problem, label, sampler, times, noisy)
        except ValueError as error:  # of the sampler, for its parts or its number of steps
            raise UserError(f"{name} on {problem.name}: {error}") from error
    folder = Path(re.sub(r"[^\w.=+-]+", "-", f"bench-{label}")) if out is None else out
    click.echo(write(folder, rows, load().rows, "sliced_w2" if noisy else "error"))
    click.echo(f"{folder}: bench.md, bench.svg")


def _made(registry: "Registry", name: str, overrides: Sequence[str], grid: str | None) -> "tuple[Sampler, Grid | None]":
    """The sampler, or the usual loop with the predictor, of this name, and the grid. Raises UserError and RegistryError."""
    from ..builtin import builtin
    from ..errors import UserError

    own = [override for override in overrides if not override.startswith("grid.")]
    of_grid = [override.removeprefix("grid.") for override in overrides if override.startswith("grid.")]
    is_sampler = name in registry.names("sampler") and name not in registry.names("predictor")
    made = _component(registry, "sampler" if is_sampler else "predictor", name, own)
    if of_grid and grid is None:
        raise UserError(f"--set grid.{of_grid[0]}: sets an option of a grid: name it by --grid")
    times = None if grid is None else _component(registry, "grid", grid, of_grid)
    if times is None and made.own_grid is None:
        times = builtin("grid", "log_snr")
    return made if is_sampler else builtin("sampler", "predictor_corrector", predictor=made), times


def _component(registry: "Registry", kind: str, name: str, overrides: Sequence[str]) -> Any:
    from ..experiment.single import loads_component
    from ..interfaces import KINDS

    provided = registry.provided(kind, name)
    return loads_component(KINDS[kind], f'use = "{provided.qualified}"', registry, overrides, label=f'{kind} "{name}"')


def _problems(sdes: Sequence[str], dimensions: Sequence[int]) -> "Iterator[Problem]":
    from ..bench import DIMENSIONS, SDES, problems
    from ..errors import UserError

    for name in sdes:
        if name not in SDES:
            raise UserError(f"--sde {name}: there are {', '.join(SDES)}")
    for dimension in dimensions:
        if dimension not in DIMENSIONS:
            raise UserError(f"--dimension {dimension}: there are {', '.join(map(str, DIMENSIONS))}")
    return problems(dimensions or tuple(DIMENSIONS), sdes)


def _rows(problem: "Problem", label: str, sampler: "Sampler", grid: "Grid | None", noisy: bool) -> "Iterator[Row]":
    """One row a budget, or one alone for a method that decides itself; with a line on the error stream as a problem begins."""
    from ..bench import BUDGETS, measure, of_sampler
    from ..bench_table import OURS, Row

    budgets: tuple[int | None, ...] = BUDGETS if sampler.evaluations(1) is not None else (None,)
    methods = [of_sampler(sampler, grid, problem.sde, budget)[1] for budget in budgets]
    click.echo(f"{problem.name} ...", err=True)
    for budget, method in zip(budgets, methods, strict=True):
        yield Row(OURS, label, problem.name, budget, measure(problem, method, noisy=noisy))
