"""A sweep: one figure over the values of options, all combinations of them, as one table and one plot.

The values of an option are a range ``first:last:step``, both ends included where the steps reach them, counted in decimals so that
0.01:0.30:0.01 has 30 values; or a list ``a,b,c``. Values of [sampling], [likelihood], [conditioning] and [evaluation] leave training as it
is: what differs in no others shares one training run.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

from .comparison import is_better_high
from .errors import UserError
from .experiment.schema import Metric
from .files import write_text
from .pictures import curves

AFTER_TRAINING = ("sampling", "likelihood", "conditioning", "evaluation")
_RANGE = re.compile(r"([^:]+):([^:]+):([^:]+)")
_MOST = 10_000  # points
_METRICS = get_args(Metric)
_PARTS = {"precision": "precision_recall", "recall": "precision_recall"}  # by which metric a figure is had
_LIKELIHOOD = ("bits_per_dim", "log_density_nats")


class Variation(NamedTuple):
    """An option and the values that it takes, as they are written."""

    key: str
    values: tuple[str, ...]

    @property
    def trains(self) -> bool:
        """Whether each value needs a training run of its own."""
        return self.key.split(".")[0] not in AFTER_TRAINING


class Point(NamedTuple):
    """One combination: the value of each option, and, once it is measured, the figure and the evaluations and seconds that it took."""

    number: int
    values: dict[str, str]
    figure: Mapping[str, Any] | None = None
    evaluations: float | None = None
    seconds: float | None = None

    @property
    def overrides(self) -> list[str]:
        return [f"{key}={value}" for key, value in self.values.items()]

    def training(self, variations: Sequence[Variation]) -> tuple[str, ...]:
        """What its training depends on: points that have it in common share one training run."""
        return tuple(f"{each.key}={self.values[each.key]}" for each in variations if each.trains)


def variation(text: str) -> Variation:
    """Of ``KEY=VALUES``. Raises UserError where it is none."""
    key, sign, values = text.partition("=")
    if not sign or not key.strip() or not values.strip():
        raise UserError(f"--vary {text}: expected KEY=VALUES, such as sampling.corrector.snr=0.01:0.30:0.01 or sampling.steps=50,100,200")
    found = _range(text, values) or _listed(values)
    if not found:
        raise UserError(f"--vary {text}: the list {values} has no values: expected some between the commas, such as 50,100,200")
    if len(set(found)) < len(found):
        raise UserError(f"--vary {text}: a value is there twice")
    return Variation(key.strip(), found)


def _range(text: str, values: str) -> tuple[str, ...] | None:
    """The values of a range; None for what is none."""
    parts = _RANGE.fullmatch(values.strip())
    try:
        first, last, step = (Decimal(part.strip()) for part in parts.groups()) if parts else (None, None, None)
    except ArithmeticError:
        return None
    if first is None or last is None or step is None:
        return None
    if not all(value.is_finite() for value in (first, last, step)) or step == 0 or (last - first) / step < 0:
        raise UserError(f"--vary {text}: the range {values} leads nowhere: expected first:last:step")
    count = int((last - first) / step) + 1
    if count > _MOST:
        raise UserError(f"--vary {text}: the range {values} has {count} values, more than {_MOST}")
    return tuple(f"{(first + number * step).normalize():f}" for number in range(count))


def _listed(values: str) -> tuple[str, ...]:
    """The parts between commas that stand in no brackets or quotes."""
    found, depth, quoted = [""], 0, ""
    for letter in values:
        quoted = ("" if quoted == letter else quoted or letter) if letter in "\"'" else quoted
        depth += 0 if quoted else (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0 and not quoted:
            found.append("")
        else:
            found[-1] += letter
    return tuple(part.strip() for part in found if part.strip())


def points(variations: Sequence[Variation]) -> list[Point]:
    """All combinations, the last option changing first. Raises UserError where there are too many, or one option is there twice."""
    keys = [each.key for each in variations]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise UserError(f"--vary {twice}: is there twice")
    combinations = list(product(*(each.values for each in variations)))
    if len(combinations) > _MOST:
        raise UserError(f"--vary: {len(combinations)} combinations are more than {_MOST}")
    return [Point(number, dict(zip(keys, values, strict=True))) for number, values in enumerate(combinations, 1)]


def stages_for(measure: str) -> tuple[str, ...] | None:
    """The stages after training that a figure needs; None where it is not known, so that all are needed."""
    if metric_for(measure) is not None:
        return ("sample", "evaluate")
    if measure in _LIKELIHOOD:
        return ("likelihood",)
    return ("sample",) if measure == "evaluations_per_sample" else None


def metric_for(measure: str) -> str | None:
    """The metric of [evaluation] that brings a figure; None for other figures."""
    name = measure.lower()
    return _PARTS.get(name, name if name in _METRICS else None)


def measured(figures: Sequence[Mapping[str, Any]], measure: str) -> Mapping[str, Any]:
    """The figure that is meant, by its name or without its number of samples and extractor. Raises UserError where none or several are."""
    names = [str(figure["name"]) for figure in figures]
    for matches in (
        lambda name: name == measure,
        lambda name: _plain(name) == measure.lower(),
        lambda name: _plain(name).startswith(f"{measure.lower()}_"),
    ):
        found = [figure for name, figure in zip(names, figures, strict=True) if matches(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"--measure {measure}: may be {' or '.join(str(figure['name']) for figure in found)}: say which")
    raise UserError(
        f"--measure {measure}: there is no such figure; there are {', '.join(names) or 'none'}, and metrics: {', '.join(_METRICS)}"
    )


def _plain(name: str) -> str:
    return name.split("@")[0].lower()


def best(done: Sequence[Point]) -> Point | None:
    """The point with the best figure, where it is known which end is better."""
    known = [point for point in done if point.figure is not None]
    if not known:
        return None
    high = is_better_high(str(known[0].figure["name"]))  # type: ignore[index]
    if high is None:
        return None
    return (max if high else min)(known, key=lambda point: float(point.figure["value"]))  # type: ignore[index]


def write_results(folder: Path, variations: Sequence[Variation], done: Sequence[Point]) -> None:
    """sweep.md, sweep.csv and sweep.png of the points that are measured."""
    write_text(folder / "sweep.csv", _csv(variations, done))
    write_text(folder / "sweep.md", _markdown(variations, done))
    _plot(folder / "sweep.png", variations, done)


def _rows(variations: Sequence[Variation], done: Sequence[Point]) -> tuple[list[str], list[list[Any]]]:
    name = str(done[0].figure["name"]) if done and done[0].figure is not None else "figure"
    head = [*(each.key for each in variations), name, "std_error", "evaluations", "seconds", "folder"]
    rows = []
    for point in done:
        assert point.figure is not None
        value, error = point.figure["value"], point.figure["std_error"]
        rows.append([*point.values.values(), value, error, point.evaluations, point.seconds, folder_name(point)])
    return head, rows


def _csv(variations: Sequence[Variation], done: Sequence[Point]) -> str:
    head, rows = _rows(variations, done)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return file.getvalue()


def _markdown(variations: Sequence[Variation], done: Sequence[Point]) -> str:
    """The same as a table, with the best line in bold."""
    head, rows = _rows(variations, done)
    chosen = best(done)
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for point, row in zip(done, rows, strict=True):
        cells = ["" if cell is None else f"{cell:.5g}" if isinstance(cell, float) else str(cell).replace("|", "\\|") for cell in row]
        cells = [f"**{cell}**" if point is chosen and cell else cell for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _plot(path: Path, variations: Sequence[Variation], done: Sequence[Point]) -> None:
    """The figure against the first option with several values; a line for each combination of the others."""
    across = next((each for each in variations if len(each.values) > 1), variations[0])
    others = [each for each in variations if each is not across]
    series: dict[str, list[tuple[str, float, float | None]]] = {}
    for point in done:
        assert point.figure is not None
        name = ", ".join(f"{each.key.split('.')[-1]} = {point.values[each.key]}" for each in others if len(each.values) > 1)
        series.setdefault(name, []).append((point.values[across.key], float(point.figure["value"]), point.figure["std_error"]))
    assert done[0].figure is not None
    curves(path, series, across.key, str(done[0].figure["name"]))


def folder_name(point: Point) -> str:
    """Where a point's run lies in the sweep's folder."""
    return f"point-{point.number:04d}"
