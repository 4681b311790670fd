"""Pictures: the pixels of grids, the axes of diagrams, and files that are whole or absent."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scoresde.core import DataSpec
from scoresde.core.pictures import PAPER, UNKNOWN, comparison, curves, density_map, image_grid, lines, loss_curve, scatter

GREY = DataSpec(shape=(1, 2, 2), range=(-1.0, 1.0), levels=17)
COLOUR = DataSpec(shape=(3, 2, 2), range=(0.0, 1.0), levels=256)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def constant(*levels: float, spec: DataSpec = GREY) -> Tensor:
    return torch.tensor(levels).reshape(-1, 1, 1, 1).expand(-1, *spec.shape)


def test_grey_levels_positions_and_margins(tmp_path: Path) -> None:
    x = torch.tensor([[[-1.0, 0.5], [0.0, 1.0]]])[None]
    image_grid(tmp_path / "grid.png", x, GREY)
    found = pixels(tmp_path / "grid.png")
    size = (1000 - 8) // 2  # one picture of two columns, with a margin of 4 on both sides
    assert found.shape == (2 * size + 8, 2 * size + 8)
    assert (found[3, 3], found[4, 4], found[4, 4 + size - 1]) == (PAPER[0], 0, 0)
    assert found[4, 4 + size] == 191  # 255 * 0.75
    assert found[4 + size, 4] == 128  # 255 * 0.5, to even
    assert found[-5, -5] == 255
    assert found[-4, -4] == PAPER[0]
    assert sorted(np.unique(found)) == [0, 128, 191, PAPER[0], 255]


def test_values_outside_the_range_are_clamped(tmp_path: Path) -> None:
    image_grid(tmp_path / "grid.png", constant(-7.0, 3.0, math.inf, -math.inf, math.nan), GREY, columns=5)
    found = pixels(tmp_path / "grid.png")
    factor = (1000 - 4 * 6) // 10
    assert found.shape == (2 * factor + 8, 5 * 2 * factor + 4 * 6)
    assert [found[10, 10 + place * (2 * factor + 4)] for place in range(5)] == [0, 255, 255, 0, 0]


def test_without_a_range_that_of_the_data_counts(tmp_path: Path) -> None:
    image_grid(tmp_path / "grid.png", constant(10.0, 20.0, 30.0), DataSpec(shape=(1, 2, 2)), columns=3)
    found = pixels(tmp_path / "grid.png")
    assert [found[10, x] for x in (10, 500, 990)] == [0, 128, 255]


@pytest.mark.parametrize(
    ("count", "shape", "size"),
    [(64, (1, 8, 8), (996, 996)), (60, (3, 32, 32), (804, 804)), (10, (3, 32, 32), (688, 916)), (4, (1, 600, 700), (1212, 1412))],
)
def test_grids_are_nearly_square_and_at_most_1000_wide_where_they_can(
    tmp_path: Path, count: int, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    image_grid(tmp_path / "grid.png", torch.zeros(count, *shape), DataSpec(shape=shape, range=(0.0, 1.0)))
    assert pixels(tmp_path / "grid.png").shape[:2] == size


def test_colours_and_empty_places(tmp_path: Path) -> None:
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.2, 1.0], [1.0, 1.0, 1.0]])[:, :, None, None].expand(-1, -1, 2, 2)
    image_grid(tmp_path / "grid.png", x, COLOUR)
    found = pixels(tmp_path / "grid.png")
    first, last = 10, found.shape[0] - 10
    assert found[first, first].tolist() == [255, 0, 0]
    assert found[first, last].tolist() == [0, 51, 255]
    assert found[last, first].tolist() == [255, 255, 255]
    assert found[last, last].tolist() == list(PAPER)


def test_comparison_tints_what_the_mask_hides_in_the_first_column_alone(tmp_path: Path) -> None:
    x = constant(-1.0, 1.0)
    mask = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    comparison(tmp_path / "both.png", [("seen", x), ("made", x)], GREY, mask=mask)
    found = pixels(tmp_path / "both.png")
    assert found.shape == (28 + 2 * (128 + 8), 8 + 2 * (128 + 8), 3)
    for row, level in enumerate((0, 255)):
        top = 28 + row * 136
        seen, made = found[top : top + 128, 8:136], found[top : top + 128, 144:272]
        assert (seen[:64, 64:] == UNKNOWN).all()
        assert (seen[:, :64] == level).all()
        assert (seen[64:, 64:] == level).all()
        assert (made == level).all()
    assert (found[:28, 8:136] != PAPER).any()  # a title
    assert (found[-8:] == PAPER).all()


def test_a_pixel_with_one_known_channel_is_shown(tmp_path: Path) -> None:
    mask = torch.zeros(3, 2, 2)
    mask[0, 0] = 1
    comparison(tmp_path / "one.png", [("", torch.full((1, 3, 2, 2), 0.4))], COLOUR, mask=mask)
    found = pixels(tmp_path / "one.png")[28:156, 8:136]
    assert (found[:64] == 102).all()
    assert (found[64:] == UNKNOWN).all()


def test_pictures_of_low_resolution_are_enlarged_to_the_same_size(tmp_path: Path) -> None:
    spec = DataSpec(shape=(1, 4, 4), range=(0.0, 1.0))
    comparison(tmp_path / "two.png", [("", torch.ones(1, 1, 2, 2)), ("", torch.zeros(1, 1, 4, 4))], spec)
    found = pixels(tmp_path / "two.png")[28:156]
    assert (found[:, 8:136] == 255).all()
    assert (found[:, 144:272] == 0).all()


def test_scatter_shares_its_limits_and_counts_what_lies_outside(tmp_path: Path) -> None:
    corners = torch.tensor([[-1.0, -1.0], [3.0, 1.0]]).repeat(2000, 1)
    far = corners.clone()
    far[0] = 1e6
    figure = scatter(tmp_path / "points.png", [("samples", far), ("data", corners)])
    samples, data = figure.axes
    assert samples.get_xlim() == data.get_xlim() == pytest.approx((1 - 0.58 * 4, 1 + 0.58 * 4))
    assert samples.get_ylim() == data.get_ylim() == pytest.approx((-0.58 * 2, 0.58 * 2))
    assert samples.get_aspect() == data.get_aspect() == 1
    assert (samples.get_title(), data.get_title()) == ("samples (1 of 4000 outside)", "data")
    assert np.array_equal(data.collections[0].get_offsets(), corners)
    assert pixels(tmp_path / "points.png").shape[1] == 962  # 2 panels of 3.7 inches at 130 dots an inch


def test_scatter_says_that_it_shows_two_of_many_coordinates(tmp_path: Path) -> None:
    x = torch.arange(24.0).reshape(4, 6)
    ax = scatter(tmp_path / "points.png", [("x", x)]).axes[0]
    assert ax.get_xlabel() == "$x_1$   (first two of 6 coordinates)"
    assert np.array_equal(ax.collections[0].get_offsets(), x[:, :2])


def test_one_coordinate_is_drawn_as_a_histogram_of_area_one(tmp_path: Path) -> None:
    figure = scatter(tmp_path / "points.png", [("samples", torch.zeros(10, 1)), ("data", torch.linspace(-1, 1, 2001)[:, None])])
    samples, data = figure.axes
    for ax in (samples, data):
        assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(1)
    assert samples.get_xlim() == data.get_xlim()
    assert (samples.get_ylabel(), data.get_xlabel()) == ("density", "$x_1$")


def test_density_map_spans_12_nats_with_its_first_row_at_the_bottom(tmp_path: Path) -> None:
    values = torch.full((3, 4), -100.0)
    values[0, 0], values[2, 3] = 2.5, -math.inf
    figure = density_map(tmp_path / "map.png", values, (-2.0, 2.0, 0.0, 3.0), torch.tensor([[0.5, 1.5]]))
    ax, bar = figure.axes
    image = ax.images[0]
    assert image.get_clim() == (-9.5, 2.5)
    assert (image.origin, image.get_extent()) == ("lower", [-2.0, 2.0, 0.0, 3.0])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-2.0, 2.0), (0.0, 3.0))
    assert ax.collections[0].get_offsets().tolist() == [[0.5, 1.5]]
    assert bar.get_ylabel() == "log-density (nats)"
    found = pixels(tmp_path / "map.png")[..., :3]
    blue = np.argwhere((found == (0, 114, 178)).all(2))
    in_map = blue[blue[:, 1] < found.shape[1] / 2]
    assert in_map[:, 0].min() > found.shape[0] / 2  # the highest value, in the first row, is drawn below the middle


def test_loss_curve_draws_the_mean_and_marks_the_best(tmp_path: Path) -> None:
    records = [{"step": step, "loss": 100.0 / step, "learning_rate": 1e-3} for step in range(1, 101)]
    records[39]["validation"], records[79]["validation"] = 0.5, 0.75
    records.append({"step": 100, "loss": 3.0})  # after a resume
    records.append({"step": 101, "loss": math.nan})
    ax = loss_curve(tmp_path / "loss.png", records).axes[0]
    raw, mean, validation, best = ax.lines
    assert raw.get_xdata().tolist() == list(range(1, 101))
    assert raw.get_ydata()[-1] == 3.0
    assert mean.get_ydata()[:2] == pytest.approx([75.0, (50 + 100 / 3) / 2])
    assert mean.get_xdata()[0] == 2
    assert validation.get_xydata().tolist() == [[40, 0.5], [80, 0.75]]
    assert best.get_xydata().tolist() == [[40, 0.5]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["loss", "mean of 2", "validation", "best 0.5 at step 40"]
    assert ax.get_yscale() == "log"


def test_a_loss_that_is_not_positive_has_a_linear_axis(tmp_path: Path) -> None:
    ax = loss_curve(tmp_path / "loss.png", [{"step": 1, "loss": 0.5}, {"step": 2, "loss": -0.5}]).axes[0]
    assert ax.get_yscale() == "linear"
    assert len(ax.lines) == 1
    with pytest.raises(ValueError, match=r"^there is no loss to draw: no record has one that is finite$"):
        loss_curve(tmp_path / "none.png", [{"step": 1, "loss": math.inf}])
    assert not (tmp_path / "none.png").exists()


def test_lines_draw_at_most_32_series(tmp_path: Path) -> None:
    x = torch.arange(40.0 * 5).reshape(40, 5)
    left, right = lines(tmp_path / "lines.png", [("samples", x), ("data", x[:3])]).axes
    assert (len(left.lines), len(right.lines)) == (32, 3)
    assert left.lines[31].get_ydata().tolist() == x[31].tolist()
    assert left.get_ylim() == right.get_ylim()


def test_a_failed_write_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_grid(tmp_path / "kept.png", constant(1.0), GREY)
    before = (tmp_path / "kept.png").read_bytes()

    def broken(*_: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.replace", broken)
    for draw in (
        lambda path: image_grid(path, constant(0.0), GREY),
        lambda path: comparison(path, [("x", constant(0.0))], GREY),
        lambda path: lines(path, [("x", torch.zeros(2, 3))]),
    ):
        for name in ("kept.png", "new.png"):
            with pytest.raises(OSError, match="no space left"):
                draw(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.png"]
    assert (tmp_path / "kept.png").read_bytes() == before


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    message = r"^pictures have the shape \(N, 1 or 3, H, W\), N > 0: a tensor of shape \(4, 2, 3, 3\) has none$"
    with pytest.raises(ValueError, match=message):
        image_grid(tmp_path / "grid.png", torch.zeros(4, 2, 3, 3), DataSpec(shape=(2, 3, 3)))
    assert list(tmp_path.iterdir()) == []


def test_the_style_stays_inside_and_pyplot_outside(tmp_path: Path) -> None:
    program = (
        "import sys, torch, pathlib; from scoresde.core import pictures\n"
        "assert 'matplotlib' not in sys.modules and 'PIL' not in sys.modules\n"
        "import matplotlib; style = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = style(); pictures.lines(pathlib.Path(sys.argv[1]), [('x', torch.zeros(1, 2))])\n"
        "assert style() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "lines.png")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_curves_of_numbers_and_of_names(tmp_path: Path) -> None:
    series = {"a": [("10", 2.0, 0.5), ("1000", 1.0, None)], "b": [("10", 3.0, None)]}
    (ax,) = curves(tmp_path / "a.png", series, "steps", "FID").axes
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "steps", "FID")
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["a", "b"]
    (ax,) = curves(tmp_path / "b.png", {"": [("ddim", 2.0, None), ("heun", 1.0, None)]}, "predictor", "FID").axes
    assert (ax.get_xscale(), [label.get_text() for label in ax.get_xticklabels()]) == ("linear", ["ddim", "heun"])
    assert ax.get_legend() is None
