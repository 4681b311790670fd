"""scoresde report: a page of real runs, at a free place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import Result

Command = Callable[..., Result]
Refused = Callable[..., list[str]]


def test_a_report_of_a_run_and_of_two(scoresde: Command, done: Command, refused: Refused) -> None:
    done("run", "tiny.toml")
    done("sample", "runs/tiny", "--set", "sampling.steps=8")
    with np.load("runs/tiny/filmstrip.npz") as film:
        assert (film["states"].shape, film["times"][0]) == ((5, 5, 3), 1.0)
    result = scoresde("report", "runs/tiny")
    assert (result.exit_code, result.stdout) == (0, "runs/tiny/report.html: open it in any browser\n")
    text = Path("runs/tiny/report.html").read_text("utf-8")
    assert all(
        f"<h2>{title}</h2>" in text for title in ("Samples", "From noise to data", "Likelihood", "Figures", "Training", "What was run")
    )
    assert scoresde("report", "runs/tiny").stdout == "runs/tiny/report-002.html: open it in any browser\n"
    result = scoresde("report", "runs/tiny", "runs/tiny/sample-001", "--out", "both.html")
    assert (result.exit_code, "<h1>2 runs compared</h1>" in Path("both.html").read_text("utf-8")) == (0, True)
    assert refused("report", "runs/tiny", "--out", "both.html") == ["both.html: there is such a file already: choose another --out FILE"]
    assert refused("report", "lost") == ["lost: no run's folder (it holds no experiment.toml and run.json)"]
