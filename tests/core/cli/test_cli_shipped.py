"""Every shipped experiment runs end to end, with few steps and samples; tests/experiments has those in folders."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from scoresde.core.experiment import shipped

Command = Callable[..., Result]

TRAINING = ("training.steps=2", "training.batch=8", "training.checkpoint_every=1")
NETWORK = ("model.channels=8", "model.attention=[]")
FEW = ("sampling.count=3", "sampling.steps=2", "run.chunk=4")
LOOSE = ("likelihood.count=2", "likelihood.rtol=0.5", "likelihood.atol=0.5")
PLANE = ("sampling.count=40", "sampling.steps=4", "likelihood.count=4", "likelihood.rtol=0.3", "likelihood.atol=0.3", "run.chunk=1024")

LEARNT = ("classifier.steps=2", "classifier.batch=8", "classifier.checkpoint_every=1")
DIGITS = (*TRAINING, *NETWORK, *FEW, *LOOSE, "conditioning.count=2")
COLOUR = (
    *(*TRAINING, *FEW, "model.channels=4", "model.multipliers=[1, 2]", "data.file=data/train.npz", "data.test_file=data/test.npz"),
    *("conditioning.count=2", "conditioning.completions=2"),
)
SMALL = {
    "digits": DIGITS,
    "digits-class-and-half": (*DIGITS, *LEARNT, "classifier.channels=8", "conditioning.completions=2"),
    **dict.fromkeys(("emoji", "emoji-inpainting", "emoji-super-resolution"), COLOUR),
    "digits-classes": (*DIGITS, *LEARNT, "classifier.channels=8", "conditioning.count=3"),
    "digits-classifier-free": (*DIGITS, "conditioning.count=3"),
    "digits-ve": (*DIGITS, "evaluation.classifier=false"),
    "digits-sub-vp": (*DIGITS, "evaluation.classifier=false"),
    "digits-super-resolution": (*DIGITS, "conditioning.completions=2", "evaluation.classifier=false"),
    "mixture-2d": (*PLANE, "data.count=100"),
    "mixture-2d-observed": (*PLANE, "data.count=100", "conditioning.completions=20"),
    "mixture-2d-classes": (*PLANE, *LEARNT, "data.count=100", "conditioning.count=6"),
    "mnist": (*DIGITS, "data.root=data", "training.validation=0.1"),
    "mnist-ncsn": (
        *(*TRAINING, "model.channels=4", "training.validation=0.1", "data.root=data"),
        *("sampling.count=3", "sampling.corrector_steps=1", "conditioning.count=2", "run.chunk=4"),
    ),
    "moons": (*TRAINING, *PLANE, "data.count=100"),
}
IMAGES = {"samples.png", "inpainting.png", "loss.png"}
MADE = {
    **dict.fromkeys(("digits", "digits-ve", "digits-sub-vp", "mnist"), IMAGES),
    "digits-classes": {"samples.png", "class_guidance.png", "loss.png"},
    "digits-class-and-half": {"samples.png", "all_of.png", "loss.png"},
    "emoji": {"samples.png", "colorization.png", "loss.png"},
    "emoji-inpainting": IMAGES,
    "emoji-super-resolution": {"samples.png", "pgdm.png", "loss.png"},
    "digits-classifier-free": {"samples.png", "classifier_free.png", "loss.png"},
    "mixture-2d-classes": {"samples.png", "class_guidance.png", "likelihood.png"},
    "mnist-ncsn": {*IMAGES, "neighbours.png"},
    "digits-super-resolution": {"samples.png", "mmps.png", "loss.png"},
    "mixture-2d": {"samples.png", "likelihood.png"},
    "mixture-2d-observed": {"samples.png", "likelihood.png", "twisted.png"},
    "moons": {"samples.png", "likelihood.png", "loss.png"},
}
SAMPLED = ["evaluations_per_sample", "log_density_nats"]
IN_BITS = ["evaluations_per_sample", "inpainting_psnr_db", "log_density_nats", "bits_per_dim"]
NOISY = [f"accuracy_at_log_snr_{level:+d}" for level in range(8, -9, -2)]
IN_CLASS = ["class_accuracy", *(f"class_accuracy_{label}" for label in range(3))]
COMPLETED = ("psnr_db", "psnr_of_mean_db", "spread")
JUDGED = [
    *(*IN_BITS, "classifier_accuracy_heldout", "classifier_top_probability_samples", "class_balance_samples"),
    *("classifier_top_probability_heldout", "class_balance_heldout"),
]
FIGURES = {
    "mnist-ncsn": [
        *(name for name in JUDGED if name not in ("log_density_nats", "bits_per_dim")),
        *("nearest_training_distance_samples", "nearest_training_distance_heldout", "heldout_loss"),
    ],
    "digits": JUDGED,
    "digits-classes": [*NOISY, JUDGED[0], *IN_CLASS, *JUDGED[2:]],
    "digits-class-and-half": [
        *(*NOISY, JUDGED[0], *(f"all_of_{name}" for name in COMPLETED), "all_of_misfit_2"),
        *("class_accuracy", "class_accuracy_2", *JUDGED[2:]),  # of the first two held-out digits
    ],
    "emoji": ["evaluations_per_sample", *(f"colorization_{name}" for name in COMPLETED)],
    "emoji-inpainting": ["evaluations_per_sample", *(f"inpainting_{name}" for name in COMPLETED)],
    "emoji-super-resolution": ["evaluations_per_sample", *(f"pgdm_{name}" for name in (*COMPLETED, "misfit"))],
    "digits-classifier-free": [JUDGED[0], *IN_CLASS, *JUDGED[2:]],
    "mixture-2d-classes": [*NOISY, SAMPLED[0], *IN_CLASS, SAMPLED[1]],
    "digits-ve": IN_BITS,
    "digits-sub-vp": IN_BITS,
    "digits-super-resolution": [
        *("evaluations_per_sample", "mmps_psnr_db", "mmps_psnr_of_mean_db", "mmps_spread", "mmps_misfit"),
        *("log_density_nats", "bits_per_dim"),
    ],
    "mixture-2d": SAMPLED,
    "mixture-2d-observed": ["evaluations_per_sample", "twisted_spread", "twisted_misfit", "log_density_nats"],
    "mnist": JUDGED,
    "moons": SAMPLED,
}


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + values.ndim}i", 0x0800 + values.ndim, *values.shape) + values.tobytes())


def write_mnist(root: Path) -> None:
    """Forty pictures for training and twelve held out, as torchvision lays MNIST out."""
    random = np.random.RandomState(0)
    for part, count in (("train", 40), ("t10k", 12)):
        write_idx(root / f"MNIST/raw/{part}-images-idx3-ubyte", random.randint(0, 256, (count, 28, 28)).astype(np.uint8))
        write_idx(root / f"MNIST/raw/{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))


def write_pictures(root: Path) -> None:
    """Forty colour pictures for training and four held out, channels last."""
    root.mkdir(exist_ok=True)
    random = np.random.RandomState(0)
    for part, count in (("train", 40), ("test", 4)):
        pictures = random.randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)
        np.savez(root / f"{part}.npz", images=pictures, labels=(np.arange(count) % 9).astype(np.uint8))


def test_the_table_above_has_all_that_ship() -> None:
    assert sorted(SMALL) == [entry.name for entry in shipped() if "/" not in entry.name]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_shipped_experiment_runs(done: Command, name: str) -> None:
    write_mnist(Path("data"))
    write_pictures(Path("data"))
    result = done("run", name, *(part for setting in SMALL[name] for part in ("--set", setting)))
    folder = Path("runs", name)
    assert {path.name for path in folder.glob("*.png")} == MADE[name]
    found = json.loads((folder / "results.json").read_text())["figures"]
    assert [figure["name"] for figure in found] == FIGURES[name]
    assert all(np.isfinite(figure["value"]) for figure in found)
    assert [line.split(" = ")[0] for line in result.stdout.splitlines()[:-1]] == FIGURES[name]
    with np.load(folder / "samples.npz") as stored:
        assert len(stored["x"]) == (3 if "sampling.count=3" in SMALL[name] else 40)
        assert np.isfinite(stored["model_range"]).all()
