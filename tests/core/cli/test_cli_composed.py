"""Several conditions in one file: what a run of them writes and reports, and what is refused before any work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Command = Callable[..., Result]
Refused = Callable[..., list[str]]

COMPOSED = """\
extends = "mixture-2d"

[experiment]
name = "composed"

[data]
count = 200

[sampling]
count = 6
steps = 60

[conditioning]
use = "all_of"
count = 4
completions = 50
parts = [
    { use = "classifier_free" },
    { use = "mmps", operator = { use = "matrix", rows = [[1.0, 0.5]] }, std = 0.1 },
]

[run]
chunk = 100
"""
LINEAR = 'operator = { use = "mask" }'


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    Path("composed.toml").write_text(COMPOSED, "utf-8")


def figures(run: str) -> dict[str, Any]:
    return {figure["name"]: figure for figure in json.loads(Path(run, "results.json").read_text())["figures"]}


def arrays(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def test_a_class_and_an_observation(done: Command) -> None:
    """Held-out items have their own class; samples have both, and are judged by class, spread and misfit."""
    done("sample", "composed.toml", "--out", "run")
    drawn, found = arrays("run/all_of.npz"), figures("run")
    assert {name: value.shape for name, value in drawn.items()} == {"samples": (200, 2), "originals": (4, 2), "y": (4,), "y_2": (4, 1)}
    means = np.array([[-1.5, -1.0], [1.5, -1.0], [0.0, 1.2]])
    assert np.array_equal(drawn["y"], ((drawn["originals"][:, None] - means) ** 2).sum(2).argmin(1))
    assert found["class_accuracy"]["value"] > 0.98
    assert 0.05 < found["all_of_misfit_2"]["value"] < 0.2
    assert found["all_of_spread"]["value"] < 0.5
    assert found["class_accuracy"]["protocol"]["conditioner"].startswith("AllOf(parts=(ClassifierFree(")
    assert Path("run/all_of.png").exists()


def test_wanted_classes_are_not_those_of_the_items(done: Command) -> None:
    parts = 'conditioning.parts=[{ use = "classifier_free", classes = [2] }, { use = "mmps", operator = { use = "mask" }, std = 1.0 }]'
    done("sample", "composed.toml", "--out", "run", "--set", parts)
    assert arrays("run/all_of.npz")["y"].tolist() == [2] * 4
    assert figures("run")["class_accuracy"]["value"] > 0.95


def test_observations_of_a_file(done: Command, refused: Refused) -> None:
    np.savez("given.npz", y=np.array([0, 1]), y_2=np.array([[-2.0], [1.0]], dtype=np.float32))
    given = ("--set", "conditioning.observations=given.npz")
    done("sample", "composed.toml", "--out", "run", *given)
    assert sorted(arrays("run/all_of.npz")) == ["samples", "y", "y_2"]
    np.savez("given.npz", y=np.array([0, 1]))
    assert refused("sample", "composed.toml", "--out", "other", *given) == [
        f"{Path('given.npz').absolute()}: conditioner 'all_of': y_2 is missing: the 2 parts observe y, y_2"
    ]


def test_strength_0_of_every_part_changes_no_bit(done: Command) -> None:
    parts = 'conditioning.parts=[{ use = "classifier_free", scale = 0.0 }, { use = "pgdm", operator = { use = "mask" }, scale = 0.0 }]'
    one = ("--set", "conditioning.count=6", "--set", "conditioning.completions=1", "--set", "sampling.steps=10")
    done("sample", "composed.toml", "--out", "run", "--set", parts, *one)
    assert np.array_equal(arrays("run/all_of.npz")["samples"], arrays("run/samples.npz")["model_range"])


REFUSED = [
    (
        ('[{ use = "inpainting" }, { use = "colorization" }]',),
        "inpainting and colorization both act on the state, and each would undo what the other has put there: take one of them",
    ),
    (
        ('[{ use = "class_guidance" }, { use = "classifier_free" }]',),
        "conditioning: class_guidance and classifier_free both ask for a class, and an item has one: take one of them",
    ),
    (("[]",), "conditioning: parts = []: it needs the conditioners that are to hold together"),
    (
        ('[{ use = "class_guidance" }, { use = "inpainting" }]',),
        "conditioning.parts[0]: class_guidance needs a classifier: the table [classifier] is missing",
    ),
    (
        (f'[{{ use = "classifier_free" }}, {{ use = "twisted", {LINEAR} }}]', "sampling.predictor.use=ddim"),
        "sampling.predictor: conditioner all_of weighs Gaussian steps, and ddim makes none: take reverse_diffusion or ancestral",
    ),
    (
        ('[{ use = "classifier_free" }, { use = "inpainting" }]', "sampling.predictor.use=ode"),
        "sampling: predictor 'ode' cannot carry a projection, which would jump inside its steps: take another predictor",
    ),
    ((f'[{{ use = "pgdm", {LINEAR}, scle = 1 }}]',), "conditioning.parts[0].scle = 1: unknown option of conditioner"),
    (('[{ use = "pgdm" }]',), "conditioning.parts[0].operator: missing, expected an operator"),
    ((f'[{{ use = "classifier_free", classes = [3] }}, {{ use = "pgdm", {LINEAR} }}]',), "there is no class 3, the data have 0 to 2"),
]


@pytest.mark.parametrize(("settings", "error"), REFUSED, ids=[settings[0] for settings, _ in REFUSED])
def test_what_cannot_be_is_one_line_before_any_work(refused: Refused, settings: tuple[str, ...], error: str) -> None:
    arguments = [part for one in (f"conditioning.parts={settings[0]}", *settings[1:]) for part in ("--set", one)]
    (line,) = refused("sample", "composed.toml", *arguments)
    assert error in line
