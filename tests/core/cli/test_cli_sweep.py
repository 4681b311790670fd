"""scoresde sweep: trains once where it can, measures every combination, and goes on where it was stopped."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Command = Callable[..., Result]
Refused = Callable[..., list[str]]

STEPS = ("--vary", "sampling.steps=2,4")
ENERGY = ("--measure", "energy_distance")


def table(folder: str) -> list[dict[str, Any]]:
    with Path(folder, "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_is_trained_once_and_resumed(done: Command, scoresde: Command, refused: Refused) -> None:
    sweep = ("sweep", "tiny.toml", *STEPS, "--vary", "sampling.predictor.use=euler_maruyama,ancestral", *ENERGY)
    result = done(*sweep)
    folder = Path("runs/tiny-sweep")
    names = {"sweep.json", "sweep.md", "sweep.csv", "sweep.png", "train", *(f"point-000{number}" for number in range(1, 5))}
    assert {path.name for path in folder.iterdir()} == names
    rows = table("runs/tiny-sweep")
    assert [(row["sampling.steps"], row["sampling.predictor.use"], row["evaluations"]) for row in rows] == [
        (steps, predictor, f"{float(steps)}") for steps in ("2", "4") for predictor in ("euler_maruyama", "ancestral")
    ]
    for row in rows:
        figures = json.loads((folder / row["folder"] / "results.json").read_text())["figures"]
        (found,) = [figure for figure in figures if figure["name"] == "energy_distance"]
        assert float(row["energy_distance"]) == found["value"]
        assert json.loads((folder / row["folder"] / "run.json").read_text())["weights_from"] == "../train"
    least = min(rows, key=lambda row: float(row["energy_distance"]))
    assert result.stdout.startswith(f"best: sampling.steps={least['sampling.steps']}, sampling.predictor.use=")
    assert refused(*sweep, "--quiet") == [
        "runs/tiny-sweep already holds this sweep: add --resume to go on with it, or choose another --out DIR"
    ]
    assert refused(*sweep[:-1], "mmd", "--quiet", "--resume") == ["runs/tiny-sweep holds another sweep: choose another --out DIR"]
    kept = (folder / "train" / "weights.safetensors").stat().st_mtime_ns
    for name in ("point-0003", "point-0004"):
        for path in (folder / name).iterdir():
            path.unlink()
        (folder / name).rmdir()
    assert "sweep: point 4/4 (100 %)" in scoresde(*sweep, "--resume").stderr
    assert (folder / "train" / "weights.safetensors").stat().st_mtime_ns == kept
    assert [row["energy_distance"] for row in table("runs/tiny-sweep")] == [row["energy_distance"] for row in rows]


def test_what_training_depends_on_is_trained_for_each(done: Command) -> None:
    done("sweep", "tiny.toml", "--vary", "experiment.seed=0,1", *STEPS, *ENERGY, "--out", "seeds")
    weights = [json.loads(Path("seeds", name, "weights.json").read_text())["digest"] for name in ("train-0001", "train-0002")]
    assert weights[0] != weights[1]
    origins = [json.loads(Path("seeds", f"point-000{number}", "run.json").read_text())["weights_from"] for number in range(1, 5)]
    assert origins == ["../train-0001", "../train-0001", "../train-0002", "../train-0002"]


def test_a_runs_own_weights_and_its_likelihood(done: Command) -> None:
    done("train", "tiny.toml")
    done("sweep", "runs/tiny", "--vary", "likelihood.rtol=1e-1,1e-2", "--measure", "log_density_nats", "--out", "tolerances")
    assert {path.name for path in Path("tolerances").iterdir()} == {
        "sweep.json",
        "sweep.md",
        "sweep.csv",
        "sweep.png",
        "point-0001",
        "point-0002",
    }
    assert not Path("tolerances/point-0001/samples.npz").exists()
    assert len({row["log_density_nats"] for row in table("tolerances")}) == 2


def test_what_is_wrong_is_one_line_and_nothing_is_written(refused: Refused, done: Command) -> None:
    assert refused("sweep", "tiny.toml", "--vary", "sampling.stps=1,2", *ENERGY)[0].startswith(
        "--set sampling.stps=1: sampling.stps = 1: unknown option"
    )
    assert refused("sweep", "tiny.toml", "--vary", "sampling.steps=2,0", *ENERGY) == [
        "--set sampling.steps=0: sampling.steps = 0: must be >= 1"
    ]
    assert refused("sweep", "tiny.toml", *STEPS, "--measure", "fid")[0].endswith(
        "metrics: fid compares features: name an extractor, such as inception_v3_compat or classifier"
    )
    assert refused("sweep", "mixture-2d", "--vary", "likelihood.rtol=1e-1", "--measure", "mmd", "--set", "sampling.count=1") == [
        "evaluation.metrics: distances need two samples and four items to compare with, or more: there are 1 samples and 10000 items"
    ]
    done("train", "tiny.toml")
    assert refused("sweep", "runs/tiny", *STEPS, *ENERGY, "--out", "runs/tiny") == [
        "runs/tiny holds something that is not a sweep: choose another --out DIR"
    ]


def test_every_point_is_checked_before_any_work(refused: Refused) -> None:
    """Blocks of three do not divide pictures of 8 x 8, which only the data say: the point between two others is refused."""
    blocks = ("--set", "conditioning.use=mmps", "--set", "conditioning.operator.use=block_average")
    (line,) = refused(
        "sweep", "small-digits.toml", "--vary", "conditioning.operator.factor=2,3,4", *blocks, "--measure", "mmps_misfit", "--quiet"
    )
    assert line.startswith("conditioning.operator.factor=3: ")
    assert refused("sweep", "mixture-2d", "--vary", "sampling.count=2,1,3", "--measure", "mmd") == [
        "sampling.count=1: evaluation.metrics: distances need two samples and four items to compare with, or more:"
        " there are 1 samples and 10000 items"
    ]


def test_a_list_without_values_is_refused(refused: Refused) -> None:
    assert refused("sweep", "tiny.toml", "--vary", "sampling.steps=,,", *ENERGY) == [
        "--vary sampling.steps=,,: the list ,, has no values: expected some between the commas, such as 50,100,200"
    ]


def test_each_point_has_its_own_precision(done: Command) -> None:
    done("sweep", "tiny.toml", "--vary", "training.precision=float32,bf16", *ENERGY, "--out", "precisions")
    weights = [json.loads(Path("precisions", name, "weights.json").read_text())["digest"] for name in ("train-0001", "train-0002")]
    assert weights[0] != weights[1]
    assert [row["training.precision"] for row in table("precisions")] == ["float32", "bf16"]


@pytest.mark.parametrize("measure", ["bits_per_dim"])
def test_a_table_that_is_missing(refused: Refused, measure: str) -> None:
    Path("bare.toml").write_text(Path("tiny.toml").read_text().replace("[likelihood]\ncount = 4\nrtol = 1e-2\natol = 1e-2\n", ""))
    assert refused("sweep", "bare.toml", *STEPS, "--measure", measure) == [
        f"--measure {measure}: needs the table [likelihood], which the experiment does not have"
    ]
