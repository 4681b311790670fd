"""``extends`` and ``--set``: what wins, and where an error then points."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoresde.core.experiment import load
from scoresde.core.experiment.finding import shipped_file
from scoresde.registry import Registry

Refusals = Callable[..., list[str]]
Loads = Callable[..., Any]

SAMPLING = """
[sampling]
count = 5
steps = 7
predictor = { use = "euler", probability_flow = true, shift = 2.0 }
corrector = { use = "langevin", snr = 0.3 }
"""


@pytest.fixture
def based(base: str) -> str:
    Path("base.toml").write_text(base + SAMPLING)
    return 'extends = "base.toml"\n'


def test_tables_merge_by_key(based: str, loaded: Loads) -> None:
    experiment = loaded(based + "[sde]\nbeta_max = 15\n[experiment]\nseed = 3\n[sampling]\nsteps = 9\n")
    assert (experiment.sde.name, experiment.sde.beta_max, experiment.sde.beta_min) == ("vp", 15.0, 0.1)
    assert (experiment.experiment.name, experiment.experiment.seed) == ("points", 3)
    assert (experiment.sampling.count, experiment.sampling.steps) == (5, 9)
    assert experiment.sampling.sampler.predictor.shift == 2.0


def test_arrays_replace(based: str, loaded: Loads) -> None:
    Path("middle.toml").write_text(based + "[data]\nshape = [4, 5, 6]\n")
    assert loaded('extends = "middle.toml"\n[data]\nshape = [3]\n').data.shape == (3,)


def test_a_table_whose_use_changes_replaces_the_old_one_whole(based: str, loaded: Loads) -> None:
    Path("middle.toml").write_text(based + "[sde]\nbeta_max = 15\n")
    experiment = loaded('extends = "middle.toml"\n[sde]\nuse = "ve"\nsigma_max = 30.0\n[sampling]\npredictor.use = "exact"\n')
    assert (experiment.sde.name, experiment.sde.sigma_max) == ("ve", 30.0)
    assert experiment.sampling.sampler.predictor.name == "exact"
    assert experiment.sampling.sampler.corrector.snr == 0.3


def test_the_same_use_keeps_the_table(based: str, loaded: Loads) -> None:
    experiment = loaded(based + '[sampling]\nuse = "scoresde:predictor_corrector"\npredictor = { use = "scoresde:euler", shift = 3.0 }\n')
    assert (experiment.sampling.sampler.predictor.probability_flow, experiment.sampling.sampler.predictor.shift) == (True, 3.0)
    assert experiment.sampling.sampler.corrector.snr == 0.3


def test_the_settings_of_a_table_outlive_its_component(based: str, loaded: Loads) -> None:
    experiment = loaded(based + '[sampling]\nuse = "chain"\nhigh = 2.0\n')
    assert (experiment.sampling.sampler.name, experiment.sampling.sampler.high) == ("chain", 2.0)
    assert (experiment.sampling.count, experiment.sampling.steps) == (5, 7)


def test_a_named_default_counts_as_the_old_use(base: str, refused: Refusals) -> None:
    Path("base.toml").write_text(base + "[training]\nsteps = 1\nobjective = { weighting = true }\n")
    assert refused('extends = "base.toml"\n[training]\nobjective.use = "other"\n') == [
        'exp.toml:3: training.objective.use = "other": unknown objective "other". Registered: score_matching'
    ]


def test_errors_point_to_the_file_that_set_the_value(base: str, refused: Refusals) -> None:
    Path("sub").mkdir()
    Path("sub/base.toml").write_text('extends = "../root.toml"\n[sde]\nbeta_max = "far"\nbeta_min = 0\n')
    Path("root.toml").write_text(base + "levels = 0\n[run]\nchunk = 0\n")
    assert refused('extends = "sub/base.toml"\n[sde]\nbeta_min = -1.0\nlevels = 1\n') == [
        "exp.toml:3: sde.beta_min = -1.0: must be > 0",
        "exp.toml:4: sde.levels = 1: must be >= 2",
        'sub/base.toml:3: sde.beta_max = "far" is a string, expected a number',
        'root.toml:12: model.levels = 0: unknown option of model "constant" (scoresde). Valid: channels, dropout',
        "root.toml:14: run.chunk = 0: must be >= 1",
    ]


def test_relative_paths_belong_to_the_file_that_sets_them(base: str, loaded: Loads, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    Path("sub").mkdir()
    Path("sub/base.toml").write_text(base.replace("[sde]", 'root = "../data"\n[sde]'))
    extending = 'extends = "sub/base.toml"\n'
    assert loaded(extending).data.root == folder / "data"
    assert loaded(extending + '[data]\nroot = "data"\n').data.root == folder / "data"
    assert loaded(extending + '[data]\nroot = "/data/./x"\n').data.root == Path("/data/x")
    assert loaded(extending + '[data]\nroot = "~/data"\n').data.root == Path("/home/somebody/data")
    assert loaded(extending, "data.root=elsewhere").data.root == folder / "elsewhere"


def test_extends_must_be_there(refused: Refusals) -> None:
    missing = 'exp.toml:2: extends = "bse.toml": no such file beside exp.toml, and no shipped experiment of that name.'
    assert refused('# first\nextends = "bse.toml"\n')[0].startswith(missing)
    assert refused("extends = 3\n") == ["exp.toml:1: extends = 3 is an integer, expected a string"]


def test_extends_in_a_circle(base: str, refused: Refusals) -> None:
    Path("other.toml").write_text('\nextends = "./exp.toml"\n')
    assert refused('extends = "other.toml"\n') == [
        'other.toml:2: extends = "./exp.toml": the files extend each other in a circle: exp.toml extends other.toml extends exp.toml'
    ]
    assert refused('extends = "exp.toml"\n') == [
        'exp.toml:1: extends = "exp.toml": the files extend each other in a circle: exp.toml extends exp.toml'
    ]


def test_overrides_are_toml_values_or_else_strings(based: str, loaded: Loads) -> None:
    experiment = loaded(
        based,
        "sde.beta_max=15",
        "data.shape=[3, 4]",
        "experiment.name=later",
        'run.device="cuda"',
        "data.mean = [1, 2.5]",
        "sampling.denoise=false",
    )
    assert (experiment.sde.beta_max, experiment.data.shape, experiment.experiment.name) == (15.0, (3, 4), "later")
    assert (experiment.run.device, experiment.data.mean, experiment.sampling.denoise) == ("cuda", (1.0, 2.5), False)


def test_an_override_of_an_element_leaves_the_others(based: str, loaded: Loads) -> None:
    assert loaded(based + "[data]\nmean = [1.0, 2.0]\n", "data.mean[1]=3.0").data.mean == (1.0, 3.0)
    half = load(shipped_file("digits-class-and-half"), Registry.discover(only=()), ["conditioning.parts[0].scale=3.5"]).experiment
    parts = half.conditioning.conditioner.parts
    assert (parts[0].scale, parts[0].name, parts[1].name, parts[1].operator.known) == (3.5, "class_guidance", "pgdm", "left")


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("data.mean[2]=1.0", "data.mean has no such element: its last is data.mean[1]"),
        ("data[0]=1", "data is a table, which has no elements"),
        ("data.shape[0]=1", "data.shape is not in the file, and so has no element to change: give the whole array"),
        ("data.mean[1].x[0]=1", "data.mean[1].x is not in the file, and so has no element to change: give the whole array"),
        ("data.mean[1].x=1", "data.mean[1] = { x = 1 } is a table, expected a number"),
        ("data.mean[-1]=1.0", "expected KEY=VALUE, such as sde.beta_max=15"),
    ],
)
def test_an_override_of_what_is_no_element(override: str, reason: str, based: str, refused: Refusals) -> None:
    assert refused(based + "[data]\nmean = [1.0, 2.0]\n", override) == [f"--set {override}: {reason}"]


def test_overrides_make_tables(based: str, loaded: Loads) -> None:
    assert loaded(based).likelihood is None
    experiment = loaded(based, "likelihood.rtol=1e-3", "sampling.corrector={ use = 'langevin', snr = 0.2 }")
    assert experiment.likelihood.method.rtol == 1e-3
    assert experiment.sampling.sampler.corrector.snr == 0.2


def test_the_last_override_wins_and_a_component_comes_before_its_options(based: str, loaded: Loads) -> None:
    assert loaded(based, "sde.beta_max=15", "sde.beta_max=16").sde.beta_max == 16.0
    experiment = loaded(based, "sde.sigma_max=30", "sampling.predictor.shift=4", "sde.use=ve", "sampling.predictor.use=euler")
    assert (experiment.sde.name, experiment.sde.sigma_max, experiment.sampling.sampler.predictor.shift) == ("ve", 30.0, 4.0)


def test_errors_point_to_the_override(based: str, refused: Refusals) -> None:
    overrides = ("sde.beta_max=abc", "sde.beta_min=0", "smapling.count=1", "experiment.name=5", "data.use=arrays")
    assert refused(based + "[sde]\nlevels = 1\n", *overrides) == [
        "exp.toml:3: sde.levels = 1: must be >= 2",
        "--set experiment.name=5: experiment.name = 5 is an integer, expected a string",
        '--set data.use=arrays: data.use = "arrays": unknown dataset "arrays". Registered: points',
        "--set sde.beta_min=0: sde.beta_min = 0: must be > 0",
        '--set sde.beta_max=abc: sde.beta_max = "abc" is a string, expected a number',
        "--set smapling.count=1: [smapling]: unknown table. Did you mean sampling?"
        " Valid: experiment, plugins, data, sde, model, training, classifier, sampling, likelihood, conditioning, evaluation, run",
    ]


@pytest.mark.parametrize("override", ["sde.beta_max", "=3", "sde..x=3", "a b=3", "[sde]=3"])
def test_malformed_overrides(override: str, based: str, refused: Refusals) -> None:
    assert refused(based + "[sde]\nlevels = 1\n", override) == [
        "exp.toml:3: sde.levels = 1: must be >= 2",
        f"--set {override}: expected KEY=VALUE, such as sde.beta_max=15",
    ]


def test_a_component_changed_on_the_command_line_is_asked_for_there(base: str, refused: Refusals) -> None:
    needed = "--set sampling.use=chain: sampling: low = 3.0 must be less than high = 1.0"
    assert refused(base + SAMPLING, "sampling.use=chain", "sampling.low=3") == [needed]
