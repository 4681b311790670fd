"""encode, decode and interpolate: codes of a known flow, and folders in which nothing is overwritten."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

Command = Callable[..., Result]
Refused = Callable[..., list[str]]
Tree = Callable[[Path], dict[str, bytes]]

# Data N((1, -1), 1): the VP flow moves the mean alone, x - alpha(t) mu is kept.
NORMAL = """\
[experiment]
name = "normal"

[data]
use = "gaussian_mixture"
weights = [1.0]
means = [[1.0, -1.0]]
covariances = [[[1.0, 0.0], [0.0, 1.0]]]
count = 20

[sde]
use = "vp"

[model]
use = "gaussian_mixture"

[run]
chunk = 8
"""


def alpha(t: float) -> float:
    return math.exp(-0.5 * (0.1 * t + 0.5 * 19.9 * t**2))


def array(path: str, name: str) -> np.ndarray:
    with np.load(path) as stored:
        return stored[name]


def figures(folder: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads(Path(folder, "results.json").read_text())["figures"]}


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    Path("normal.toml").write_text(NORMAL, "utf-8")


def test_codes_of_a_gaussian_are_those_of_its_flow_and_come_back(done: Command) -> None:
    done("train", "normal.toml")
    done("encode", "runs/normal", "--count", "10")
    codes, items = (array("runs/normal/encode-001/latents.npz", name) for name in ("latent", "model_range"))
    mean = np.array([1.0, -1.0])
    np.testing.assert_allclose(codes - alpha(1) * mean, items - alpha(1e-5) * mean, atol=1e-3)
    result = done("decode", "runs/normal", "runs/normal/encode-001/latents.npz")
    assert (array("runs/normal/decode-001/samples.npz", "x").shape, Path("runs/normal/decode-001/samples.png").exists()) == ((10, 2), True)
    found = figures("runs/normal/decode-001")["round_trip_error"]
    errors = np.sqrt(((array("runs/normal/decode-001/samples.npz", "model_range") - items) ** 2).mean(1))
    assert found["value"] == pytest.approx(errors.mean(), rel=1e-3)
    assert found["value"] < 1e-3
    assert "round_trip_error = " in result.stdout
    done("decode", "runs/normal", "runs/normal/encode-001/latents.npz", "--temperature", "0.5")
    cooled = array("runs/normal/decode-002/samples.npz", "model_range")
    np.testing.assert_allclose(cooled - alpha(1e-5) * mean, 0.5 * codes - alpha(1) * mean, atol=1e-3)
    assert list(figures("runs/normal/decode-002")) == ["evaluations_per_sample"]
    facts = json.loads(Path("runs/normal/decode-002/run.json").read_text())
    assert facts["decode"] == {"codes": "runs/normal/encode-001/latents.npz", "temperature": 0.5}


def test_a_smaller_tolerance_brings_items_nearer_to_themselves(done: Command) -> None:
    errors = []
    for place, tolerance in enumerate(("1e-3", "1e-7")):
        method = ("--set", f"likelihood.rtol={tolerance}", "--set", f"likelihood.atol={tolerance}")
        done("encode", "mixture-2d", "--count", "30", *method, "--out", f"codes-{place}")
        done("decode", "mixture-2d", f"codes-{place}/latents.npz", *method, "--out", f"decoded-{place}")
        errors.append(figures(f"decoded-{place}")["round_trip_error"]["value"])
    assert errors[1] < 1e-2 * errors[0] < 1e-3
    assert errors[1] < 1e-6


def test_pictures_are_encoded_decoded_and_joined(done: Command, tree: Tree) -> None:
    done("train", "small-digits.toml")
    before = tree(Path("runs"))
    done("encode", "runs/small-digits", "--count", "5", "--split", "train")
    done("decode", "runs/small-digits", "runs/small-digits/encode-001/latents.npz")
    done("interpolate", "runs/small-digits", "3", "7", "--steps", "6")
    done("interpolate", "runs/small-digits", "3", "7", "--steps", "6", "--linear")
    after = tree(Path("runs"))
    assert {name: after[name] for name in before} == before
    home = "runs/small-digits/"
    assert array(home + "encode-001/latents.npz", "latent").shape == (5, 1, 8, 8)
    assert array(home + "decode-001/samples.npz", "x").dtype == np.uint8
    arc, line = (array(f"{home}interpolate-00{number}/interpolation.npz", "latent").reshape(6, -1) for number in (1, 2))
    assert (arc[[0, -1]] == line[[0, -1]]).all()
    np.testing.assert_allclose(line[2], (3 * line[0] + 2 * line[5]) / 5, rtol=1e-5, atol=1e-5)
    norms = np.linalg.norm(arc, axis=1)
    assert norms.min() > 0.99 * norms[[0, -1]].min()
    assert np.linalg.norm(line, axis=1).min() < 0.95 * norms[[0, -1]].min()
    for picture in ("encode-001/latents.png", "decode-001/samples.png", "interpolate-001/interpolation.png"):
        with Image.open(home + picture) as image:
            assert min(image.size) > 60
    with Image.open(home + "interpolate-001/interpolation.png") as image:
        assert image.width > 5 * image.height  # a row


def test_the_latents_of_likelihoods_are_decoded_too(done: Command) -> None:
    done("run", "tiny.toml")
    result = done("decode", "runs/tiny", "runs/tiny/likelihood.npz")
    assert "round_trip_error" not in result.stdout  # of dequantised items or not, they are not in the file
    assert array("runs/tiny/decode-001/samples.npz", "model_range").shape == (4, 3)
    np.save("codes.npy", np.zeros((2, 3)))
    done("decode", "runs/tiny", "codes.npy", "--out", "there")
    assert array("there/samples.npz", "model_range").shape == (2, 3)


def test_a_model_that_needs_no_training_needs_no_run(done: Command) -> None:
    done("encode", "normal.toml")
    assert sorted(path.name for path in Path("runs").iterdir()) == ["normal-encode-001"]
    assert array("runs/normal-encode-001/latents.npz", "latent").shape == (20, 2)
    done("encode", "normal.toml", "--count", "3")
    assert array("runs/normal-encode-002/latents.npz", "latent").shape == (3, 2)


def test_wrong_input_is_one_line_before_anything_is_written(refused: Refused, done: Command) -> None:
    assert refused("encode", "tiny.toml") == [
        "tiny.toml has to be trained first: scoresde train tiny.toml, and then name its run's folder, such as runs/tiny"
    ]
    done("train", "normal.toml")
    assert refused("interpolate", "runs/normal", "3", "20") == ["item 20: the test split of data 'gaussian_mixture' has the items 0 to 19"]
    expected = "expected codes, as scoresde encode writes them to latents.npz"
    assert refused("decode", "runs/normal", "nothing.npz") == [f"nothing.npz: there is no such file; {expected}"]
    Path("text.npz").write_text("no numbers")
    assert refused("decode", "runs/normal", "text.npz") == [f"text.npz: it is no .npy or .npz file of numbers; {expected}"]
    np.savez("other.npz", samples=np.zeros((2, 2)))
    assert refused("decode", "runs/normal", "other.npz") == [
        "other.npz: holds samples; expected an array latent, as scoresde encode writes it"
    ]
    np.save("flat.npy", np.zeros((4, 3)))
    words = "expected finite floats (N, 2), N > 0"
    assert refused("decode", "runs/normal", "flat.npy") == [f"flat.npy: the codes are float64 (4, 3); {words}"]
    np.save("nan.npy", np.full((1, 2), np.nan))
    assert refused("decode", "runs/normal", "nan.npy") == [
        f"nan.npy: the codes are float64 (1, 2) with entries that are not finite; {words}"
    ]
    np.save("whole.npy", np.zeros((4, 2), dtype=np.int64))
    assert refused("decode", "runs/normal", "whole.npy") == [f"whole.npy: the codes are int64 (4, 2); {words}"]
    for command, arguments in (
        ("encode", ("--count", "0")),
        ("interpolate", ("1", "2", "--steps", "1")),
        ("decode", ("a", "--temperature", "-1")),
    ):
        assert refused(command, "runs/normal", *arguments)[-1].startswith("Error: Invalid value for '--")


def test_single_numbers_take_the_straight_path(refused: Refused, done: Command) -> None:
    text = Path("normal.toml").read_text().replace("[[1.0, -1.0]]", "[[0.0]]").replace("[[[1.0, 0.0], [0.0, 1.0]]]", "[[[1.0]]]")
    Path("line.toml").write_text(text, "utf-8")
    words = "data 'gaussian_mixture' are single numbers, whose codes no great circle joins: take --linear"
    assert refused("interpolate", "line.toml", "0", "1") == [words]
    done("interpolate", "line.toml", "0", "1", "--linear", "--steps", "3")
    samples = array("runs/normal-interpolate-001/interpolation.npz", "model_range")
    assert samples[1, 0] == pytest.approx((samples[0, 0] + samples[2, 0]) / 2, abs=1e-4)  # the flow of N(0, 1) is the identity
