"""The figures of many methods (``bench``) in a file, as tables and as a plot."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from .bench import BUDGETS, DIMENSIONS, SDES, Figures
from .files import write_file, write_text
from .pictures import AMBER, BLUE, INK, PALE, RED, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Metric: TypeAlias = Literal["error", "sliced_w2", "energy", "weights"]

OURS = "scoresde"
FIGURES = Path(__file__).parent / "bench_figures.json"  # of many methods, as benchmarks/samplers.py measured them
PROBLEMS = tuple(f"{dimension}-D {sde}" for dimension in DIMENSIONS for sde in SDES)
WORDS: Mapping[str, str] = {
    "error": "root-mean-square error per coordinate of the flow's end point",
    "sliced_w2": "sliced Wasserstein distance to exact draws",
    "energy": "energy distance to exact draws",
    "weights": "half the sum of the deviations of the modes' shares",
}
METRICS: tuple[Metric, ...] = ("error", "sliced_w2", "energy", "weights")
_COLOURS = {OURS: BLUE, "k-diffusion": AMBER, "diffusers": "#009e73", "azula": "#cc79a7"}


class Row(NamedTuple):
    """One run: a method of a library on a problem, and what was measured; ``budget`` is None for a method that decides itself."""

    library: str
    method: str
    problem: str
    budget: int | None
    figures: Figures


class Known(NamedTuple):
    """Rows, and the versions of the libraries that they are of."""

    versions: dict[str, str]
    rows: list[Row]


def save(known: Known, path: Path = FIGURES) -> None:
    """One row a line, to four digits."""
    rows = ",\n".join(json.dumps([*row[:4], *(_short(value) for value in row.figures)]) for row in known.rows)
    write_text(path, f'{{"versions": {json.dumps(known.versions)},\n"rows": [\n{rows}\n]}}\n')


def load(path: Path = FIGURES) -> Known:
    """Those of the file; none where it is not there."""
    if not path.exists():
        return Known({}, [])
    stored = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        Row(row[0], row[1], row[2], row[3], Figures(row[4], *(math.nan if value == "nan" else value for value in row[5:])))
        for row in stored["rows"]
    ]
    return Known(stored["versions"], rows)


def best(rows: Iterable[Row], problem: str, budget: int, metric: Metric = "error") -> Row | None:
    """The row with the least finite figure in a cell."""
    there = [row for row in rows if row.problem == problem and row.budget == budget and _finite(row, metric)]
    return min(there, key=lambda row: getattr(row.figures, metric), default=None)


def summary(rows: Sequence[Row], metric: Metric = "error") -> str:
    """Markdown: ``auto`` beside the best of every other library in each cell, with the method's name."""
    others = sorted({row.library for row in rows} - {OURS})
    lines = [_line(["problem", "evaluations", "`auto`", *others]), _line(["---"] * (3 + len(others)))]
    for problem in PROBLEMS:
        for budget in BUDGETS:
            cells = [best((row for row in rows if row.library == library), problem, budget, metric) for library in others]
            mine = best((row for row in rows if row.method == "auto"), problem, budget, metric)
            named = [f"{_number(row, metric)} ({row.method})" if row else "" for row in cells]
            lines.append(_line([problem, str(budget), f"**{_number(mine, metric)}**" if mine else "", *named]))
    return "\n".join(lines)


def behind(rows: Sequence[Row], metric: Metric = "error") -> list[Row]:
    """The best of other libraries, where it is ahead of ``auto``."""
    found = []
    for problem in PROBLEMS:
        for budget in BUDGETS:
            mine = best((row for row in rows if row.method == "auto"), problem, budget, metric)
            other = best((row for row in rows if row.library != OURS), problem, budget, metric)
            if other and (mine is None or getattr(other.figures, metric) < getattr(mine.figures, metric)):
                found.append(other)
    return found


def noisy(rows: Sequence[Row], metric: Metric = "sliced_w2") -> str:
    """Markdown: ``auto`` with noise beside the best method with noise of every other library in each cell, and as many exact draws."""
    drawn = [row for row in rows if row.figures.error is None and row.budget is not None]
    mine = list(dict.fromkeys(row.method for row in drawn if row.library == OURS and row.method.startswith("auto")))
    others = sorted({row.library for row in drawn} - {OURS})
    heads = ["problem", "evaluations", *(f"`{method}`" for method in mine), *others, "exact draws"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for problem in PROBLEMS:
        exact = next((row for row in rows if row.problem == problem and row.method == "exact draws"), None)
        for budget in BUDGETS:
            own = [best((row for row in drawn if row.method == method), problem, budget, metric) for method in mine]
            cells = [best((row for row in drawn if row.library == library), problem, budget, metric) for library in others]
            numbers = [_number(row, metric) if row else "" for row in own]
            named = [f"{_number(row, metric)} ({row.method})" if row else "" for row in cells]
            lines.append(_line([problem, str(budget), *numbers, *named, _number(exact, metric) if exact else ""]))
    return "\n".join(lines)


def table(rows: Sequence[Row], problem: str, metric: Metric = "error") -> str:
    """Markdown: every method on one problem against the budget. A count that is not the budget stands beside the figure."""
    lines = [_line(["method", *(str(budget) for budget in BUDGETS)]), _line(["---"] * (1 + len(BUDGETS)))]
    for method in methods(rows, metric):
        cells = [_cell(rows, method, problem, budget, metric) for budget in BUDGETS]
        if any(cells):
            lines.append(_line([" ".join(method) if method[0] != OURS else f"`{method[1]}`", *cells]))
    return "\n".join(lines)


def methods(rows: Sequence[Row], metric: Metric = "error") -> list[tuple[str, str]]:
    """(library, method) of all that have this figure at all, in their order."""
    return list({(row.library, row.method): None for row in rows if getattr(row.figures, metric) is not None})


def comparison(measured: Sequence[Row], known: Sequence[Row], metric: Metric) -> str:
    """Plain text: a method's figures, those of ``auto``, and the best of other libraries, problem by problem; beside a method with noise
    stands ``auto`` with ``tau`` = 1, and others with noise."""
    name, noise = measured[0].method, measured[0].figures.error is None
    known = [row for row in known if (row.figures.error is None) == noise]
    mine = "auto tau = 1" if noise else "auto"
    width = max(21, len(name))
    lines = [WORDS[metric], f"{'':{width + 2}}" + "".join(f"{budget:>11}" for budget in BUDGETS)]
    shown = {name: measured} | ({} if name == mine else {mine: [row for row in known if row.method == mine]})
    shown["other libraries' best"] = [row for row in known if row.library != OURS]
    for problem in PROBLEMS:
        if not any(row.problem == problem for row in measured):
            continue
        lines.append(problem)
        for label, rows in shown.items():
            cells = [best(rows, problem, budget, metric) for budget in BUDGETS]
            if rows is measured or any(cells):
                lines.append(f"  {label:{width}}" + "".join(f"{_number(row, metric) if row else '-':>11}" for row in cells))
        lines += [
            f"  {'':{width}}  {row.figures.evaluations} evaluations of its own choice: {_number(row, metric)}"
            for row in measured
            if row.problem == problem and row.budget is None
        ]
        lines += [
            f"  {'':{width}}  {row.figures.evaluations} evaluations made of {row.budget}: more than it declares"
            for row in measured
            if row.problem == problem and row.budget is not None and row.figures.evaluations > row.budget
        ]
    return "\n".join(lines)


def write(folder: Path, measured: Sequence[Row], known: Sequence[Row], metric: Metric) -> str:
    """Writes bench.md, with all that was measured, and bench.svg into the folder; gives the comparison in plain text."""
    text, name = comparison(measured, known, metric), measured[0].method
    parts = [f"# {name}", f"```text\n{text}\n```"]
    for each in METRICS:
        parts += [f"## {WORDS[each]}", _by_problem(measured, each)] if methods(measured, each) else []
    write_text(folder / "bench.md", "\n\n".join(parts) + "\n")
    plot(folder / "bench.svg", [*(row for row in known if row.method != name), *measured], metric, highlight=name)
    return text


def _by_problem(rows: Sequence[Row], metric: Metric) -> str:
    """Markdown: one method's figures, a line a problem."""
    lines = [_line(["problem", *map(str, BUDGETS)]), _line(["---"] * (1 + len(BUDGETS)))]
    for problem in dict.fromkeys(row.problem for row in rows):
        of_problem = [row for row in rows if row.problem == problem]
        cells = [_cell(of_problem, (rows[0].library, rows[0].method), problem, budget, metric) for budget in BUDGETS]
        for row in of_problem:
            if row.budget is None:  # it decides itself
                cells[0] = f"{_number(row, metric)} ({row.figures.evaluations})"
        lines.append(_line([problem, *cells]))
    return "\n".join(lines)


def plot(path: Path, rows: Sequence[Row], metric: Metric = "error", highlight: str = "auto") -> None:
    """One panel a problem, each method a line against the evaluations that it made, one method in the foreground."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(cast(Any, {**STYLE, "svg.hashsalt": OURS})):
        figure = Figure(figsize=(12, 7.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(DIMENSIONS), len(SDES), sharex=True, squeeze=False).flatten()
        for panel, problem in zip(panels, PROBLEMS, strict=True):
            _panel(panel, [row for row in rows if row.problem == problem], metric, highlight)
            panel.set_title(problem)
        figure.supxlabel("evaluations of the score")
        figure.supylabel(WORDS.get(metric, metric))
        handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
        kind = path.suffix.removeprefix(".") or "png"
        bare = {"Date": None} if kind == "svg" else None  # the same figures give the same file
        write_file(path, lambda temporary: figure.savefig(temporary, format=kind, metadata=cast(Any, bare)))


def _panel(panel: "Axes", rows: Sequence[Row], metric: Metric, highlight: str) -> None:
    for library, method in methods(rows, metric):
        line = sorted(
            (row.figures.evaluations, getattr(row.figures, metric))
            for row in rows
            if (row.library, row.method) == (library, method) and _finite(row, metric)
        )
        if method == highlight:
            look: dict[str, Any] = {"color": RED, "linewidth": 2.2, "zorder": 4, "label": method}
        elif method == "auto":
            look = {"color": INK, "linewidth": 1.8, "zorder": 3, "label": "auto"}
        else:
            look = {"color": _COLOURS.get(library, PALE), "linewidth": 0.8, "alpha": 0.55, "label": f"others of {library}"}
        panel.plot(*zip(*line, strict=True), "o-", markersize=3, **look) if line else None
    panel.set(xscale="log", yscale="log")
    panel.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
    panel.set_xticks([], minor=True)


def _cell(rows: Sequence[Row], method: tuple[str, str], problem: str, budget: int, metric: Metric) -> str:
    found = [row for row in rows if (row.library, row.method, row.problem, row.budget) == (*method, problem, budget)]
    if not found:
        return ""
    made = found[0].figures.evaluations
    return _number(found[0], metric) + (f" ({made})" if made != budget else "")


def _number(row: Row, metric: Metric) -> str:
    value = getattr(row.figures, metric)
    return "fails" if not math.isfinite(value) else f"{value:.1e}" if value < 0.001 else f"{value:.2g}"


def _finite(row: Row, metric: Metric) -> bool:
    value = getattr(row.figures, metric)
    return value is not None and math.isfinite(value)


def _short(value: float | None) -> Any:
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else "nan"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
