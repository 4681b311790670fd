"""The pictures of a run, as PNG files that are written whole or not at all.

Picture grids are drawn pixel by pixel: a value v of the range [low, high] becomes the grey level round(255 (v - low) / (high - low)),
values outside the range become its ends, and every picture is enlarged by a whole factor without smoothing. Diagrams are matplotlib figures
in one style, with colours that the colour-blind tell apart (Okabe and Ito, 2008).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from .data import DataSpec
from .files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

BLUE, RED, AMBER, INK, PALE = "#0072b2", "#d55e00", "#e69f00", "#333333", "#dddddd"
SHADES = ("#ffffff", "#b3d4e8", BLUE)  # from low to high densities
PAPER = (205, 205, 205)  # behind and between pictures: neither the black nor the white that data have as a background
UNKNOWN = (190, 165, 220)  # pixels that a mask hides: a tint, so that it is no grey level
STYLE: Mapping[str, Any] = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "text.color", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    **dict.fromkeys(("figure.dpi", "savefig.dpi"), 130),
    **{"font.size": 10, "axes.titlesize": 11, "grid.color": PALE, "grid.linewidth": 0.6},
}
_WIDEST, _GAP = 1000, 4  # pixels: the widest grid, and the margin around each of its pictures
_HEIGHT = 128  # about the height in pixels of each picture of a comparison


def image_grid(path: Path, x: Tensor, spec: DataSpec, columns: int | None = None) -> None:
    """The pictures x (N, 1 or 3, H, W) in rows of ``columns``, by default as many as make the grid nearly square.

    The factor is the largest with which the grid is at most 1000 pixels wide, or 1.
    """
    from PIL import Image

    pixels = _pixels(x, spec)
    count, height, width = pixels.shape[:3]
    columns = columns or min(count, math.ceil(math.sqrt(count * height / width)))
    factor = max(1, (_WIDEST - _GAP * (columns + 1)) // (columns * width))
    pixels = _enlarged(pixels, factor)
    rows, (height, width) = -(-count // columns), pixels.shape[1:3]
    grid = _paper(rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    for place, picture in enumerate(pixels):
        row, column = divmod(place, columns)
        _paste(grid, picture, _GAP + row * (height + _GAP), _GAP + column * (width + _GAP))
    _save(path, Image.fromarray(grid if x.shape[1] == 3 else grid[..., 0]))


def comparison(path: Path, columns: Sequence[tuple[str, Tensor]], spec: DataSpec, mask: Tensor | None = None) -> None:
    """Columns of pictures (N, 1 or 3, H, W), each under its title, one row for each item; smaller pictures are enlarged more.

    ``mask`` (1 = known; of the first column's shape or of one item's) paints the pixels that it hides in every channel of the first
    column in a flat tint.
    """
    from PIL import Image, ImageDraw

    titles, parts = [title for title, _ in columns], [_pixels(x, spec) for _, x in columns]
    if mask is not None:
        known = mask.detach().cpu().expand(len(parts[0]), *mask.shape[-3:]) > 0
        parts[0][~known.any(1).numpy()] = UNKNOWN
    target = spec.shape[1] * max(1, _HEIGHT // spec.shape[1])
    parts = [_enlarged(part, max(1, target // part.shape[1])) for part in parts]
    height, width = max(part.shape[1] for part in parts), max(part.shape[2] for part in parts)
    font, gap, head = _font(15), 2 * _GAP, 28
    cell = max(width, *(math.ceil(font.getlength(title)) for title in titles))
    page = _paper(head + max(map(len, parts)) * (height + gap), gap + len(parts) * (cell + gap))
    middles = [gap + cell // 2 + number * (cell + gap) for number in range(len(parts))]
    for middle, part in zip(middles, parts, strict=True):
        for row, picture in enumerate(part):
            _paste(page, picture, head + row * (height + gap), middle - picture.shape[1] // 2)
    image = Image.fromarray(page)
    for middle, title in zip(middles, titles, strict=True):
        ImageDraw.Draw(image).text((middle, head / 2), title, fill=INK, font=font, anchor="mm")
    _save(path, image)


def scatter(path: Path, panels: Sequence[tuple[str, Tensor]]) -> "Figure":
    """Point sets (N, *) side by side on the same axes, each under its title; of more than two coordinates the first two.

    The axes hold the middle 99.8 % of every set with a margin, and a title says how many points lie outside. Points on a line (one
    coordinate) are drawn as histograms.
    """
    sets = [(title, _rows(x)[:, :2]) for title, x in panels]
    dimension = panels[0][1][0].numel()
    low, high = _limits([rows for _, rows in sets])
    ratio = (high[1] - low[1]) / (high[0] - low[0]) if dimension > 1 else 0.6
    with _figure(path, len(sets), shape=(3.7, 3.7 * ratio + 0.6), layout="compressed") as (figure, axes):
        for ax, (title, rows) in zip(axes, sets, strict=True):
            outside = len(rows) - int(((rows >= low) & (rows <= high)).all(1).sum())
            ax.set(title=title + (f" ({outside} of {len(rows)} outside)" if outside else ""), xlim=(low[0], high[0]))
            ax.set_xlabel("$x_1$" + (f"   (first two of {dimension} coordinates)" if dimension > 2 else ""))
            if dimension == 1:
                ax.hist(rows[:, 0], bins=list(np.linspace(low[0], high[0], 61)), density=True, color=BLUE, alpha=0.7)
                continue
            size = float(np.clip(9000 / max(len(rows), 1), 1.5, 14))
            ax.scatter(rows[:, 0], rows[:, 1], s=size, color=BLUE, alpha=0.45, linewidths=0)
            ax.set(aspect="equal", ylim=(low[1], high[1]))
        axes[0].set_ylabel("$x_2$" if dimension > 1 else "density")
    return figure


def density_map(path: Path, values: Tensor, extent: tuple[float, float, float, float], points: Tensor | None = None) -> "Figure":
    """A log-density in nats, values (H, W) over ``extent`` (left, right, bottom, top), and ``points`` (N, 2) on top.

    The first row of values is the bottom one. Colours span the 12 nats below the highest value.
    """
    from matplotlib.colors import LinearSegmentedColormap

    field = values.detach().double().cpu().numpy()
    shades = LinearSegmentedColormap.from_list("density", SHADES)
    top = float(field[np.isfinite(field)].max())
    ratio = float(np.clip((extent[3] - extent[2]) / (extent[1] - extent[0]), 0.3, 2))
    with _figure(path, 1, shape=(6.0, 4.8 * ratio + 0.6), layout="compressed") as (figure, (ax,)):
        ax.grid(False)
        mesh = ax.imshow(field, origin="lower", extent=extent, cmap=shades, vmin=top - 12, vmax=top, interpolation="nearest")
        if points is not None:
            rows = _rows(points)
            ax.scatter(rows[:, 0], rows[:, 1], s=8, color=AMBER, edgecolors="white", linewidths=0.3)
        ax.set(xlim=extent[:2], ylim=extent[2:], xlabel="$x_1$", ylabel="$x_2$")
        bar = figure.colorbar(mesh, ax=ax, extend="min")
        bar.set_label("log-density (nats)")
    return figure


def loss_curve(path: Path, records: Sequence[Mapping[str, Any]]) -> "Figure":
    """The loss at each step with its running mean over a fiftieth of the records, and the validation loss with its best marked.

    Records have ``step`` and ``loss``, some a ``validation``; of two with the same step the later counts. Values that are not finite are
    left out. The axis is logarithmic where all values are positive.
    """
    loss, validation = _series(records, "loss"), _series(records, "validation")
    if not len(loss):
        raise ValueError("there is no loss to draw: no record has one that is finite")
    window = max(1, len(loss) // 50)
    mean = np.convolve(loss[:, 1], np.ones(window) / window, mode="valid")
    with _figure(path, 1, shape=(7.0, 4.0)) as (figure, (ax,)):
        ax.plot(*loss.T, "-" if window > 1 else ".-", color=BLUE, alpha=0.25 if window > 1 else 1, linewidth=0.8, label="loss")
        if window > 1:
            ax.plot(loss[window - 1 :, 0], mean, color=BLUE, linewidth=1.8, label=f"mean of {window}")
        if len(validation):
            best = validation[validation[:, 1].argmin()]
            ax.plot(*validation.T, "o-", color=RED, markersize=4, linewidth=1, label="validation")
            ax.plot(*best, "*", color=RED, markersize=15, markeredgecolor="white", label=f"best {best[1]:.4g} at step {best[0]:.0f}")
        positive = min(loss[:, 1].min(), validation[:, 1].min(initial=math.inf)) > 0
        ax.set(xlabel="step", ylabel="loss", yscale="log" if positive else "linear")
        ax.locator_params(axis="x", integer=True)
        ax.legend()
    return figure


def curves(path: Path, series: Mapping[str, Sequence[tuple[str, float, float | None]]], x_label: str, y_label: str) -> "Figure":
    """Lines through values y at places x, (x, y, standard error or None), each under its name; places that are no numbers stand side by
    side.

    The axis of places is logarithmic where these are positive and span two decades or more.
    """
    places = list(dict.fromkeys(x for points in series.values() for x, _, _ in points))
    numbers = {place: number for place in places if (number := _as_number(place)) is not None}
    numeric = len(numbers) == len(places)
    at = numbers if numeric else {place: float(number) for number, place in enumerate(places)}
    with _figure(path, 1, shape=(7.0, 4.4)) as (figure, (ax,)):
        for number, (name, points) in enumerate(series.items()):
            rows = sorted((at[x], y, error or 0.0) for x, y, error in points)
            colour = (BLUE, RED, AMBER, "#009e73", "#cc79a7", INK)[number % 6]
            x, y, errors = zip(*rows, strict=True)
            shown: dict[str, Any] = {"yerr": errors, "capsize": 2.5} if any(errors) else {}
            ax.errorbar(x, y, fmt="o-" if numeric else "o", color=colour, markersize=4, linewidth=1.4, label=name or None, **shown)
        wide = numeric and min(at.values()) > 0 and max(at.values()) >= 100 * min(at.values())
        ax.set(xlabel=x_label, ylabel=y_label, xscale="log" if wide else "linear")
        if not numeric:
            ax.set_xticks(list(at.values()), list(at), rotation=30, ha="right")
        if any(series):
            ax.legend()
    return figure


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def lines(path: Path, panels: Sequence[tuple[str, Tensor]]) -> "Figure":
    """Items of any other shape (N, *) as lines, the first 32 of each panel overlaid on the same axes."""
    rows = [(title, _rows(x)[:32]) for title, x in panels]
    with _figure(path, len(rows), shape=(4.4, 3.2)) as (figure, axes):
        for ax, (title, series) in zip(axes, rows, strict=True):
            ax.plot(series.T, color=BLUE, alpha=0.4, linewidth=0.9)
            ax.set(title=title, xlabel="position")
        axes[0].set_ylabel("value")
    return figure


def _pixels(x: Tensor, spec: DataSpec) -> Any:
    """Grey or RGB values (N, H, W, 3) uint8. Without a range, that of x. Values that are not a number are drawn as the low end."""
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not len(x):
        raise ValueError(f"pictures have the shape (N, 1 or 3, H, W), N > 0: a tensor of shape {tuple(x.shape)} has none")
    x = x.detach().cpu().double()
    low, high = spec.range or (float(x.min()), float(x.max()))
    unit = ((x - low) / ((high - low) or 1.0)).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)
    return (255 * unit).round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()


def _enlarged(pixels: Any, factor: int) -> Any:
    return pixels.repeat(factor, axis=1).repeat(factor, axis=2)


def _paper(height: int, width: int) -> Any:
    return np.full((height, width, 3), PAPER, dtype=np.uint8)


def _paste(page: Any, picture: Any, top: int, left: int) -> None:
    page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture


def _save(path: Path, image: "Image.Image") -> None:
    write_file(path, lambda temporary: image.save(temporary, format="PNG", optimize=True))


def _font(size: int) -> Any:
    """The font of the diagrams."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


@contextmanager
def _figure(
    path: Path, count: int, shape: tuple[float, float], layout: Literal["constrained", "compressed"] = "constrained"
) -> "Iterator[tuple[Figure, list[Axes]]]":
    """A figure with ``count`` panels of this shape (inches) side by side, in the style; written at the end of the ``with``."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=(count * shape[0], shape[1]), layout=layout)
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0])
        write_file(path, lambda temporary: figure.savefig(temporary, format="png"))


def _rows(x: Tensor) -> Any:
    return x.detach().cpu().double().flatten(1).numpy()


def _limits(sets: Sequence[Any]) -> Any:
    """The lower and the upper corner (2, 2) of a box around the middle 99.8 % of each of these sets (N, 2), with a margin.

    No side of the box is shorter than half the other.
    """
    corners = np.array([np.nanquantile(points, (0.001, 0.999), axis=0) for points in sets])
    low, high = corners[:, 0].min(0), corners[:, 1].max(0)
    longest = float((high - low).max()) or 1.0
    half = 0.58 * np.maximum(high - low, longest / 2)
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half])


def _series(records: Sequence[Mapping[str, Any]], key: str) -> Any:
    """(step, value) (n, 2), in the order of the steps."""
    values = {record["step"]: float(record[key]) for record in records if record.get(key) is not None}
    return np.array([pair for pair in sorted(values.items()) if math.isfinite(pair[1])], dtype=float).reshape(-1, 2)
