"""Sweeps: exact values of ranges, combinations, which figure is meant, and the table."""

from pathlib import Path
from typing import Any

import pytest

from scoresde.core.errors import UserError
from scoresde.core.sweep import Point, Variation, best, measured, metric_for, points, stages_for, variation, write_results


def figure(name: str, value: float, error: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "std_error": error, "protocol": {}}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=0.01:0.05:0.01", ("0.01", "0.02", "0.03", "0.04", "0.05")),
        ("a=1:10:4", ("1", "5", "9")),
        ("a=3:1:-1", ("3", "2", "1")),
        ("a=1e-2:2e-2:5e-3", ("0.01", "0.015", "0.02")),
        ("a=1e-5, 1e-3,x", ("1e-5", "1e-3", "x")),
        ("a=[1, 2],[3],{ use = 'x, y' }", ("[1, 2]", "[3]", "{ use = 'x, y' }")),
        ("a=scoresde:vp,scoresde:ve", ("scoresde:vp", "scoresde:ve")),
        ("a=7", ("7",)),
    ],
)
def test_values_of_an_option(text: str, values: tuple[str, ...]) -> None:
    assert variation(text).values == values


def test_the_papers_search_has_thirty_values() -> None:
    found = variation("sampling.corrector.snr=0.01:0.30:0.01")
    assert (found.key, len(found.values), found.values[0], found.values[-1]) == ("sampling.corrector.snr", 30, "0.01", "0.3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "--vary a: expected KEY=VALUES, such as sampling.corrector.snr=0.01:0.30:0.01 or sampling.steps=50,100,200"),
        ("a=1:2:-1", "--vary a=1:2:-1: the range 1:2:-1 leads nowhere: expected first:last:step"),
        ("a=1:2:0", "--vary a=1:2:0: the range 1:2:0 leads nowhere: expected first:last:step"),
        ("a=0:1:1e-9", "--vary a=0:1:1e-9: the range 0:1:1e-9 has 1000000001 values, more than 10000"),
        ("a=1,2,1", "--vary a=1,2,1: a value is there twice"),
    ],
)
def test_what_is_no_variation_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        variation(text)
    assert str(error.value) == message


def test_all_combinations_and_what_they_share_in_training() -> None:
    varied = [Variation("training.steps", ("5", "6")), Variation("sampling.steps", ("1", "2"))]
    found = points(varied)
    assert [point.overrides for point in found] == [
        [f"training.steps={a}", f"sampling.steps={b}"] for a, b in (("5", "1"), ("5", "2"), ("6", "1"), ("6", "2"))
    ]
    assert [point.training(varied) for point in found] == [("training.steps=5",)] * 2 + [("training.steps=6",)] * 2
    trains = {
        key: Variation(key, ("1",)).trains
        for key in ("sampling.x", "likelihood.rtol", "evaluation.x", "conditioning.x", "sde.x", "experiment.seed")
    }
    assert list(trains.values()) == [False] * 4 + [True] * 2
    with pytest.raises(UserError, match=r"^--vary a: is there twice$"):
        points([Variation("a", ("1",)), Variation("a", ("2",))])


def test_which_figure_is_meant() -> None:
    figures = [
        figure(name, 1.0)
        for name in ("FID_classifier@64", "precision_classifier@64", "mmd", "class_balance_samples", "class_balance_heldout")
    ]
    for asked, meant in (
        ("fid", "FID_classifier@64"),
        ("FID_classifier", "FID_classifier@64"),
        ("precision", "precision_classifier@64"),
        ("mmd", "mmd"),
    ):
        assert measured(figures, asked)["name"] == meant
    with pytest.raises(UserError, match=r"^--measure class_balance: may be class_balance_samples or class_balance_heldout: say which$"):
        measured(figures, "class_balance")
    with pytest.raises(
        UserError, match=r"^--measure kid: there is no such figure; there are FID_classifier@64, precision_classifier@64, mmd, "
    ):
        measured(figures, "kid")


def test_what_a_figure_needs() -> None:
    assert [metric_for(name) for name in ("fid", "FID", "recall", "mmd", "bits_per_dim")] == ["fid", "fid", "precision_recall", "mmd", None]
    assert stages_for("energy_distance") == ("sample", "evaluate")
    assert stages_for("bits_per_dim") == ("likelihood",)
    assert stages_for("inpainting_psnr_db") is None


def test_the_best_point_where_it_is_known() -> None:
    def done(name: str) -> list[Point]:
        return [Point(number, {"a": "1"}, figure(name, value)) for number, value in enumerate((2.0, 1.0, 3.0), 1)]

    found = [best(done(name)) for name in ("FID@5", "recall@5", "log_density_nats", "something")]
    assert [None if point is None else point.number for point in found] == [2, 3, 3, None]


def test_the_table_is_markdown_and_csv(tmp_path: Path) -> None:
    varied = [Variation("sampling.steps", ("10", "100")), Variation("sampling.predictor.use", ("a", "b|c"))]
    done = [
        point._replace(figure=figure("FID@5", 1.0 / point.number, 0.5 if point.number == 1 else None), evaluations=20.0, seconds=1.5)
        for point in points(varied)[:3]
    ]
    write_results(tmp_path, varied, done)
    assert (tmp_path / "sweep.csv").read_text() == (
        "sampling.steps,sampling.predictor.use,FID@5,std_error,evaluations,seconds,folder\n"
        "10,a,1.0,0.5,20.0,1.5,point-0001\n10,b|c,0.5,,20.0,1.5,point-0002\n100,a,0.3333333333333333,,20.0,1.5,point-0003\n"
    )
    assert (tmp_path / "sweep.md").read_text() == (
        "| sampling.steps | sampling.predictor.use | FID@5 | std_error | evaluations | seconds | folder |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 10 | a | 1 | 0.5 | 20 | 1.5 | point-0001 |\n"
        "| 10 | b\\|c | 0.5 |  | 20 | 1.5 | point-0002 |\n"
        "| **100** | **a** | **0.33333** |  | **20** | **1.5** | **point-0003** |\n"
    )
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"
