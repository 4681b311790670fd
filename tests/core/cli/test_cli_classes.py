"""Samples of classes by the command: the classifier's training, guidance by it and by labels, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from scoresde.core.training import Trainer

Command = Callable[..., Result]
Refused = Callable[..., list[str]]

GUIDED = """\
extends = "tiny.toml"

[experiment]
name = "guided"

[classifier]
use = "mlp"
width = 8
depth = 1
steps = 6
batch = 8
checkpoint_every = 2
validation = 0.2
validate_every = 2
keep = "best"
log_every = 1

[conditioning]
use = "class_guidance"
count = 5
"""

EXACT = """\
extends = "mixture-2d"

[experiment]
name = "exact"

[data]
count = 200

[sampling]
count = 6
steps = 20

[conditioning]
use = "classifier_free"
count = 300

[run]
chunk = 100
"""


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    Path("guided.toml").write_text(GUIDED, "utf-8")
    Path("exact.toml").write_text(EXACT, "utf-8")


def figures(run: str) -> dict[str, Any]:
    return {figure["name"]: figure for figure in json.loads(Path(run, "results.json").read_text())["figures"]}


def arrays(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


CLASSIFIER = ("weights.safetensors", "weights.json", "training.jsonl")


def test_a_run_has_a_classifier_of_its_own(done: Command) -> None:
    done("run", "guided.toml", "--out", "run")
    assert {path.name for path in Path("run/classifier").iterdir()} == {*CLASSIFIER, "checkpoints", "loss.png", "accuracy.png"}
    assert sorted(path.name for path in Path("run/classifier/checkpoints").iterdir()) == ["best", "step-00000004", "step-00000006"]
    facts = json.loads(Path("run/classifier/weights.json").read_text())
    assert (facts["weights"], facts["chosen_by"]) == ("ema", "validation loss")
    assert list(json.loads(Path("run/run.json").read_text())["stages"])[:3] == ["train", "classifier", "sample"]
    found = figures("run")
    accuracy = found["accuracy_at_log_snr_+8"]
    assert {name for name in found if name.startswith("accuracy")} == {f"accuracy_at_log_snr_{level:+d}" for level in range(8, -9, -2)}
    assert (accuracy["protocol"]["n"], accuracy["protocol"]["log_snr"], accuracy["protocol"]["split"]) == (40, 8, "test")
    drawn = arrays("run/class_guidance.npz")
    assert (drawn["samples"].shape, drawn["y"].tolist()) == ((5, 3), [0, 1, 0, 1, 0])
    assert found["class_accuracy"]["protocol"]["conditioner"].startswith("ClassGuidance(scale=1.0, classes=()")
    each = [found[f"class_accuracy_{label}"] for label in (0, 1)]
    assert [figure["protocol"]["n"] for figure in each] == [3, 2]
    assert found["class_accuracy"]["value"] == pytest.approx((3 * each[0]["value"] + 2 * each[1]["value"]) / 5)


@pytest.mark.parametrize("step", [1, 3])
def test_a_classifier_that_was_stopped_goes_on_bit_for_bit(
    done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    done("run", "guided.toml", "--out", "straight")
    advance = Trainer.advance

    def fail(self: Trainer, source: Any) -> torch.Tensor:
        if self.done == step and self.loss.words == "the classifier":
            raise RuntimeError("cut short")
        return advance(self, source)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", fail)
        with pytest.raises(RuntimeError, match=r"^cut short$"):
            scoresde("run", "guided.toml", "--out", "cut")
    assert list(json.loads(Path("cut/run.json").read_text())["stages"]) == ["train"]
    done("run", "guided.toml", "--out", "cut", "--resume")
    for name in CLASSIFIER:
        assert Path("cut/classifier", name).read_bytes() == Path("straight/classifier", name).read_bytes()
    assert all(
        np.array_equal(value, arrays("cut/class_guidance.npz")[name]) for name, value in arrays("straight/class_guidance.npz").items()
    )


def test_the_model_does_not_depend_on_the_classifier(done: Command) -> None:
    done("train", "tiny.toml", "--out", "plain")
    done("train", "guided.toml", "--out", "guided")
    assert Path("plain/weights.safetensors").read_bytes() == Path("guided/weights.safetensors").read_bytes()
    assert Path("guided/classifier/weights.safetensors").exists()


@pytest.mark.parametrize("file", ["guided.toml", "exact.toml"])
def test_at_scale_zero_the_run_is_the_unconditional_one(done: Command, file: str) -> None:
    """Of as many samples, to the last bit."""
    command, count = ("run", "5") if file == "guided.toml" else ("sample", "6")
    done(command, file, "--out", "run", "--set", "conditioning.scale=0.0", "--set", f"conditioning.count={count}")
    name = "class_guidance" if file == "guided.toml" else "classifier_free"
    assert np.array_equal(arrays(f"run/{name}.npz")["samples"], arrays("run/samples.npz")["model_range"])


def test_samples_of_a_finished_run_take_its_classifier(done: Command, refused: Refused) -> None:
    done("train", "guided.toml", "--out", "run")
    done("sample", "run", "--set", "conditioning.scale=3.0", "--set", "conditioning.classes=[1]", "--out", "drawn")
    assert arrays("drawn/class_guidance.npz")["y"].tolist() == [1] * 5
    assert not Path("drawn/classifier").exists()
    Path("run/classifier/weights.safetensors").unlink()
    assert refused("sample", "run", "--out", "other") == ["run holds no classifier yet: scoresde train run --resume makes it"]


def test_a_classifier_of_another_shape_is_refused(done: Command, refused: Refused) -> None:
    done("train", "guided.toml", "--out", "run")
    (line,) = refused("sample", "run", "--set", "classifier.width=16", "--out", "other")
    assert line.startswith("run/classifier/weights.safetensors: the checkpoint is of another model: size mismatch")


def test_exact_scores_given_the_class_draw_it(done: Command) -> None:
    """By the labels that the data's own law reads: nothing is trained."""
    done("sample", "exact.toml", "--out", "run", "--set", "sampling.steps=100")
    found = figures("run")
    assert found["class_accuracy"]["value"] > 0.97
    assert found["class_accuracy"]["protocol"]["samples"]["evaluations"] == 100
    drawn = arrays("run/classifier_free.npz")
    means = [drawn["samples"][drawn["y"] == label].mean(0) for label in range(3)]
    assert np.abs(np.array(means) - [[-1.5, -1.0], [1.5, -1.0], [0.0, 1.2]]).max() < 0.25


def test_a_labelled_model_trains_and_draws(done: Command) -> None:
    """Two evaluations a step, but for the unconditional samples; the same loss is reported of held-out items with their labels."""
    labels = ("--set", "model.labels=true", "--set", "training.label_dropout=0.5", "--set", "evaluation.loss=true")
    condition = ("--set", "conditioning.use=classifier_free", "--set", "conditioning.scale=2.0")
    done("run", "tiny.toml", "--out", "run", *labels, *condition)
    found = figures("run")
    assert (found["evaluations_per_sample"]["value"], found["class_accuracy"]["protocol"]["samples"]["evaluations"]) == (4, 8)
    assert found["heldout_loss"]["value"] > 0


REFUSED = [
    (
        ("tiny.toml", "conditioning.use=class_guidance"),
        "conditioning: class_guidance needs a classifier: the table [classifier] is missing",
    ),
    (
        ("tiny.toml", "conditioning.use=classifier_free"),
        'conditioning: classifier_free needs a model that reads labels; "mlp" is not one, or not set to',
    ),
    (("tiny.toml", "training.label_dropout=0.1"), 'training.label_dropout = 0.1: hides labels, and model "mlp" reads none'),
    (
        ("tiny.toml", "model.labels=true"),
        "training.label_dropout = 0.0: the model reads labels, and without a condition samples have none: take a share above 0,",
    ),
    (("guided.toml", "classifier.use=half_unet"), "classifier 'half_unet': half_unet with 3 resolutions needs items of shape (C, H, W)"),
    (
        ("guided.toml", "conditioning.classes=[0, 2]"),
        "conditioner 'class_guidance' does not fit the data: classes = [0, 2]: there is no class 2,",
    ),
    (("guided.toml", "classifier.validation=0.01"), "classifier.validation = 0.01: keeps none of the 40 training items for validation"),
    (("guided.toml", "classifier.flip=true"), "classifier.flip = true: data 'gaussian_mixture' of shape (3,) are no pictures"),
    (("guided.toml", "classifier.stps=3"), "unknown option of [classifier] and its classifier"),
    (("nolabels.toml",), "data 'arrays': the data have no labels"),
]


@pytest.mark.parametrize(("arguments", "error"), REFUSED, ids=[" ".join(arguments) for arguments, _ in REFUSED])
def test_what_cannot_be_is_one_line_before_any_work(refused: Refused, arguments: tuple[str, ...], error: str) -> None:
    np.save("points.npy", np.zeros((40, 3), dtype=np.float32))
    Path("nolabels.toml").write_text(GUIDED + '\n[data]\nuse = "arrays"\nfile = "points.npy"\n', "utf-8")
    (line,) = refused("run", arguments[0], *(part for setting in arguments[1:] for part in ("--set", setting)))
    assert error in line


def test_data_without_labels_train_no_model_that_reads_them(refused: Refused) -> None:
    np.save("points.npy", np.zeros((40, 3), dtype=np.float32))
    text = 'extends = "tiny.toml"\n[data]\nuse = "arrays"\nfile = "points.npy"\n[model]\nlabels = true\n[training]\nlabel_dropout = 0.1\n'
    Path("nolabels.toml").write_text(text, "utf-8")
    assert refused("train", "nolabels.toml") == ["model 'mlp': the data have no classes"]


def test_the_plan_has_a_line_for_the_classifier(scoresde: Command) -> None:
    lines = scoresde("run", "guided.toml", "--dry-run").stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == ["network", "train", "classifier", "sample"]
    assert lines[2].startswith("classifier: 6 steps of 8 items, about ")
