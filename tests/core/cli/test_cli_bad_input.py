"""Wrong input: exit status 2, one line for each error, no traceback, and nothing written or changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

Command = Callable[..., Result]
Refused = Callable[..., list[str]]


def test_all_errors_of_a_file_come_at_once_with_their_lines(refused: Refused) -> None:
    Path("wrong.toml").write_text(
        'extends = "tiny.toml"\n[sde]\nbeta_mn = 0.2\n\n[training]\nsteps = 2.5\nema = 1.0\nbatch = "8"\n\n'
        '[sampling]\npredictor = { use = "eulr_maruyama" }\nsteps = -3\n\n[runn]\nchunk = 3\n',
        "utf-8",
    )
    lines = refused("run", "wrong.toml")
    starts = [
        'wrong.toml:3: sde.beta_mn = 0.2: unknown option of sde "vp" (scoresde). Did you mean beta_min? Valid: beta_min, beta_max',
        "wrong.toml:6: training.steps = 2.5 is a float, expected an integer",
        "wrong.toml:7: training.ema = 1.0: must be >= 0 and < 1",
        'wrong.toml:8: training.batch = "8" is a string, expected an integer',
        'wrong.toml:11: sampling.predictor.use = "eulr_maruyama": unknown predictor "eulr_maruyama". Did you mean euler_maruyama?',
        "wrong.toml:12: sampling.steps = -3: must be >= 1",
        "wrong.toml:14: [runn]: unknown table. Did you mean run?",
    ]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


@pytest.mark.parametrize("command", ["run", "train", "sample", "likelihood"])
def test_a_file_that_is_not_toml_is_refused_by_every_command(refused: Refused, command: str) -> None:
    Path("wrong.toml").write_text('[experiment]\nname = "a"\n[sde\n', "utf-8")
    (line,) = refused(command, "wrong.toml")
    assert line.startswith("wrong.toml:3: not valid TOML: ")


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("training.steps", "--set training.steps: expected KEY=VALUE, such as sde.beta_max=15"),
        ("=3", "--set =3: expected KEY=VALUE, such as sde.beta_max=15"),
        ("sampling.count=0", "--set sampling.count=0: sampling.count = 0: must be >= 1"),
        ("experiment.seed=-1", "--set experiment.seed=-1: experiment.seed = -1: must be >= 0"),
        ("sampling.steps=many", '--set sampling.steps=many: sampling.steps = "many" is a string, expected an integer'),
        ("training.learning_rate=nan", "--set training.learning_rate=nan: training.learning_rate = nan: must be finite"),
        ("run.device=cuda:9", "run.device = 'cuda:9': expected auto, cpu, cuda or mps"),
        ("run.device=mps", "run.device = 'mps' is not available here: take auto or cpu"),
        ("sde.use=vq", '--set sde.use=vq: sde.use = "vq": unknown sde "vq". Registered: sub_vp, ve, vp'),
        ("training.keep=best", 'tiny.toml:20: training: keep = "best" chooses by the validation loss: it needs validation > 0'),
        ("training.validation=0.01", "training.validation = 0.01: keeps none of the 40 training items for validation: take another share"),
        ("training.validation=0.999", "training.validation = 0.999: keeps all of the 40 training items for validation: take another share"),
        ("training.flip=true", "training.flip = true: data 'gaussian_mixture' of shape (3,) are no pictures (1 or 3 channels, H, W)"),
        ("experiment.name=../up", '--set experiment.name=../up: experiment.name = "../up": must be a name that a folder can have'),
        ("sampling.start=uniform", 'sampling.start = "uniform": data \'gaussian_mixture\' have no range to start in; take "prior"'),
        ("model.use=ddpmpp", "model 'ddpmpp': "),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(refused: Refused, setting: str, error: str) -> None:
    (line,) = refused("run", "tiny.toml", "--set", setting)
    assert line.startswith(error)


def test_a_classifier_of_data_without_labels(refused: Refused) -> None:
    np.save("points.npy", np.zeros((40, 3), dtype=np.float32))
    Path("wrong.toml").write_text('extends = "tiny.toml"\n[data]\nuse = "arrays"\nfile = "points.npy"\n', "utf-8")
    lines = refused("run", "wrong.toml", "--set", "evaluation.classifier=true")
    assert lines == ["evaluation.classifier = true: data 'arrays' have no labels"]


def test_a_graphics_card_that_is_not_there(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert refused("run", "tiny.toml", "--set", "run.device=cuda") == ["run.device = 'cuda' is not available here: take auto or cpu"]


CUBIC = """\
import attrs
import torch
from scoresde.core import SDE, option
from scoresde.registry import hookimpl

scoresde_api = 1


@attrs.frozen(kw_only=True)
class Cubic(SDE):
    name = "cubic"
    sampling_end = 1e-3
    levels: int = option(1000, at_least=2)
    t_min: float = option(1e-5, above=0)

    def drift(self, x, t):
        return -(x**3)

    def diffusion(self, t):
        return 1.0

    def marginal(self, x0, t):
        return x0, t

    def prior_sample(self, shape, noise, *, dtype=torch.float32, device="cpu"):
        return noise.normal(shape, dtype=dtype, device=device)

    def prior_log_prob(self, z):
        return z.flatten(1).sum(1)


@hookimpl
def components():
    return [Cubic]
"""


def test_a_method_that_needs_a_linear_sde_refuses_another(refused: Refused) -> None:
    Path("cubic.py").write_text(CUBIC, "utf-8")
    (line,) = refused(
        "run", "tiny.toml", "--plugin", "cubic.py", "--set", "sde.use=cubic", "--set", "sampling.predictor.use=ancestral",
    )  # fmt: skip
    assert line == (
        "--set sampling.predictor.use=ancestral: sampling.predictor: ancestral needs a LinearSDE;"
        ' "cubic" is not one'
    )  # fmt: skip


def test_a_dequantisation_that_needs_a_linear_sde_refuses_another(refused: Refused) -> None:
    Path("cubic.py").write_text(CUBIC, "utf-8")
    using = ("--plugin", "cubic.py", "--set", "sde.use=cubic", "--set", "likelihood.dequantisation=truncated_normal")
    (line,) = refused("run", "tiny.toml", *using)
    assert line == (
        '--set likelihood.dequantisation=truncated_normal: likelihood.dequantisation = "truncated_normal": needs a LinearSDE;'
        ' "cubic" is not one'
    )


def test_a_projection_refuses_the_adaptive_ode(refused: Refused) -> None:
    (line,) = refused("run", "small-digits.toml", "--set", "sampling.predictor.use=ode")
    assert line == (
        "small-digits.toml:19: sampling: predictor 'ode' cannot carry a projection, which would jump inside its steps:"
        " take another predictor"
    )  # fmt: skip


def test_a_plugin_that_failed_to_load_is_named_with_its_reason(refused: Refused, broken: None) -> None:
    (line,) = refused("run", "tiny.toml", "--set", "sampling.predictor.use=broken-samplers:heun")
    assert line.startswith(
        '--set sampling.predictor.use=broken-samplers:heun: sampling.predictor.use = "broken-samplers:heun":'
        ' no predictor "broken-samplers:heun": Failed to load: '
    )
    assert "no good today" in line
    (line,) = refused("run", "tiny.toml", "--set", "sampling.predictor.use=milstein")
    assert 'unknown predictor "milstein"' in line
    assert "no good today" in line


def test_a_plugin_file_that_is_wrong_is_named_with_its_line(refused: Refused) -> None:
    Path("wrong.py").write_text("import attrs\n\nraise RuntimeError('not today')\n", "utf-8")
    (line,) = refused("run", "tiny.toml", "--plugin", "wrong.py")
    assert line.startswith("wrong.py:3: ")
    assert "not today" in line
    (line,) = refused("run", "tiny.toml", "--plugin", "nothing.py")
    assert line == "nothing.py: cannot read this plugin file (No such file or directory)"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (("data.use=image_folder", "data.root=nowhere", "data.size=8"), "data 'image_folder': image_folder: there is no folder {}/nowhere"),
        (
            ("data.use=torchvision", "data.collection=MNIST", "data.root=nowhere"),
            "data 'torchvision': MNIST is not (or not whole) in {}/nowhere: looked for {}/nowhere/MNIST/raw",
        ),
        (("data.use=arrays", "data.file=nothing.npy"), "data 'arrays': "),
    ],
)
def test_data_that_are_not_there_are_refused_before_anything_is_written(
    refused: Refused, folder: Path, settings: tuple[str, ...], error: str
) -> None:
    (line,) = refused("run", "tiny.toml", *(part for setting in settings for part in ("--set", setting)))
    assert line.startswith(error.format(folder, folder))


def test_a_checkpoint_is_looked_at_before_the_data(refused: Refused, folder: Path) -> None:
    command = ("--experiment", "cifar10/ve-ncsnpp-continuous", "--out", "imported", "--set", "data.root=nowhere")
    assert refused("import", "lost.pth", *command) == ["lost.pth: No such file or directory"]
    state = {"model": {}, "ema": {}, "optimizer": {}, "step": 1}
    torch.save(state, "checkpoint.pth")
    (line,) = refused("import", "checkpoint.pth", *command)
    assert line.startswith(f"data 'torchvision': CIFAR10 is not (or not whole) in {folder}/nowhere: ")


def test_the_right_root_after_a_wrong_one_needs_no_new_folder(refused: Refused, done: Command) -> None:
    refused("run", "tiny.toml", "--set", "data.use=arrays", "--set", "data.file=nothing.npy")
    done("train", "tiny.toml")


def test_a_model_that_has_to_be_trained_first(refused: Refused) -> None:
    for command in ("sample", "likelihood"):
        assert refused(command, "tiny.toml") == [
            "tiny.toml has to be trained first: scoresde train tiny.toml, and then name its run's folder, such as runs/tiny"
        ]


def test_a_command_without_its_table(refused: Refused) -> None:
    text = Path("tiny.toml").read_text()
    Path("less.toml").write_text(text[: text.index("[training]")], "utf-8")
    assert refused("sample", "less.toml") == ["tiny: scoresde sample needs the table [sampling], which the experiment does not have"]
    assert refused("likelihood", "less.toml") == [
        "tiny: scoresde likelihood needs the table [likelihood], which the experiment does not have"
    ]
    for command in ("run", "train"):
        assert refused(command, "less.toml") == ["model 'mlp' has to be trained: the experiment has no table [training]"]


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (("run",), "Error: Missing argument 'EXPERIMENT'."),
        (("frobnicate",), "Error: No such command 'frobnicate'."),
    ],
)
def test_a_misused_command_says_how_it_is_used(refused: Refused, arguments: tuple[str, ...], last: str) -> None:
    lines = refused(*arguments)
    assert lines[0].startswith("Usage: ")
    assert lines[-1].rstrip(".") == last.rstrip(".")


def test_an_option_without_its_value(refused: Refused) -> None:
    assert refused("run", "tiny.toml", "--set")[-1] == "Error: Option '--set' requires an argument."


def test_an_unexpected_error_keeps_its_traceback(scoresde: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ZeroDivisionError, TypeError, KeyError):
        monkeypatch.setattr("scoresde.core.stages.training_stage", lambda workspace, error=error: (_ for _ in ()).throw(error("a mistake")))
        with pytest.raises(error):
            scoresde("train", "tiny.toml", "--out", error.__name__)
