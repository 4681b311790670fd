"""Charts: values stand where the axes say."""

import math
from xml.etree import ElementTree

import pytest

from scoresde.core.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Series, histogram, lines, number_words


def svg(figure: str) -> ElementTree.Element:
    found = ElementTree.fromstring(figure).find("svg")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([0.0, 10.0], False, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
        ([-0.03, 0.04], False, [-0.02, 0.0, 0.02, 0.04]),
        ([1.0, 1000.0], True, [1.0, 10.0, 100.0, 1000.0]),
        ([1.0, 9.0], True, [1.0, 2.0, 5.0]),
        ([3.0, 3.0], False, [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(values: list[float], log: bool, ticks: list[float]) -> None:
    assert Axis(values, 0, 100, log=log).ticks() == pytest.approx(ticks)


def test_places_are_linear_or_logarithmic() -> None:
    axis, log = Axis([0.0, 10.0], 50, 150), Axis([1.0, 100.0], 50, 150, log=True)
    assert axis.place(5.0) == pytest.approx(100)
    assert log.place(10.0) == pytest.approx(100)
    assert axis.place(10.0) - axis.place(5.0) == pytest.approx(axis.place(5.0) - axis.place(0.0))
    assert Axis([0.0, 4.0], 280, 0, zero=True).place(0.0) == 280
    assert Axis([-1.0, 4.0], 0, 1, log=True).log is False


def test_a_line_goes_through_its_points() -> None:
    chart = svg(lines("Loss", [Series("loss", [(0, 1.0), (5, 3.0), (10, 2.0), (11, math.nan)])], "step", "loss"))
    (line,) = chart.findall("polyline")
    places = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert len(places) == 3
    assert places[1][0] == pytest.approx((places[0][0] + places[2][0]) / 2, abs=0.1)
    assert places[2][1] == pytest.approx((places[0][1] + places[1][1]) / 2, abs=0.1)
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in places)
    assert chart.attrib["aria-label"] == "Loss"
    assert chart.attrib["role"] == "img"


def test_several_lines_have_a_legend_and_long_ones_are_thinned() -> None:
    figure = lines("L", [Series("a <b>", [(n, 1.0 + n) for n in range(5001)]), Series("c", [(1, 1)])], "x", "y")
    assert '<li class="c0">a &lt;b&gt;</li><li class="c1">c</li>' in figure
    first = svg(figure).find("polyline")
    assert first is not None
    assert 500 < len(first.attrib["points"].split()) <= 1001
    assert len(svg(figure).findall("circle")) == 1  # a single point is a dot


def test_a_histogram_counts_every_value_once() -> None:
    values = [0.0] * 3 + [1.0] + [4.0] * 2 + [math.nan]
    chart = svg(histogram("H", values, "bits", [("mean", 11 / 6)]))
    heights = [float(bar.attrib["height"]) for bar in chart.findall("rect")]
    assert len(heights) == 5
    unit = max(heights) / 3
    assert [round(height / unit) for height in heights] == [3, 1, 0, 0, 2]
    assert [line.attrib["class"] for line in chart.findall("line") if line.attrib["class"].startswith("c")] == ["c1"]
    assert svg(histogram("H", [2.0], "bits")).findall("rect")
    assert svg(histogram("H", [], "bits")).findall("rect")


def test_numbers_in_words() -> None:
    assert [number_words(value) for value in (0, 1.23456, 12345.6, 1e-5, 3e7, math.inf)] == [
        "0",
        "1.235",
        "12346",
        "1.000e-05",
        "3.000e+07",
        "inf",
    ]
