"""The page about runs: one file, whole, with everything of a run in it, and nothing of a run taken for HTML."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image

from scoresde.core.errors import UserError
from scoresde.core.report import Recorded, report_page
from scoresde.core.report.reading import labelled
from scoresde.core.report.sections import described

VOID = {"meta", "img", "br", "polyline", "rect", "line", "link"}


class Page(HTMLParser):
    """The tags of a page, all of them closed in their order; its headings, and the texts of its table cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.cells: list[str] = []
        self.alts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        given = dict(attributes)
        if tag == "img":
            assert given["src"].startswith("data:image/png;base64,")
            self.alts.append(given["alt"])
        if tag == "a":
            assert given["href"].startswith("#")
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and re.fullmatch(r"h\d", self.open[-1]):
            self.headings.append((int(self.open[-1][1]), data))
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data


def figure(name: str, value: float, error: float | None = None, **protocol: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "std_error": error, "protocol": protocol}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """A folder as a run leaves it; its experiment and its figures may be given."""

    def make(name: str, steps: int = 20, figures: Any = (), **experiment: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        tables = {
            "experiment": {"name": name, "seed": 3},
            "data": {"use": "scoresde:digits"},
            "sde": {"use": "scoresde:vp"},
            "model": {"use": "scoresde:ddpmpp"},
            "sampling": {"steps": steps, "predictor": {"use": "scoresde:ddim"}, "corrector": {"use": "scoresde:none"}},
            "conditioning": {"use": "scoresde:inpainting"},
        }
        (folder / "experiment.toml").write_text(tomli_w.dumps({**tables, **experiment}), "utf-8")
        facts = {"seed": 3, "versions": {"torch": "2.9"}, "weights_from": None, "stages": {"train": {"seconds": 61.0, "finished": "then"}}}
        (folder / "run.json").write_text(json.dumps(facts))
        known = [figure("evaluations_per_sample", steps, n=64), *figures]
        (folder / "results.json").write_text(json.dumps({"figures": known}))
        records = [{"step": n, "loss": 1 / n, "learning_rate": 0.1, **({"validation": 0.2} if n % 50 == 0 else {})} for n in range(1, 101)]
        (folder / "training.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        for picture in ("samples", "inpainting"):
            Image.new("L", (4, 4)).save(folder / f"{picture}.png")
        states = np.linspace(-9, 9, 3 * 2 * 16, dtype=np.float32).reshape(3, 2, 1, 4, 4)
        np.savez(folder / "filmstrip.npz", states=states, times=np.array([1.0, 0.5, 0.001]), range=np.array([-1.0, 1.0]))
        np.savez(folder / "likelihood.npz", bits_per_dim=np.array([1.0, 2.0, 3.0]), log_density=np.zeros(3))
        return folder

    return make


def test_a_page_about_one_run_has_all_of_it(run: Callable[..., Path]) -> None:
    path = run(
        "first", figures=[figure("FID_classifier@64", 1.5, None, n=64), figure("bits_per_dim", 2.0, 0.5, n=3, interval_95=[1.0, 3.0])]
    )
    (path / "evaluate-001").mkdir()
    added = [figure("mmd", 0.25, 0.01, n=30, floor=0.2, floor_std=0.05)]
    (path / "evaluate-001" / "results.json").write_text(json.dumps({"figures": added}))
    html = report_page([Recorded(path)])
    page = Page(html)
    assert page.headings[0] == (1, "first")
    assert [title for level, title in page.headings if level == 2] == [
        *("Samples", "From noise to data", "Given observations", "Likelihood", "Figures", "Training", "What was run"),
    ]
    row = page.cells.index("squared MMD" + "mmd")
    assert page.cells[row : row + 4] == ["squared MMDmmd", "0.25 ± 0.01", "floor 0.2 ± 0.05", "30"]
    assert "1 to 3" in page.cells[page.cells.index("bits per dimensionbits_per_dim") + 2]
    assert "ddpmpp on digits, vp SDE, sampled by ddim" in html
    assert "use = &quot;scoresde:vp&quot;" in html
    assert len(page.alts) == 3
    assert all(page.alts)
    assert html.count("<svg ") == 3


def test_the_page_needs_nothing_beside_it(run: Callable[..., Path]) -> None:
    html = report_page(labelled([run("first"), run("second", 40)]))
    assert re.findall(r'(?:src|href)="(?!#|data:)', html) == []
    assert not re.search(r"https?://|@import|url\(|<script|<link", html)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "prefers-color-scheme: dark" in html
    assert '<html lang="en">' in html


def test_several_runs_are_compared(run: Callable[..., Path]) -> None:
    found = [figure("FID@64", 3.0, n=64), figure("recall@64", 0.5, n=64), figure("strange", 1.0)]
    other = [figure("FID@64", 2.0, n=64), figure("recall@64", 0.25, n=64)]
    html = report_page(labelled([run("first", 20, found), run("second", 40, other)]))
    page = Page(html)
    titles = [title for level, title in page.headings if level == 2]
    assert titles[:5] == ["Side by side", "Figures against evaluations", "Samples", "In what they differ", "Training"]
    row = page.cells.index("Fréchet distance, of 64")
    assert page.cells[row : row + 3] == ["Fréchet distance, of 64", "3", "2"]
    assert re.findall(r'<td class="number best">(.+?)</td>', html) == ["2", "0.5"]
    row = page.cells.index("sampling.steps")
    assert page.cells[row : row + 3] == ["sampling.steps", "20", "40"]
    assert page.cells[page.cells.index("strange") + 1 :][:2] == ["1", "–"]
    assert html.count('aria-label="Fréchet distance, of 64"') == 1
    assert "<h4>" not in html.split("run-second")[0]


def test_nothing_of_a_run_is_taken_for_html(run: Callable[..., Path]) -> None:
    name = "<script>alert(1)</script>"
    path = run("odd", figures=[figure("<b>", 1.0, note="</code><script>")], experiment={"name": name, "seed": 0})
    for runs in ([path], [path, run("plain")]):
        html = report_page(labelled(runs))
        Page(html)
        assert "<script" not in html


def test_a_run_with_next_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "experiment.toml").write_text('[experiment]\nname = "bare"\n')
    (tmp_path / "run.json").write_text(json.dumps({"weights_from": None}))
    page = Page(report_page([Recorded(tmp_path)]))
    assert [title for level, title in page.headings if level == 2] == ["What was run"]


def test_points_have_a_film_too(run: Callable[..., Path]) -> None:
    path = run("points")
    np.savez(path / "filmstrip.npz", states=np.random.RandomState(0).randn(9, 8, 2), times=np.linspace(1, 0, 9))
    assert "From noise to data" in report_page([Recorded(path)])


def test_runs_of_one_name_are_told_apart(run: Callable[..., Path], tmp_path: Path) -> None:
    run("first").rename(tmp_path / "first-a")
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
    (tmp_path / "first-a").rename(tmp_path / "a" / "run")
    run("second").rename(tmp_path / "b" / "run")
    labels = [one.label for one in labelled([tmp_path / "a" / "run", tmp_path / "b" / "run"])]
    assert labels == [(tmp_path / parent / "run").as_posix() for parent in ("a", "b")]


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        Recorded(tmp_path / "lost")
    assert str(error.value) == f"{tmp_path / 'lost'}: no run's folder (it holds no experiment.toml and run.json)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("FID", "Fréchet distance"),
        ("FID@128", "Fréchet distance, of 128"),
        ("KID_classifier@128", "kernel distance, by classifier, of 128"),
        ("FID_classifier@128_best", "Fréchet distance, by classifier, of 128, best snapshot"),
        ("energy_distance_mean", "energy distance, mean snapshot"),
        ("classifier_accuracy_heldout", "classifier accuracy heldout"),
    ],
)
def test_names_in_words(name: str, words: str) -> None:
    assert described(name) == words
