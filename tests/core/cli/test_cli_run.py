"""run, train, sample and likelihood: what they leave behind, and that nothing is done twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file

from scoresde.plugins.dataset.digits import Digits

Command = Callable[..., Result]
Tree = Callable[[Path], dict[str, bytes]]

DIGITS_FILES = {
    *("experiment.toml", "run.json", "results.json", "training.jsonl", "weights.json", "weights.safetensors", "loss.png"),
    *("samples.npz", "samples.png", "filmstrip.npz", "inpainting.npz", "inpainting.png", "likelihood.npz"),
}


def figures(folder: str) -> dict[str, dict[str, Any]]:
    found = json.loads(Path(folder, "results.json").read_text())
    assert list(found) == ["figures"]
    return {figure["name"]: figure for figure in found["figures"]}


def array(path: str, name: str = "model_range") -> np.ndarray:
    with np.load(path) as stored:
        return stored[name]


def test_a_run_of_digits_leaves_all_that_was_promised(done: Command) -> None:
    result = done("run", "small-digits.toml", "--set", "likelihood.dequantisations=2")
    folder = Path("runs/small-digits")
    assert {path.name for path in folder.iterdir() if path.is_file()} == DIGITS_FILES
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best", "step-00000004", "step-00000006"]
    resolved = tomli.loads((folder / "experiment.toml").read_text())
    assert (resolved["sde"]["use"], resolved["model"]["channels"], resolved["training"]["betas"]) == ("scoresde:vp", 8, [0.9, 0.999])
    facts = json.loads((folder / "run.json").read_text())
    assert list(facts["stages"]) == ["train", "sample", "condition", "likelihood", "evaluate"]
    assert (facts["seed"], facts["weights_from"], facts["threads"]) == (0, None, torch.get_num_threads())
    assert {"python", "torch", "scoresde", "numpy"} <= set(facts["versions"])
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [1, 2, 3, 4, 5, 6]
    assert ["validation" in record for record in log] == [False, True] * 3
    assert (log[0]["learning_rate"], log[0]["loss"] > 0) == (0.0, True)
    assert array(folder / "samples.npz", "x").shape == (5, 1, 8, 8)
    assert array(folder / "samples.npz", "x").dtype == np.uint8
    assert array(folder / "samples.npz", "x").max() <= 16
    assert result.stdout.splitlines()[-1].startswith(f"{folder}: checkpoints, experiment.toml, ")


def test_the_pictures_of_a_run_are_pictures(done: Command) -> None:
    done("run", "small-digits.toml", "--out", "here")
    sizes = {name: Image.open(f"here/{name}.png").size for name in ("samples", "inpainting", "loss")}
    assert all(min(size) > 100 for size in sizes.values())
    inpainted = {name: array("here/inpainting.npz", name) for name in ("samples", "originals", "mask", "y")}
    known = inpainted["mask"] > 0
    assert known.mean() == 0.5
    assert known[..., :4].all()
    np.testing.assert_allclose(inpainted["y"], inpainted["originals"] * inpainted["mask"])
    assert np.abs(inpainted["samples"] - inpainted["originals"])[known].max() < 0.1


def test_every_figure_has_its_protocol(done: Command) -> None:
    done("run", "small-digits.toml")
    found = figures("runs/small-digits")
    assert list(found) == ["evaluations_per_sample", "inpainting_psnr_db", "log_density_nats", "bits_per_dim"]
    assert all(list(figure) == ["name", "value", "std_error", "protocol"] for figure in found.values())
    assert found["evaluations_per_sample"]["value"] == 8  # a correction and a prediction at each of four times
    nats, bits = found["log_density_nats"], found["bits_per_dim"]
    expected = -(nats["value"] + 64 * np.log(2 / 17)) / (64 * np.log(2))
    assert bits["value"] == pytest.approx(expected, rel=1e-6)
    assert bits["std_error"] == pytest.approx(nats["std_error"] / (64 * np.log(2)), rel=1e-5)
    assert (bits["protocol"]["n"], bits["protocol"]["split"], bits["protocol"]["levels"]) == (2, "test", 17)
    weights = json.loads(Path("runs/small-digits/weights.json").read_text())
    assert (weights["weights"], weights["chosen_by"], weights["step"] in (2, 4, 6)) == ("ema", "validation loss", True)
    assert bits["protocol"]["weights"] == weights


def test_figures_of_the_samples_say_how_those_were_drawn(done: Command) -> None:
    done("run", "small-digits.toml", "--set", "evaluation.classifier=true")
    found = figures("runs/small-digits")
    drawn = found["evaluations_per_sample"]["protocol"]
    assert found["classifier_top_probability_samples"]["protocol"]["samples"] == drawn
    assert found["class_balance_samples"]["protocol"]["samples"] == drawn
    assert "samples" not in found["class_balance_heldout"]["protocol"]


def test_neighbours_and_the_held_out_loss(done: Command) -> None:
    """The chosen weights have the validation loss that chose them, up to the items: the figure is of the test items."""
    done("run", "small-digits.toml", "--set", "evaluation.neighbours=3", "--set", "evaluation.loss=true")
    found = figures("runs/small-digits")
    samples, heldout, loss = (found[name] for name in list(found)[-3:])
    assert (samples["name"], heldout["name"]) == ("nearest_training_distance_samples", "nearest_training_distance_heldout")
    train, test = load_digits_split()
    drawn = array("runs/small-digits/samples.npz", "model_range").reshape(5, -1)
    for entry, rows in ((samples, drawn), (heldout, test[:5])):
        distances = np.sqrt(((rows[:, None] - train[None]) ** 2).sum(-1)).min(1)
        assert entry["value"] == pytest.approx(distances.mean(), rel=1e-4)
    assert samples["protocol"]["samples"] == found["evaluations_per_sample"]["protocol"]
    assert (loss["name"], loss["protocol"]["n"], loss["protocol"]["draws"]) == ("heldout_loss", len(test), 4)
    assert loss["value"] == pytest.approx(loss["protocol"]["weights"]["validation"], rel=0.1)
    with Image.open("runs/small-digits/neighbours.png") as page:
        assert page.width > 6 * 100  # a sample and five neighbours in a row


def load_digits_split() -> tuple[np.ndarray, np.ndarray]:
    """Training and test items, a row each, as the model sees them without dequantisation."""
    parts = [Digits().open(split) for split in ("train", "test")]
    return tuple(part.spec.scale(part.batch(range(len(part)))["x"]).flatten(1).numpy() for part in parts)


def test_the_best_weights_in_validation_are_kept(done: Command) -> None:
    done("train", "small-digits.toml", "--set", "training.learning_rate=0.5")
    folder = Path("runs/small-digits")
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    best = min((record for record in log if "validation" in record), key=lambda record: record["validation"])
    weights = json.loads((folder / "weights.json").read_text())
    assert (weights["step"], weights["validation"]) == (best["step"], best["validation"])
    kept, saved = load_file(folder / "weights.safetensors"), load_file(folder / "checkpoints/best/ema.safetensors")
    assert all((kept[key] == saved[key]).all() for key in saved)


def test_a_model_that_is_not_trained_runs(done: Command) -> None:
    small = ("--set", "sampling.count=100", "--set", "sampling.steps=10", "--set", "likelihood.count=8", "--set", "data.count=100")
    result = done("run", "mixture-2d", *small, "--set", "likelihood.rtol=1e-2", "--set", "likelihood.atol=1e-2")
    assert result.stdout.startswith("evaluations_per_sample = 10\nlog_density_nats = -1")
    assert "samples.png" in result.stdout
    assert json.loads(Path("runs/mixture-2d/weights.json").read_text())["weights"] == "fitted"
    assert array("runs/mixture-2d/samples.npz").shape == (100, 2)


def test_a_finished_run_that_is_resumed_does_nothing(done: Command, tree: Tree) -> None:
    first = done("run", "tiny.toml")
    before = tree(Path("runs"))
    again = done("run", "tiny.toml", "--resume")
    assert done("run", "runs/tiny", "--resume").stdout == again.stdout == first.stdout
    assert tree(Path("runs")) == before


def test_training_alone_then_the_rest(done: Command) -> None:
    done("train", "tiny.toml", "--out", "a")
    assert not Path("a/samples.npz").exists()
    done("run", "tiny.toml", "--out", "a", "--resume")
    done("run", "tiny.toml", "--out", "b")
    assert (array("a/samples.npz") == array("b/samples.npz")).all()
    assert Path("a/weights.safetensors").read_bytes() == Path("b/weights.safetensors").read_bytes()
    assert figures("a") == figures("b")


def test_samples_from_a_finished_run_lie_in_a_folder_of_their_own(done: Command, tree: Tree) -> None:
    done("run", "tiny.toml")
    before = tree(Path("runs"))
    done("sample", "runs/tiny", "--set", "sampling.count=7")
    done("sample", "runs/tiny")
    done("likelihood", "runs/tiny", "--set", "likelihood.count=2")
    after = tree(Path("runs"))
    assert {name: after[name] for name in before} == before
    assert (array("runs/tiny/sample-001/samples.npz")[:5] == array("runs/tiny/samples.npz")).all()
    assert (array("runs/tiny/sample-002/samples.npz") == array("runs/tiny/samples.npz")).all()
    assert figures("runs/tiny/likelihood-001")["log_density_nats"]["protocol"]["n"] == 2
    assert json.loads(Path("runs/tiny/sample-001/run.json").read_text())["weights_from"] == ".."


def test_samples_of_samples_and_a_resumed_one_use_the_first_run_s_weights(done: Command) -> None:
    done("run", "tiny.toml")
    done("sample", "runs/tiny", "--out", "elsewhere/drawn")
    done("sample", "elsewhere/drawn", "--set", "sampling.count=3", "--out", "again")
    assert (array("again/samples.npz") == array("runs/tiny/samples.npz")[:3]).all()
    Path("again/samples.npz").unlink()
    facts = json.loads(Path("again/run.json").read_text())
    del facts["stages"]["sample"]
    Path("again/run.json").write_text(json.dumps(facts))
    done("sample", "again", "--resume")
    assert (array("again/samples.npz") == array("runs/tiny/samples.npz")[:3]).all()
    assert len(json.loads(Path("again/results.json").read_text())["figures"]) == 1  # the figure replaces that of the first time


def test_a_run_s_folder_can_be_run_again_beside_itself(done: Command) -> None:
    done("run", "tiny.toml")
    done("run", "runs/tiny", "--set", "experiment.seed=1")
    first, second = (Path(f"runs/tiny{inner}/weights.safetensors").read_bytes() for inner in ("", "/run-001"))
    assert first != second


def test_samples_of_a_model_that_needs_no_training_need_no_run(done: Command) -> None:
    done("sample", "mixture-2d", "--set", "sampling.count=50", "--set", "sampling.steps=5", "--set", "data.count=50")
    assert array("runs/mixture-2d/samples.npz").shape == (50, 2)


def test_another_chunk_size_changes_the_samples_by_rounding_alone(done: Command) -> None:
    done("run", "small-digits.toml", "--out", "a", "--set", "sampling.corrector.use=none")
    done("sample", "a", "--out", "b", "--set", "run.chunk=3")
    done("sample", "a", "--out", "c", "--set", "sampling.count=2")
    a, b, c = (array(f"{name}/samples.npz") for name in "abc")
    np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * np.abs(a).max())
    assert (c == a[:2]).all()


def test_a_plugin_file_runs_and_is_found_again(done: Command, tree: Tree) -> None:
    using = ("--plugin", "my_sampler.py", "--set", "sampling.predictor.use=drift")
    done("run", "tiny.toml", *using, "--set", "sampling.predictor.factor=0.5")
    resolved = tomli.loads(Path("runs/tiny/experiment.toml").read_text())
    assert resolved["sampling"]["predictor"] == {"use": "my_sampler.py:drift", "factor": 0.5}
    assert resolved["experiment"]["plugins"] == [str(Path("my_sampler.py").absolute())]
    before = tree(Path("runs"))
    done("run", "runs/tiny", "--resume")
    done("run", "tiny.toml", *using, "--set", "sampling.predictor.factor=0.5", "--resume")
    assert tree(Path("runs")) == before
    done("sample", "runs/tiny", "--set", "sampling.count=2")
    assert (array("runs/tiny/sample-001/samples.npz") == array("runs/tiny/samples.npz")[:2]).all()


def test_a_plan_is_said_and_nothing_is_written(scoresde: Command, tree: Tree, folder: Path) -> None:
    before = tree(folder)
    result = scoresde("run", "small-digits.toml", "--dry-run")
    assert (result.exit_code, result.stderr, tree(folder)) == (0, "", before)
    network, train, sample, condition, likelihood = result.stdout.splitlines()
    assert network.startswith("network: one evaluation of a chunk of 4 takes ")
    assert train.startswith("train: 6 steps of 8 items, about ")
    assert sample.startswith("sample: 5 samples in 4 steps, 8 evaluations each, about ")
    assert condition.startswith("condition (inpainting): 2 samples in 4 steps, 8 evaluations each, about ")
    assert likelihood == "likelihood: 2 items by probability_flow; the solver decides how many evaluations"
    more = scoresde("run", "small-digits.toml", "--dry-run", "--set", "conditioning.completions=3").stdout.splitlines()
    assert more[3].startswith("condition (inpainting): 6 samples in 4 steps, 8 evaluations each, about ")
    repaint = ("--set", "conditioning.use=repaint", "--set", "conditioning.resamplings=3")  # 2 more in each step
    again = scoresde("run", "small-digits.toml", "--dry-run", *repaint).stdout.splitlines()
    assert again[3].startswith("condition (repaint): 2 samples in 4 steps, 16 evaluations each, about ")
    twisted = ("--set", "conditioning.use=twisted", "--set", "sampling.corrector=false")  # one more in the first step
    operator = ("--set", "conditioning.operator={ use = 'mask' }", "--set", "conditioning.std=0.1")
    again = scoresde("run", "small-digits.toml", "--dry-run", *twisted, *operator).stdout.splitlines()
    assert again[3].startswith("condition (twisted): 2 samples in 4 steps, 5 evaluations each, about ")
    scoresde("run", "small-digits.toml", *repaint)
    figures = {figure["name"]: figure for figure in json.loads(Path("runs/small-digits/results.json").read_text())["figures"]}
    assert figures["repaint_psnr_db"]["protocol"]["samples"]["evaluations"] == 16


def test_progress_is_plain_lines_where_there_is_no_terminal(scoresde: Command) -> None:
    result = scoresde("run", "tiny.toml")
    where, *lines = result.stderr.splitlines()
    assert where == f"1 process on cpu, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    assert [line.split(":")[0] for line in lines] == ["training", "training", "sampling", "sampling", "likelihood"]
    assert lines[0].startswith("training: step 1/6 (17 %), loss ")
    assert lines[1].startswith("training: step 6/6 (100 %), loss ")
    assert lines[1].split(", ")[-1].startswith("done in ")
    assert "\r" not in result.stderr


@pytest.mark.parametrize("precision", ["bf16"])
def test_half_precision_runs_and_keeps_the_weights_in_float32(done: Command, precision: str) -> None:
    done("run", "tiny.toml", "--set", f"run.precision={precision}")
    assert {str(value.dtype) for value in load_file("runs/tiny/weights.safetensors").values()} == {"torch.float32"}
    assert np.isfinite(array("runs/tiny/samples.npz")).all()
