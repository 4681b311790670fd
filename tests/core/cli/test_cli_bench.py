"""The command that puts a method beside the others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from scoresde.core import bench

Command = Callable[..., Result]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few samples and two budgets: what is printed does not depend on them."""
    monkeypatch.setattr(bench, "DIMENSIONS", {2: (3, 16)})
    monkeypatch.setattr(bench, "BUDGETS", (4, 9))
    monkeypatch.setattr(bench, "_STEPS", 40)


def test_a_predictor_is_measured_and_written(scoresde: Command, small: None) -> None:
    result = scoresde("bench", "heun", "--grid", "karras", "--set", "grid.rho=5", "--set", "churn=0", "--sde", "vp", "--dimension", "2")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "root-mean-square error per coordinate of the flow's end point"
    label = "heun, karras, grid.rho=5, churn=0"
    assert (lines[2], lines[3].startswith(f"  {label}  "), len(lines[3])) == ("2-D vp", True, len(lines[1]))
    assert lines[-1] == "bench-heun-karras-grid.rho=5-churn=0: bench.md, bench.svg"
    assert (Path("bench-heun-karras-grid.rho=5-churn=0") / "bench.svg").is_file()


def test_a_local_predictor_with_its_file(scoresde: Command, small: None) -> None:
    result = scoresde("bench", "drift", "--plugin", "my_sampler.py", "--sde", "vp", "--out", "there")
    assert result.exit_code == 0, result.stderr
    assert "# drift\n" in (Path("there") / "bench.md").read_text()


def test_a_sampler_and_a_method_with_noise(scoresde: Command, small: None) -> None:
    result = scoresde("bench", "predictor_corrector", "--set", "predictor.use=reverse_diffusion", "--sde", "ve", "--dimension", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "sliced Wasserstein distance to exact draws"


@pytest.mark.parametrize("arguments", [(), ("--set", "rtol=0.05")])
def test_a_sampler_that_decides_itself_how_often_it_evaluates(scoresde: Command, small: None, arguments: tuple[str, ...]) -> None:
    result = scoresde("bench", "adaptive", *arguments, "--sde", "ve", "--dimension", "2", "--out", "there")
    assert (result.exit_code, result.stderr) == (0, "2-D ve ...\n")
    lines = result.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("sliced Wasserstein distance to exact draws", "there: bench.md, bench.svg")
    assert (Path("there") / "bench.md").read_text().startswith(", ".join(["# adaptive", *arguments[1:]]) + "\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("hen",), 'unknown predictor "hen". Did you mean heun? Registered: '),
        (("heun", "--grid", "karas"), 'unknown grid "karas". Did you mean karras? Registered: '),
        (("heun", "--set", "churns=3"), '--set churns=3: predictor.churns = 3: unknown option of predictor "heun" (scoresde). '),
        (("heun", "--set", "grid.rho=3"), "--set grid.rho=3: sets an option of a grid: name it by --grid"),
        (
            ("heun", "--grid", "edm", "--sde", "sub_vp"),
            "heun on 2-D sub_vp: grid 'edm' ends at t = 0.0100167, and the exact answers stand at 0.001: take one that",
        ),
        (("heun", "--sde", "vpp"), "--sde vpp: there are ve, vp, sub_vp"),
        (("heun", "--dimension", "3"), "--dimension 3: there are 2"),
        (
            ("reverse_diffusion", "--set", "ladder=true", "--sde", "vp"),
            "reverse_diffusion on 2-D vp: ladder = true takes steps of 1/1000: it needs steps = 1000, got 9",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_line(scoresde: Command, small: None, arguments: tuple[str, ...], error: str) -> None:
    result = scoresde("bench", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(error)
    assert len(result.stderr.splitlines()) == 1
