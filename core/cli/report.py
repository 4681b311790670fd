"""The command that writes a page about runs: report."""

from collections.abc import Sequence
from pathlib import Path

import click

from .environment import in_one_process


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The new file; left out: a free name in the run's folder.",
)
def report(runs: Sequence[str], out: Path | None) -> None:
    """Write one HTML page about runs, which needs nothing beside it: samples, curves, likelihoods, and figures with their protocols.

    Of several runs it is a comparison: their figures side by side and against the evaluations of the network, in what they differ, and each
    run. It is read from the runs' folders alone; figures of scoresde evaluate in them are among those of the run.

    \b
    Example:
      scoresde report runs/digits
      scoresde report runs/digits runs/digits/sample-001 runs/digits/sample-002 --out digits.html
    """
    from ..errors import UserError
    from ..files import write_text
    from ..report import report_page
    from ..report.reading import labelled

    in_one_process("report")
    found = labelled([Path(run) for run in runs])
    place = _free(Path(runs[0]) if len(runs) == 1 else Path("runs")) if out is None else out
    if place.exists():
        raise UserError(f"{place}: there is such a file already: choose another --out FILE")
    write_text(place, report_page(found))
    click.echo(f"{place}: open it in any browser")


def _free(folder: Path) -> Path:
    """report.html in the folder, or the next number that is free."""
    names = ["report.html", *(f"report-{number:03d}.html" for number in range(2, 10**6))]
    return next(folder / name for name in names if not (folder / name).exists())
