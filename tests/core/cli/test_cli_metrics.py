"""[evaluation] metrics: what a run measures of its samples, and what is refused before any are drawn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Command = Callable[..., Result]

CLASSIFIER = ("--set", "evaluation.extractor.use=classifier", "--set", "evaluation.extractor.steps=5")
FOUR = ("--set", 'evaluation.metrics=["fid","kid","inception_score","precision_recall"]')


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESDE_CACHE", str(tmp_path / "cache"))


def figures(folder: str) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in json.loads(Path(folder, "results.json").read_text())["figures"]}


def test_a_run_measures_its_samples_by_features(done: Command) -> None:
    result = done("run", "small-digits.toml", *CLASSIFIER, *FOUR)
    found = figures("runs/small-digits")
    names = [f"{name}_classifier@5" for name in ("FID", "KID", "inception_score", "precision", "recall")]
    assert [name for name in found if name in names] == names
    protocol = found["FID_classifier@5"]["protocol"]
    drawn = found["evaluations_per_sample"]["protocol"]
    assert {name: protocol["samples"][name] for name in ("seed", "evaluations", "denoise", "weights")} == {
        name: drawn[name] for name in ("seed", "evaluations", "denoise", "weights")
    }
    assert (protocol["samples"]["n"], protocol["reference"]["n"]) == (5, 1500)
    assert protocol["reference"]["source"] == "data 'digits', train split"
    assert protocol["channels"] == 1
    assert "FID_classifier@5 = " in result.stdout


def test_points_are_measured_beside_their_floor(done: Command) -> None:
    result = done("run", "tiny.toml", "--set", 'evaluation.metrics=["energy_distance","mmd","sliced_wasserstein"]')
    found = figures("runs/tiny")
    with np.load("runs/tiny/samples.npz") as stored:
        assert found["mmd"]["protocol"]["samples"]["n"] == len(stored["x"]) == 5
    assert found["energy_distance"]["protocol"]["reference"]["source"] == "data 'gaussian_mixture', test split"
    floor = found["energy_distance"]["protocol"]["floor"]
    assert f"(floor {floor:.4g} ± " in result.stdout


def test_what_cannot_be_measured_is_refused_before_anything_is_done(refused: Callable[..., list[str]]) -> None:
    fid, points = ("--set", 'evaluation.metrics=["fid"]'), ("--set", 'evaluation.metrics=["mmd"]')
    assert refused("run", "small-digits.toml", *fid)[0].endswith(
        "metrics: fid compares features: name an extractor, such as inception_v3_compat or classifier"
    )
    lost = ("--set", "evaluation.extractor.use=inception_v3_compat", "--set", "evaluation.extractor.weights=lost.pth")
    assert refused("run", "small-digits.toml", *fid, *lost) == [
        f"extractor 'inception_v3_compat': there is no file {Path('lost.pth').absolute()} with its weights"
    ]
    assert refused("run", "tiny.toml", *fid, *CLASSIFIER) == [
        "extractor 'classifier': compares pictures (1 or 3 channels, H, W); the data have the shape (3,)"
    ]
    assert refused("run", "tiny.toml", *points, "--set", "sampling.count=1") == [
        "evaluation.metrics: distances need two samples and four items to compare with, or more: there are 1 samples and 40 items"
    ]
    assert refused("run", "tiny.toml", "--set", 'evaluation.metrics=["fud"]')[0].endswith("Did you mean fid?")
