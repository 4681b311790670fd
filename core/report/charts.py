"""Charts as SVG in a page: lines over steps, histograms, and figures against the number of evaluations.

Colours come from the page's style, so that a chart is as readable in the dark. A linear axis has ticks at 1, 2 or 5 times a power of ten, a
logarithmic one at powers of ten, and at 2 and 5 times these where there are few.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple, final

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 44
COLOURS = 6  # that the style knows
_TICKS = 6

Points = Sequence[tuple[float, float]]


class Series(NamedTuple):
    """Points (x, y) under a name: joined by a line, or else as dots; ``faint`` for what lies behind."""

    name: str
    points: Points
    line: bool = True
    dots: bool = False
    faint: bool = False


@final
class Axis:
    """One direction of a chart, from the values that it has to hold to places along ``start`` to ``end``."""

    def __init__(self, values: Iterable[float], start: float, end: float, *, log: bool = False, zero: bool = False) -> None:
        held = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        self.log = log and min(held) > 0
        low, high = (math.log10(min(held)), math.log10(max(held))) if self.log else (min(held), max(held))
        low = min(low, 0.0) if zero and not self.log else low
        room = 0.04 * (high - low) or (0.15 if self.log else 0.5 * abs(high) or 1.0)
        self.low = low if zero and not self.log and low == 0 else low - room
        self.high, self.start, self.end = high + room, start, end

    def place(self, value: float) -> float:
        at = (math.log10(value) if self.log else value) - self.low
        return self.start + (self.end - self.start) * at / (self.high - self.low)

    def ticks(self) -> list[float]:
        if not self.log:
            return _steps(self.low, self.high)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        several = [m * 10.0**p for p in powers for m in ((1, 2, 5) if len(powers) < 4 else (1,))]
        found = [value for value in several if self.low <= math.log10(value) <= self.high]
        return found if len(found) > 1 else [10**place for place in _steps(self.low, self.high)]


def lines(title: str, series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool = False, log_y: bool = False) -> str:
    """A chart of these series, and a legend under it where they are several. Points that are not finite are left out."""
    drawn = [each._replace(points=[p for p in each.points if math.isfinite(p[0]) and math.isfinite(p[1])]) for each in series]
    x = Axis((p[0] for each in drawn for p in each.points), LEFT, WIDTH - RIGHT, log=log_x)
    y = Axis((p[1] for each in drawn for p in each.points), HEIGHT - BOTTOM, TOP, log=log_y)
    body = [_frame(x, y, x_label, y_label)]
    for number, each in enumerate(drawn):
        style = f'class="c{number % COLOURS}{" faint" if each.faint else ""}"'
        places = [f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in each.points]
        if each.line and len(places) > 1:
            body.append(f'<polyline {style} points="{" ".join(_thinned(places))}"/>')
        if each.dots or len(places) == 1:
            body += [
                _dot(style, place, f"{each.name}: {number_words(a)}, {number_words(b)}")
                for place, (a, b) in zip(places, each.points, strict=True)
            ]
    return _figure(title, "".join(body), [each.name for each in drawn] if len(drawn) > 1 else [])


def histogram(title: str, values: Sequence[float], x_label: str, marks: Sequence[tuple[str, float]] = ()) -> str:
    """How often values fall into equal bins, with marked values as vertical lines."""
    held = sorted(value for value in values if math.isfinite(value))
    low, high = (held[0], held[-1]) if held else (0.0, 1.0)
    high = high if high > low else low + 1.0
    count = max(5, min(60, math.ceil(math.sqrt(len(held)))))
    width = (high - low) / count
    heights = [0] * count
    for value in held:
        heights[min(int((value - low) / width), count - 1)] += 1
    x = Axis([low, high, *(mark for _, mark in marks)], LEFT, WIDTH - RIGHT)
    y = Axis(map(float, heights), HEIGHT - BOTTOM, TOP, zero=True)
    body = [_frame(x, y, x_label, "items")]
    for place, height in enumerate(heights):
        left, right = x.place(low + place * width), x.place(low + (place + 1) * width)
        top = y.place(height)
        body.append(
            f'<rect class="c0" x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}" height="{y.place(0) - top:.1f}"/>'
        )
    for number, (_, mark) in enumerate(marks, 1):
        at = x.place(mark)
        body.append(f'<line class="c{number % COLOURS}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    legend = ["items", *(f"{name} {number_words(mark)}" for name, mark in marks)] if marks else []
    return _figure(title, "".join(body), legend)


def number_words(value: float) -> str:
    """A number in four digits or all of its whole ones, very large and small ones with an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 1e4 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3e}" if not 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"


def _dot(style: str, place: str, words: str) -> str:
    x, y = place.split(",")
    return f'<circle {style} cx="{x}" cy="{y}" r="4"><title>{escape(words)}</title></circle>'


def _steps(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between the two."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step) + 1)]


def _frame(x: Axis, y: Axis, x_label: str, y_label: str) -> str:
    bottom, parts = HEIGHT - BOTTOM, []
    for value in y.ticks():
        at = y.place(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{at + 4:.1f}">{_tick(value)}</text>')
    for value in x.ticks():
        at = x.place(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="tick middle" x="{at:.1f}" y="{bottom + 18}">{_tick(value)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="label middle" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 7}">{escape(x_label)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(f'<text class="label middle" transform="translate(13 {middle:.0f}) rotate(-90)">{escape(y_label)}</text>')
    return "".join(parts)


def _tick(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        digits, exponent = f"{value:.0e}".split("e")
        return f"{digits}e{int(exponent)}"
    return f"{value:.10g}" if abs(value) < 1e-9 else f"{round(value, 9):.6g}"


def _thinned(places: list[str], most: int = 1000) -> list[str]:
    """So many places at most, evenly, and the last one."""
    step = math.ceil(len(places) / most)
    return [*places[::step], *([places[-1]] if (len(places) - 1) % step else [])]


def _figure(title: str, body: str, legend: Sequence[str]) -> str:
    keys = "".join(f'<li class="c{number % COLOURS}">{escape(name)}</li>' for number, name in enumerate(legend))
    under = f'<ul class="legend">{keys}</ul>' if keys else ""
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">{body}</svg>'
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{svg}{under}</figure>'
