"""scoresde evaluate: runs, pictures and arrays against data, several together, and every snapshot of a training run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from scoresde.plugins.dataset.digits import Digits

Command = Callable[..., Result]
Refused = Callable[..., list[str]]

CLASSIFIER = ("--extractor", "classifier", "--option", "steps=5")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the working directory, which a refused command must leave as it is."""
    monkeypatch.setenv("SCORESDE_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{tmp_path.name}"))


def results(folder: str) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in json.loads(Path(folder, "results.json").read_text())["figures"]}


def digits(count: int) -> np.ndarray:
    return Digits().open("train").batch(range(count))["x"].numpy()


def test_runs_of_points_alone_and_together(done: Command) -> None:
    for seed in (0, 1):
        done("run", "tiny.toml", "--set", f"experiment.seed={seed}", "--out", f"seed-{seed}")
    done("evaluate", "seed-0")
    alone = results("seed-0/evaluate-001")
    assert list(alone) == ["sliced_wasserstein", "energy_distance", "mmd"]
    assert alone["mmd"]["protocol"]["reference"]["source"] == "data 'gaussian_mixture', test split"
    assert alone["mmd"]["protocol"]["samples"]["seed"] == 0
    assert alone["mmd"]["protocol"]["samples"]["weights"]["weights"] == "ema"
    done("evaluate", "seed-1", "--metric", "mmd")
    result = done("evaluate", "seed-0", "seed-1", "--metric", "mmd")
    both = results("runs/evaluate-001")["mmd"]
    values = [each["value"] for each in both["protocol"]["each"]]
    assert values == [results(f"seed-{seed}/evaluate-001")["mmd"]["value"] for seed in (0, 1)] or values[0] == alone["mmd"]["value"]
    assert both["value"] == pytest.approx(sum(values) / 2)
    assert f"(mean of 2, spread {both['protocol']['spread']:.2g})" in result.stdout


def test_what_is_compared_with_is_said_of_each_metric(scoresde: Command) -> None:
    np.savez("digits.npz", x=digits(12))
    asked = [part for name in ("fid", "energy_distance", "kid") for part in ("--metric", name)]
    result = scoresde("evaluate", "digits.npz", "--against", "digits", *CLASSIFIER, *asked)
    assert [line for line in result.stderr.splitlines() if line.startswith("against ")] == [
        "against data 'digits', train split: fid, kid",
        "against data 'digits', test split: energy_distance",
    ]
    found = json.loads(Path("runs/evaluate-001/results.json").read_text())
    sources = {figure["name"].split("@")[0]: figure["protocol"]["reference"]["source"] for figure in found["figures"]}
    assert sources["energy_distance"] == "data 'digits', test split"
    assert "reference" not in found["evaluated"]


def test_pictures_and_arrays_against_a_shipped_data_set(done: Command) -> None:
    x = digits(12)
    np.savez("digits.npz", x=x)
    Path("pictures").mkdir()
    for number, picture in enumerate(np.rint(x.astype(float) * 255 / 16).astype(np.uint8)):
        Image.fromarray(picture[0]).save(f"pictures/{number:02d}.png")
    metrics = ("--metric", "fid", "--metric", "kid")
    done("evaluate", "digits.npz", "--against", "digits", *CLASSIFIER, *metrics)
    done("evaluate", "pictures", "--against", "digits", *CLASSIFIER, *metrics)
    one, other = results("runs/evaluate-001"), results("runs/evaluate-002")
    assert list(one) == ["FID_classifier@12", "KID_classifier@12"]
    for name, figure in one.items():
        assert figure["value"] == pytest.approx(other[name]["value"], rel=1e-6)
    protocol = one["FID_classifier@12"]["protocol"]
    assert protocol["samples"] == {"source": "digits.npz", "n": 12, "digest": protocol["samples"]["digest"]}
    assert protocol["extractor"].startswith("Classifier(features=64, steps=5,")
    done("evaluate", "digits.npz", "--against", "digits", *CLASSIFIER, "--metric", "fid", "--reference", "test", "--count", "10")
    assert results("runs/evaluate-003")["FID_classifier@10"]["protocol"]["reference"]["n"] == 297


def test_samples_against_a_folder_and_a_file(done: Command) -> None:
    np.save("a.npy", np.zeros((6, 2)))
    np.save("b.npy", np.ones((6, 2)))
    done("evaluate", "a.npy", "--against", "b.npy", "--metric", "sliced_wasserstein")
    assert results("runs/evaluate-001")["sliced_wasserstein"]["value"] == pytest.approx(1.0, rel=0.1)


def test_every_snapshot_of_a_run(done: Command, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    done("train", "tiny.toml", "--set", "training.snapshot_every=2")
    snapshots = ("evaluate", "runs/tiny", "--all-snapshots", "--metric", "energy_distance", "--count", "6")
    done(*snapshots)
    found = results("runs/tiny/evaluate-001")
    assert list(found) == [f"energy_distance_{which}" for which in ("best", "last", "mean")]
    each = found["energy_distance_mean"]["protocol"]["each"]
    assert [one["step"] for one in each] == [2, 4, 6]
    values = [one["value"] for one in each]
    assert len(set(values)) == 3
    assert found["energy_distance_best"]["value"] == min(values)
    assert found["energy_distance_last"]["value"] == values[-1]
    assert found["energy_distance_last"]["protocol"]["samples"]["weights"]["step"] == 6
    assert found["energy_distance_last"]["protocol"]["samples"]["n"] == 6
    Path("runs/tiny/evaluate-001/results.json").unlink()
    before = Path("runs/tiny/evaluate-001/step-00000002/samples.npz").stat().st_mtime_ns
    done(*snapshots, "--resume")
    assert results("runs/tiny/evaluate-001") == found
    assert Path("runs/tiny/evaluate-001/step-00000002/samples.npz").stat().st_mtime_ns == before
    assert refused(*snapshots, "--resume") == ["--resume: there is no unfinished evaluation in runs/tiny"]


def test_what_is_wrong_is_one_line_and_nothing_is_written(done: Command, refused: Refused) -> None:
    done("train", "tiny.toml")
    np.save("few.npy", np.zeros((3, 3)))
    np.save("flat.npy", np.zeros((9, 2)))
    Path("full").mkdir()
    Path("full/file").touch()
    assert refused("evaluate", "few.npy") == ["--against: missing: say which data the samples are compared with, such as --against digits"]
    assert refused("evaluate", "runs/tiny") == ["runs/tiny holds no samples yet: scoresde sample runs/tiny draws some"]
    for against in ((), ("--against", "tiny.toml")):
        assert refused("evaluate", "few.npy", "lost", *against) == [
            "lost: there is no such file or folder; expected a run, a folder of pictures, a .npz or a .npy file"
        ]
    assert refused("evaluate", "tiny.toml", "--against", "tiny.toml") == ["tiny.toml: expected a folder of pictures, a .npz or a .npy file"]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--reference", "train") == [
        "--reference: is of features, and sliced_wasserstein compares with held-out items: leave it out"
    ]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--count", "4", "--quiet") == ["few.npy: holds 3, fewer than 4"]
    assert refused("evaluate", "flat.npy", "--against", "tiny.toml", "--quiet") == [
        "flat.npy holds items of shape (2,); the data that they are compared with have (3,)"
    ]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--metric", "fid", *CLASSIFIER, "--quiet") == [
        "extractor 'classifier': compares pictures (1 or 3 channels, H, W); the data have the shape (3,)"
    ]
    assert refused("evaluate", "few.npy", "--against", "flat.npy", "--set", "sde.beta_max=3") == [
        "--set sde.beta_max=3: sets a value of an experiment, and flat.npy is none"
    ]
    assert refused("evaluate", "runs/tiny", "--all-snapshots") == [
        "runs/tiny holds no snapshots: scoresde train keeps some with --set training.snapshot_every=STEPS"
    ]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--all-snapshots") == [
        "--all-snapshots: draws from the snapshots of one run: name the folder of one"
    ]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--resume") == [
        "--resume: only drawing from snapshots can be resumed: leave it out, or add --all-snapshots"
    ]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--out", "full", "--quiet") == [
        "full holds something already: choose another --out DIR"
    ]
    assert refused("evaluate", "few.npy", "--against", "tiny.toml", "--extractor", "clasifier")[0] == (
        '--extractor: extractor.use = "clasifier": unknown extractor "clasifier". Did you mean classifier?'
        " Registered: classifier, inception_v3_compat"
    )


def test_missing_weights_are_noticed_before_anything_is_drawn(done: Command, refused: Refused) -> None:
    done("train", "small-digits.toml", "--set", "training.snapshot_every=3", "--set", "training.steps=3")
    weights = ("--extractor", "inception_v3_compat", "--option", "weights=lost.pth")
    assert refused("evaluate", "runs/small-digits", "--all-snapshots", "--quiet", *weights) == [
        f"extractor 'inception_v3_compat': there is no file {Path('lost.pth').absolute()} with its weights"
    ]
