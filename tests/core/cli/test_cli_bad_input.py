"""Wrong input: exit status 2, one line for each error, no traceback, and nothing written or changed."""

import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

Command = Callable[..., Result]
Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def refused(scoresde: Command, tree: Tree, folder: Path) -> Callable[..., list[str]]:
    """The lines of the error with which a command is refused."""

    def lines(*arguments: str) -> list[str]:
        before = tree(folder)
        result = scoresde(*arguments)
        assert (result.exit_code, result.stdout) == (2, ""), result.stderr
        assert tree(folder) == before
        return result.stderr.splitlines()

    return lines


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
        ("experiment.name=../up", '--set experiment.name=../up: experiment.name = "../up": must be a name that a folder can have'),
        ("evaluation.classifier=true", "evaluation.classifier = true: data 'gaussian_mixture' have no labels"),
        ("model.use=ddpmpp", "model 'ddpmpp': "),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(refused: Refused, setting: str, error: str) -> None:
    (line,) = refused("run", "tiny.toml", "--set", setting)
    assert line.startswith(error)


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
    (line,) = refused("run", "tiny.toml", "--set", "sampling.predictor.use=heun")
    assert 'unknown predictor "heun"' in line
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


def test_the_right_root_after_a_wrong_one_needs_no_new_folder(refused: Refused, done: Command) -> None:
    refused("run", "tiny.toml", "--set", "data.use=arrays", "--set", "data.file=nothing.npy")
    done("train", "tiny.toml")


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


def test_weights_of_another_model_are_refused_with_names_and_shapes(refused: Refused, done: Command) -> None:
    done("run", "tiny.toml")
    (line,) = refused("sample", "runs/tiny", "--set", "model.width=16")
    assert line.startswith("runs/tiny/weights.safetensors: the checkpoint is of another model: size mismatch for ")
    (line,) = refused("sample", "runs/tiny", "--set", "model.depth=3")
    assert re.match(r"runs/tiny/weights\.safetensors: the checkpoint is of another model: \S+ is missing; ", line)


def test_weights_that_are_damaged_or_not_there(refused: Refused, done: Command) -> None:
    done("run", "tiny.toml")
    weights = Path("runs/tiny/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-3])
    (line,) = refused("sample", "runs/tiny")
    assert line.startswith("runs/tiny/weights.safetensors: the weights cannot be read: ")
    weights.unlink()
    assert refused("likelihood", "runs/tiny") == ["runs/tiny holds no weights yet: scoresde train runs/tiny --resume makes them"]


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


def test_facts_of_a_run_that_are_damaged(refused: Refused, done: Command) -> None:
    done("train", "tiny.toml")
    Path("runs/tiny/run.json").write_text('{"versions": {', "utf-8")
    (line,) = refused("run", "tiny.toml", "--resume")
    assert line.startswith("runs/tiny/run.json: not valid JSON: ")


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


SILENT = """\
import attrs
import torch
from scoresde.core import ScoreModel
from scoresde.registry import hookimpl

scoresde_api = 1


class Network(torch.nn.Module):
    def forward(self, x, t):
        return torch.where(t.reshape(-1, *[1] * (x.ndim - 1)) < 0.5, float("nan"), -x)


@attrs.frozen(kw_only=True)
class Silent(ScoreModel):
    name = "silent"
    trainable = False

    def build(self, sde, spec):
        return Network()

    def prediction(self, sde):
        return "score"

    def time(self, sde):
        return "t"


@hookimpl
def components():
    return [Silent]
"""


def test_a_network_that_gives_no_numbers_stops_sampling_and_likelihood_with_status_3(scoresde: Command) -> None:
    Path("silent.py").write_text(SILENT, "utf-8")
    using = ("--plugin", "silent.py", "--set", "model.use=silent", "--quiet")
    result = scoresde("sample", "tiny.toml", *using)
    assert (result.exit_code, result.stdout) == (3, "")
    assert re.fullmatch(r"sampler PredictorCorrector\(.*\): the state is not finite at step 4 of 4, t = 0\.001\n", result.stderr)
    result = scoresde("likelihood", "tiny.toml", *using, "--out", "there")
    assert (result.exit_code, result.stdout) == (3, "")
    assert re.fullmatch(
        r"likelihood 'probability_flow', items 0 to 3: the ODE's right-hand side is not finite near t = .*\n", result.stderr
    )


def test_a_solver_at_its_limit_stops_with_what_to_do(scoresde: Command) -> None:
    result = scoresde("run", "tiny.toml", "--set", "likelihood.max_nfe=8", "--set", "likelihood.rtol=1e-6", "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "likelihood ProbabilityFlow(divergence='rademacher', draws=1, rtol=1e-06, atol=0.01, max_nfe=8)"
        " stopped at its limit of evaluations: raise max_nfe or the tolerances\n"
    )


def test_a_map_with_points_that_the_solver_gives_up_is_drawn(done: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The items are evaluated well within the limit; of the points around them, some are not."""
    from scoresde.core.stages import likelihood

    drawn: list[torch.Tensor] = []
    draw = likelihood.density_map
    monkeypatch.setattr(likelihood, "density_map", lambda path, values, *rest: (drawn.append(values), draw(path, values, *rest)))
    settings = ("data.count=60", "sampling.count=4", "sampling.steps=4", "likelihood.count=4", "likelihood.max_nfe=44")
    loose = ("likelihood.rtol=0.01", "likelihood.atol=0.01", "run.chunk=4")
    done("run", "mixture-2d", *(part for setting in (*settings, *loose) for part in ("--set", setting)))
    assert Path("runs/mixture-2d/likelihood.png").stat().st_size > 10_000
    assert 0 < int(drawn[0].isnan().sum()) < drawn[0].numel()
