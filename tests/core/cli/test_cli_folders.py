"""Folders and files of a run that are not as they should be: another run, another model, no room, no right to write."""

import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from scoresde.core.noise import permutation
from scoresde.plugins.dataset.image_folder import ImageFolder

PICTURES = """\
[experiment]
name = "pictures"

[data]
use = "image_folder"
root = "pictures"
size = 8

[sde]
use = "vp"

[model]
use = "ddpmpp"
channels = 8
multipliers = [1]
blocks = 1
attention = []

[training]
steps = 6
batch = 4
checkpoint_every = 6

[run]
device = "cpu"
"""

Command = Callable[..., Result]
Refused = Callable[..., list[str]]


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_folder_with_another_experiment_is_refused_with_the_keys_that_differ(refused: Refused, done: Command, command: str) -> None:
    done("train", "tiny.toml")
    for resume in ((), ("--resume",)):
        changed = ("--set", "sde.beta_max=15", "--set", "sampling.predictor.use=reverse_diffusion", "--set", "data.count=39")
        assert refused(command, "tiny.toml", *changed, *resume) == [
            "runs/tiny holds the run of another experiment (it differs in data.count, sampling.predictor.ladder,"
            " sampling.predictor.use, sde.beta_max): choose another --out DIR"
        ]


def test_a_folder_with_the_same_run_needs_resume(refused: Refused, done: Command) -> None:
    done("train", "tiny.toml")
    for out in ((), ("--out", "runs/tiny")):
        assert refused("run", "tiny.toml", *out) == [
            "runs/tiny already holds a run of this experiment: add --resume to go on with it, or choose another --out DIR"
        ]
    assert refused("sample", "runs/tiny", "--out", "runs/tiny") == [
        "runs/tiny already holds a run of this experiment: add --resume to go on with it, or choose another --out DIR"
    ]


def test_a_folder_that_is_no_run_is_left_alone(refused: Refused) -> None:
    Path("papers").mkdir()
    Path("papers/thesis.tex").write_text("years of work")
    for resume in ((), ("--resume",)):
        assert refused("run", "tiny.toml", "--out", "papers", *resume) == [
            "papers holds something that is not a run: choose another --out DIR"
        ]
    assert refused("run", "papers") == [
        "papers: a folder without a run (it holds no experiment.toml): name a run's folder, a file or a shipped experiment"
    ]


def test_a_folder_called_like_a_shipped_experiment_does_not_hide_it(scoresde: Command) -> None:
    Path("moons").mkdir()
    assert scoresde("run", "moons", "--dry-run").exit_code == 0


def test_a_place_that_cannot_be_written(refused: Refused) -> None:
    assert refused("run", "tiny.toml", "--out", "tiny.toml/run") == ["tiny.toml/run: Not a directory"]
    assert refused("run", "tiny.toml", "--out", "/proc/run") == ["/proc/run: No such file or directory"]
    assert refused("run", "tiny.toml", "--out", "tiny.toml")[-1] == "Error: Invalid value for '--out': Directory 'tiny.toml' is a file."


def test_a_full_disk_is_one_line_and_the_run_goes_on_after_it(scoresde: Command, done: Command) -> None:
    """The limit on the size of a file stands for a full disk."""
    done("run", "tiny.toml", "--out", "straight")
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        result = scoresde("run", "tiny.toml", "--quiet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "runs/tiny/checkpoints/step-00000002: File too large\n")
    assert list(Path("runs/tiny/checkpoints").iterdir()) == []
    done("run", "tiny.toml", "--resume")
    assert Path("runs/tiny/weights.safetensors").read_bytes() == Path("straight/weights.safetensors").read_bytes()


def test_a_picture_that_cannot_be_read_is_one_line_and_the_run_goes_on_after_it(scoresde: Command, done: Command) -> None:
    """Pictures are opened when they are needed: this one in the fourth step."""
    Path("pictures").mkdir()
    for place in range(40):
        Image.fromarray(np.full((8, 8, 3), 6 * place, np.uint8)).save(f"pictures/{place:02d}.png")
    paths = ImageFolder(root=Path("pictures"), size=8).open("train").paths
    bad = Path("pictures", paths[int(permutation(0, 0, len(paths))[3 * 4 + 1])])
    Path("pictures.toml").write_text(PICTURES, "utf-8")
    done("train", "pictures.toml", "--out", "straight")
    whole = bad.read_bytes()
    bad.write_bytes(whole[:45])
    result = scoresde("train", "pictures.toml", "--out", "cut", "--quiet")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert re.match(rf"data 'image_folder': image_folder: cannot read the picture .*/{bad.name}: ", result.stderr)
    assert [path.name for path in Path("cut/checkpoints").iterdir()] == ["step-00000003"]
    bad.write_bytes(whole)
    done("train", "cut", "--resume")
    assert Path("cut/weights.safetensors").read_bytes() == Path("straight/weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (("model.predicts=score",), "model.predicts differs"),
        (("model.width=16", "model.time_coordinate=t"), "model.time_coordinate, model.width differ"),
        (("sde.beta_max=15",), "sde.beta_max differs"),
        (("sde.use=sub_vp",), "sde.use differs"),
    ],
)
def test_weights_keep_their_meaning(refused: Refused, done: Command, settings: tuple[str, ...], changed: str) -> None:
    """Where the weights of another run are used, its model and its SDE are used as well."""
    done("run", "tiny.toml")
    done("sample", "runs/tiny", "--out", "drawn")
    given = [part for setting in settings for part in ("--set", setting)]
    sweep = ("sweep", "runs/tiny", "--vary", "sampling.steps=2,3", "--measure", "energy_distance")
    for command in (("sample", "runs/tiny"), ("likelihood", "runs/tiny"), ("encode", "runs/tiny"), ("sample", "drawn"), sweep):
        what = f"{command[1]}: its weights are of another model ({changed})"
        assert refused(*command, *given) == [f"{what}: leave [model] and [sde] as the run has them, or train such a model"]


def test_data_in_another_range_are_refused(refused: Refused, done: Command) -> None:
    done("train", "small-digits.toml")
    (line,) = refused("likelihood", "runs/small-digits", "--set", "data.centered=false")
    assert line == (
        "runs/small-digits: its network saw data in the range (-1.0, 1.0), and these are in (0.0, 1.0): take data in the same range"
    )
    np.save("others.npy", np.arange(40 * 64).reshape(40, 1, 8, 8) % 5)
    others = ("data.use=arrays", "data.file=others.npy", "data.levels=5", "likelihood.count=1")
    done("likelihood", "runs/small-digits", *(part for setting in others for part in ("--set", setting)))


def test_what_weights_do_not_depend_on_may_be_set(done: Command) -> None:
    done("run", "tiny.toml")
    for setting in ("sde.t_min=1e-4", "data.count=50", "run.chunk=4", "experiment.seed=1", "sampling.predictor.use=ancestral"):
        done("sample", "runs/tiny", "--set", setting)
    done("sample", "mixture-2d", "--set", "sampling.steps=2", "--set", "sampling.count=4")
    done("sample", "runs/mixture-2d", "--set", "sde.use=ve")  # an exact model has nothing that was trained under an SDE


def test_weights_of_another_model_are_refused_with_names_and_shapes(refused: Refused, done: Command) -> None:
    done("run", "tiny.toml")
    own = Path("runs/tiny/weights.safetensors")
    kept = own.read_bytes()
    for setting, problem in (("model.width=16", "size mismatch for "), ("model.depth=3", "blocks.1.inner.bias is not in the model; ")):
        done("train", "tiny.toml", "--set", setting, "--out", setting)
        own.write_bytes(Path(setting, "weights.safetensors").read_bytes())
        (line,) = refused("sample", "runs/tiny")
        assert line.startswith(f"{own}: the checkpoint is of another model: {problem}")
    deep = Path("model.depth=3/weights.safetensors")
    deep.write_bytes(kept)
    (line,) = refused("sample", "model.depth=3")
    assert line.startswith(f"{deep}: the checkpoint is of another model: blocks.1.inner.weight is missing; ")


def test_weights_that_are_damaged_or_not_there(refused: Refused, done: Command) -> None:
    done("run", "tiny.toml")
    weights = Path("runs/tiny/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-3])
    (line,) = refused("sample", "runs/tiny")
    assert line.startswith("runs/tiny/weights.safetensors: the weights cannot be read: ")
    weights.unlink()
    done("train", "tiny.toml", "--out", "half")
    Path("half/weights.safetensors").unlink()
    for run, command in (("runs/tiny", ("likelihood", "runs/tiny")), ("half", ("sample", "half", "--resume"))):
        assert refused(*command) == [f"{run} holds no weights yet: scoresde train {run} --resume makes them"]


def test_weights_that_are_gone_are_made_again(done: Command) -> None:
    done("run", "tiny.toml")
    weights, samples = Path("runs/tiny/weights.safetensors"), Path("runs/tiny/samples.npz")
    before = weights.read_bytes(), samples.stat().st_mtime_ns
    for command in ("train", "run"):
        weights.unlink()
        done(command, "runs/tiny", "--resume")
        assert (weights.read_bytes(), samples.stat().st_mtime_ns) == before


def test_facts_of_a_run_that_are_damaged(refused: Refused, done: Command) -> None:
    done("train", "tiny.toml")
    Path("runs/tiny/run.json").write_text('{"versions": {', "utf-8")
    (line,) = refused("run", "tiny.toml", "--resume")
    assert line.startswith("runs/tiny/run.json: not valid JSON: ")
