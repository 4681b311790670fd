"""The sections of a report about several runs: in what they differ, their figures side by side, and figures against evaluations."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..comparison import is_better_high
from ..runs import differences
from .charts import Series, lines
from .html import number, paragraph, picture, section, table, text
from .reading import Recorded
from .sections import anchor, described, running_mean, value_words

_FEW = 6  # runs that are columns of a table
_IGNORED = ("experiment.name", "experiment.plugins")


def side_by_side(runs: Sequence[Recorded]) -> str:
    """A table of the figures of each run, the best of each marked; a row for each run where they are many."""
    names = list(dict.fromkeys(figure["name"] for run in runs for figure in run.figures))
    if not names:
        return ""
    best = {name: _best(name, [run.value(name) for run in runs]) for name in names}

    def cell(run: Recorded, name: str) -> str:
        figure = run.value(name)
        return number("–" if figure is None else value_words(figure), best=figure is not None and figure["value"] == best[name])

    links = [f'<a href="#run-{anchor(run)}">{text(run.label)}</a>' for run in runs]
    if len(runs) > _FEW:
        head = ["run", *(text(described(name)) for name in names)]
        rows = [[link, *(cell(run, name) for name in names)] for link, run in zip(links, runs, strict=True)]
    else:
        head = ["figure", *links]
        rows = [[text(described(name)), *(cell(run, name) for run in runs)] for name in names]
    words = "The best value of a figure is marked where it is known which end is better."
    return section("compared", "Side by side", table("Figures of the runs", head, rows), paragraph(words))


def differing(runs: Sequence[Recorded]) -> str:
    """The options in which the runs differ."""
    first = runs[0].experiment
    keys = sorted({key for run in runs[1:] for key in differences(first, run.experiment)} - set(_IGNORED))
    rows = [[f"<code>{text(key)}</code>", *(f"<code>{text(_value(run.experiment, key))}</code>" for run in runs)] for key in keys]
    shown = (
        table("Options that differ", ("option", *(text(run.label) for run in runs)), rows)
        if rows
        else paragraph("The experiments are equal.")
    )
    return section("options", "In what they differ", shown)


def against_evaluations(runs: Sequence[Recorded]) -> str:
    """Each figure that several runs have, against the evaluations of the network that a sample costs; a line for each method."""
    known = [run for run in runs if run.evaluations]
    names = [name for name in dict.fromkeys(figure["name"] for run in known for figure in run.figures) if is_better_high(name) is not None]
    charts = []
    for name in names:
        series: dict[str, list[tuple[float, float]]] = {}
        for run in known:
            figure = run.value(name)
            if figure is not None:
                series.setdefault(run.method, []).append((float(run.evaluations or 0), float(figure["value"])))
        costs = {cost for points in series.values() for cost, _ in points}
        if len(costs) > 1:
            drawn = [Series(method, sorted(points), dots=True) for method, points in series.items()]
            charts.append(lines(described(name), drawn, "network evaluations per sample", described(name), log_x=True))
    return section("cost", "Figures against evaluations", f'<div class="pair">{"".join(charts)}</div>' if charts else "")


def losses(runs: Sequence[Recorded]) -> str:
    """The training curves in one chart."""
    series = []
    for run in runs:
        points = [(float(record["step"]), float(record["loss"])) for record in run.records]
        series += [Series(run.label, running_mean(points))] if points else []
    if len(series) < 2:
        return ""
    positive = all(value > 0 for each in series for _, value in each.points)
    return section("losses", "Training", lines("Loss, a running mean", series, "step", "loss", log_y=positive))


def sample_grids(runs: Sequence[Recorded]) -> str:
    """The samples of each run, beside one another."""
    shown = [(run, run.path / "samples.png") for run in runs]
    parts = [picture(path.read_bytes(), run.label, f"Samples of {run.label}") for run, path in shown if path.is_file()]
    return section("grids", "Samples", f'<div class="pair">{"".join(parts)}</div>' if parts else "")


def _best(name: str, figures: Sequence[dict[str, Any] | None]) -> float | None:
    """The best of the values, where several are known to differ; None where nobody can say."""
    values: list[float] = [figure["value"] for figure in figures if figure is not None]
    high = is_better_high(name)
    if len(set(values)) < 2 or high is None:
        return None
    return max(values) if high else min(values)


def _value(table: Mapping[str, Any], key: str) -> str:
    found: Any = table
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "–" if found is None else str(found)
