"""What is measured of samplers: the exact ends, the distances of a run, and the tables and the file of many runs."""

import math
from pathlib import Path

import pytest
import torch

from scoresde.core import Reverse, flow
from scoresde.core.bench import BUDGETS, Figures, carried, floor, is_noisy, measure, of_sampler, problem
from scoresde.core.bench_table import (
    FIGURES,
    PROBLEMS,
    Known,
    Row,
    behind,
    best,
    comparison,
    load,
    noisy,
    plot,
    save,
    summary,
    table,
    write,
)
from scoresde.core.testing import BatchNoise, mixture_problem, mixture_score
from scoresde.plugins import DDIM, ODE, VE, VP, Adaptive, Auto, Heun, LogSNR, PredictorCorrector, ReverseDiffusion, SubVP

LAW = mixture_problem(2, 3, "full", seed=4)


def row(method, budget, error, library="scoresde", evaluations=None, problem="2-D vp"):
    return Row(library, method, problem, budget, Figures(evaluations or budget, error, 0.5, 0.25, 0.125))


ROWS = [
    row("auto", 5, 0.1),
    row("auto", 10, 0.01),
    row("heun", 5, math.nan, evaluations=4),
    row("heun", 10, 0.3),
    row("lms, log", 5, 0.2, "k-diffusion"),
    row("lms, log", 10, 0.15, "k-diffusion"),
    row("euler, log", 10, 0.00012, "k-diffusion"),
    row("noisy", 10, None),
    row("auto tau = 1", 10, None),
]


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_the_reference_is_the_flow(sde):
    reverse = Reverse(sde, mixture_score(sde, LAW))
    x = sde.prior_sample((6, 2), BatchNoise(), dtype=torch.float64)
    exact = flow(reverse, x, sde.t_max, sde.sampling_end, rtol=1e-9, atol=1e-10, max_evaluations=10**6)[0]
    torch.testing.assert_close(carried(reverse, x), exact, rtol=0, atol=1e-6)


def test_figures_of_exact_ends_and_of_ends_that_are_off():
    one = problem("2-D vp", VP(), LAW, 64)
    found = measure(one, lambda score, x: one.ends, noisy=False)
    assert (found.evaluations, found.error) == (0, 0.0)
    moved = measure(one, lambda score, x: one.ends + torch.tensor([3.0, 4.0]), noisy=False)
    assert moved.error == pytest.approx((25 / 2) ** 0.5)
    assert moved.sliced_w2 > 3 > found.sliced_w2
    assert measure(one, lambda score, x: one.ends, noisy=True).error is None
    assert floor(one)[:2] == (0, None)
    assert floor(one).sliced_w2 < moved.sliced_w2 / 5


def test_the_starts_are_the_priors_and_a_method_cannot_change_them():
    one = problem("2-D ve", VE(), LAW, 64)
    before = one.starts.clone()
    measure(one, lambda score, x: x.zero_(), noisy=False)
    assert torch.equal(one.starts, before)
    assert float(before.std()) == pytest.approx(VE().prior_std, rel=0.25)


def test_the_modes_shares_are_those_of_the_samples():
    one = problem("2-D vp", VP(), LAW, 100)
    centres = float(VP().alpha(1e-3)) * LAW.means[0].expand(100, 2)
    share = LAW.marginal(float(VP().alpha(1e-3)), float(VP().sigma(1e-3))).responsibilities(centres)[0]
    off = 0.5 * float((share - LAW.weights).abs().sum())
    assert measure(one, lambda score, x: centres, noisy=True).weights == pytest.approx(off)


def test_samples_that_are_not_finite_have_no_figures():
    one = problem("2-D vp", VP(), LAW, 8)
    found = measure(one, lambda score, x: x / 0.0, noisy=False)
    assert all(math.isnan(value) for value in found[1:])


def test_a_sampler_spends_its_budget_and_no_more():
    one = problem("2-D vp", VP(), LAW, 8)
    for budget, made in ((5, 4), (10, 10)):
        _, method = of_sampler(PredictorCorrector(predictor=Heun()), LogSNR(), one.sde, budget)
        assert measure(one, method, noisy=False).evaluations == made
    run, method = of_sampler(PredictorCorrector(predictor=Auto()), None, one.sde, 20)
    found = measure(one, method, noisy=False)
    assert (run.grid.name, found.evaluations) == ("balanced", 20)
    assert found.error < 0.02


def test_what_draws_noise_is_found():
    def noisy(predictor):
        return is_noisy(PredictorCorrector(predictor=predictor), LogSNR(), VP())

    assert [noisy(one) for one in (DDIM(), DDIM(eta=0.5), Heun(), ReverseDiffusion(), ODE())] == [False, True, False, True, False]


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP()], ids=lambda sde: sde.name)
def test_the_adaptive_sampler_draws_noise_and_is_measured(sde):
    assert is_noisy(Adaptive(rtol=0.05), LogSNR(), sde)
    run, method = of_sampler(Adaptive(rtol=0.05), LogSNR(), sde, None)
    found = measure(problem(f"2-D {sde.name}", sde, LAW, 16), method, noisy=True)
    assert (run.evaluations, found.error) == (None, None)
    assert 50 < found.evaluations < 2000
    assert found.weights < 0.3


def test_the_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "figures.json"
    rows = [row("a", 10, 0.123456), row("b", 5, math.nan, evaluations=4), row("c", None, None, evaluations=37)]
    save(Known({"scoresde": "0.1.0"}, rows), path)
    versions, found = load(path)
    assert versions == {"scoresde": "0.1.0"}
    assert found[0] == row("a", 10, 0.1235)
    assert (found[1].figures.evaluations, math.isnan(found[1].figures.error)) == (4, True)
    assert found[2] == rows[2]
    assert load(tmp_path / "nothing.json") == Known({}, [])


def test_the_best_of_a_cell_is_finite_and_has_the_figure():
    assert best(ROWS, "2-D vp", 10).method == "euler, log"
    assert best(ROWS, "2-D vp", 5).method == "auto"
    assert best(ROWS, "2-D ve", 5) is None
    assert best([ROWS[2], ROWS[7]], "2-D vp", 5) is None


def test_tables():
    assert table(ROWS, "2-D vp").splitlines() == [
        "| method | 5 | 10 | 20 | 50 | 100 | 200 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `auto` | 0.1 | 0.01 |  |  |  |  |",
        "| `heun` | fails (4) | 0.3 |  |  |  |  |",
        "| k-diffusion lms, log | 0.2 | 0.15 |  |  |  |  |",
        "| k-diffusion euler, log |  | 1.2e-04 |  |  |  |  |",
    ]
    lines = summary(ROWS).splitlines()
    assert lines[0] == "| problem | evaluations | `auto` | k-diffusion |"
    assert "| 2-D vp | 5 | **0.1** | 0.2 (lms, log) |" in lines
    assert "| 2-D vp | 10 | **0.01** | 1.2e-04 (euler, log) |" in lines


def test_where_another_library_is_ahead():
    assert behind(ROWS) == [ROWS[6]]
    assert behind(ROWS, "sliced_w2") == []  # no further than auto
    assert behind(ROWS[4:6]) == ROWS[4:6]  # where auto has no figure


def test_methods_with_noise_stand_beside_exact_draws():
    floor_row = Row("scoresde", "exact draws", "2-D vp", None, Figures(0, None, 0.11, 0.0, 0.0))
    found = noisy([*ROWS, row("sde, log", 20, None, "k-diffusion"), floor_row]).splitlines()
    assert found[0] == "| problem | evaluations | `auto tau = 1` | k-diffusion | exact draws |"
    assert found[2 + 6 + 1] == "| 2-D vp | 10 | 0.5 |  | 0.11 |"
    assert found[2 + 6 + 2] == "| 2-D vp | 20 |  | 0.5 (sde, log) | 0.11 |"


def test_figures_come_with_the_package():
    """Of auto, of all libraries, and of exact draws, in every cell."""
    versions, rows = load(FIGURES)
    assert set(versions) == {"scoresde", "k-diffusion", "diffusers", "azula"} == {each.library for each in rows}
    for cell in PROBLEMS:
        assert {each.budget for each in rows if (each.problem, each.method) == (cell, "auto")} == set(BUDGETS)
        assert [each.budget for each in rows if (each.problem, each.method) == (cell, "exact draws")] == [None]


def test_a_method_is_compared_with_auto_and_with_the_best_other():
    lines = comparison([row("mine", 5, 0.12), row("mine", 10, 0.05)], ROWS, "error").splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["5", "10", "20", "50", "100", "200"],
        ["2-D", "vp"],
        ["mine", "0.12", "0.05", "-", "-", "-", "-"],
        ["auto", "0.1", "0.01", "-", "-", "-", "-"],
        ["other", "libraries'", "best", "0.2", "1.2e-04", "-", "-", "-", "-"],
    ]


def test_beside_a_method_with_noise_stand_others_with_noise():
    rows = [*ROWS, row("sde, log", 10, None, "k-diffusion")]
    lines = comparison([row("mine", 5, None), row("mine", 10, None)], rows, "sliced_w2").splitlines()
    assert [line.split() for line in lines[3:]] == [
        ["mine", "0.5", "0.5", "-", "-", "-", "-"],
        ["auto", "tau", "=", "1", "-", "0.5", "-", "-", "-", "-"],
        ["other", "libraries'", "best", "-", "0.5", "-", "-", "-", "-"],
    ]


def test_auto_measured_anew_stands_there_once():
    lines = comparison([row("auto", 5, 0.12)], ROWS, "error").splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["auto", "other"]
    assert lines[3].split()[1] == "0.12"


def test_a_method_that_decides_itself_says_its_count():
    text = comparison([row("mine", None, 0.12, evaluations=37)], ROWS, "error")
    assert "37 evaluations of its own choice: 0.12" in text


def test_what_is_written(tmp_path: Path):
    text = write(tmp_path / "out", [row("mine", 5, 0.12, evaluations=4)], ROWS, "error")
    written = (tmp_path / "out" / "bench.md").read_text()
    assert text in written
    assert "| 2-D vp | 0.12 (4) |  |  |  |  |  |" in written
    assert (tmp_path / "out" / "bench.svg").read_text().startswith("<?xml")


def test_the_same_figures_give_the_same_plot(tmp_path: Path):
    for name in ("one.svg", "two.svg"):
        plot(tmp_path / name, ROWS)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
