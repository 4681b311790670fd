"""Every class of error, with its exact message and line; and what a correct file gives."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli

from scoresde.plugins.sde.vp import VP

Refusals = Callable[..., list[str]]
Loads = Callable[..., Any]

TRAINING = (
    "steps, batch, accumulate, learning_rate, schedule, warmup, clip, betas, weight_decay, skip_limit, ema, ema_ramp, dequantise, flip,"
    " validation, validate_every, checkpoint_every, snapshot_every, log_every, keep, precision, label_dropout, objective"
)
TABLES = "experiment, plugins, data, sde, model, training, classifier, sampling, likelihood, conditioning, evaluation, run"


def test_a_smallest_experiment_has_the_defaults(base: str, loaded: Loads) -> None:
    experiment = loaded(base)
    assert (experiment.experiment.name, experiment.experiment.seed, experiment.experiment.plugins) == ("points", 0, ())
    assert (experiment.plugins.prefer, experiment.sde, experiment.model.name) == ((), VP(), "constant")
    assert {experiment.training, experiment.sampling, experiment.likelihood, experiment.conditioning, experiment.evaluation} == {None}
    assert (experiment.run.device, experiment.run.precision, experiment.run.chunk) == ("auto", "float32", 64)


def test_tables_that_are_there_take_the_built_in_defaults(base: str, loaded: Loads) -> None:
    experiment = loaded(base + '[training]\nsteps = 3\n[sampling]\n[likelihood]\n[conditioning]\nuse = "mask"\n[evaluation]\n')
    training, sampling, likelihood = experiment.training, experiment.sampling, experiment.likelihood
    assert (training.objective.name, training.batch, training.learning_rate, training.betas) == ("score_matching", 128, 2e-4, (0.9, 0.999))
    assert (training.schedule, training.warmup, training.clip, training.weight_decay, training.ema) == ("constant", 0, 1.0, 0.0, 0.999)
    assert (training.dequantise, training.validation, training.validate_every, training.keep) == (True, 0.0, 0, "last")
    assert (training.checkpoint_every, training.log_every) == (500, 50)
    assert (sampling.grid, sampling.sampler.name, sampling.count, sampling.steps) == (None, "predictor_corrector", 64, 500)
    assert (sampling.denoise, sampling.sampler.predictor.shift, sampling.sampler.corrector) == ("mean", 0.5, None)
    assert (likelihood.method.name, likelihood.count, likelihood.split, likelihood.dequantisations) == ("probability_flow", None, "test", 1)
    assert (experiment.conditioning.conditioner.name, experiment.conditioning.count) == ("mask", 8)
    assert experiment.evaluation.classifier is False


def test_false_leaves_out_what_may_be_missing(base: str, loaded: Loads) -> None:
    """A table of the experiment, or an optional component in one; other values are not taken for it."""
    walk = '[sampling]\ncorrector = { use = "langevin" }\n'
    assert loaded(base + walk).sampling.sampler.corrector is not None
    assert loaded(base + walk, "sampling.corrector=false", "sampling.grid=false").sampling.sampler.corrector is None
    assert loaded(base + '[conditioning]\nuse = "mask"\n', "conditioning=false").conditioning is None
    assert loaded("conditioning = false\n" + base).conditioning is None


def test_an_inline_component_shares_its_table_with_settings(base: str, loaded: Loads) -> None:
    correctors = '[[sampling.correctors]]\nuse = "langevin"\n[[sampling.correctors]]\nuse = "langevin"\nsnr = 0.2\n'
    text = '[sampling]\ncount = 3\nuse = "chain"\nhigh = 5\n' + correctors
    sampling = loaded(base + text).sampling
    assert (sampling.count, sampling.sampler.name, sampling.sampler.high) == (3, "chain", 5.0)
    assert [corrector.snr for corrector in sampling.sampler.correctors] == [0.16, 0.2]


def test_a_table_without_use_changes_the_default_component(base: str, loaded: Loads) -> None:
    predictor = loaded(base + "[sampling]\npredictor = { probability_flow = true }\n").sampling.sampler.predictor
    assert (predictor.name, predictor.probability_flow, predictor.shift) == ("euler", True, 0.5)
    assert loaded(base + '[sampling]\npredictor = { use = "euler" }\n').sampling.sampler.predictor.shift == 0.0


def test_an_integer_passes_for_a_number(base: str, loaded: Loads) -> None:
    mean = loaded(base.replace("[sde]", "mean = [1, 2]\n[sde]")).data.mean
    assert mean == (1.0, 2.0)
    assert [type(value) for value in mean] == [float, float]


TYPES = [
    ('[experiment]\nname = "a"\nseed = "high"', 'experiment.seed = "high" is a string, expected an integer'),
    ('[experiment]\nname = "a"\nseed = 1.0', "experiment.seed = 1.0 is a float, expected an integer"),
    ('[experiment]\nname = "a"\nseed = true', "experiment.seed = true is a boolean, expected an integer"),
    ('[experiment]\nname = "a"\nseed = 9223372036854775808', "experiment.seed = 9223372036854775808: must fit in 64 bits"),
    ("[experiment]\n\nname = 5", "experiment.name = 5 is an integer, expected a string"),
    ('[experiment]\n\nname = ".."', 'experiment.name = "..": must be a name that a folder can have'),
    ('[experiment]\nname = "a"\nseed = -1', "experiment.seed = -1: must be >= 0"),
    ('[evaluation]\n\nclassifier = "false"', 'evaluation.classifier = "false" is a string, expected true or false'),
    ("[evaluation]\n\nclassifier = 0", "evaluation.classifier = 0 is an integer, expected true or false"),
    ('[sde]\nuse = "vp"\nbeta_max = "0.3"', 'sde.beta_max = "0.3" is a string, expected a number'),
    ('[sde]\nuse = "vp"\nbeta_max = true', "sde.beta_max = true is a boolean, expected a number"),
    ('[sde]\nuse = "vp"\nbeta_max = 2020-01-01', "sde.beta_max = 2020-01-01 is a date, expected a number"),
    ('[sde]\nuse = "vp"\nbeta_max = nan', "sde.beta_max = nan: must be finite"),
    ('[sde]\nuse = "vp"\nbeta_max = -inf', "sde.beta_max = -inf: must be finite"),
    ('[sde]\nuse = "vp"\nbeta_max = [1]', "sde.beta_max = [1] is an array, expected a number"),
    ('[sde]\nuse = "vp"\nbeta_min = -3.0', "sde.beta_min = -3.0: must be > 0"),
    ('[sde]\nuse = "vp"\nt_min = 1', "sde.t_min = 1: must be > 0 and < 1"),
    ('[sde]\nuse = "vp"\nbeta_mn = 0.2', 'sde.beta_mn = 0.2: unknown option of sde "vp" (scoresde).'
     " Did you mean beta_min? Valid: beta_min, beta_max, levels, t_min"),
    ('[data]\nuse = "points"\nroot = 3', "data.root = 3 is an integer, expected a path"),
    ('[data]\nuse = "points"\nshape = 3', "data.shape = 3 is an integer, expected an array of integers"),
    ('[data]\nuse = "points"\nshape = [3, 1.5]', "data.shape[1] = 1.5 is a float, expected an integer"),
    ('[data]\nuse = "points"\nshape = [\n3,\n0]', "data.shape[1] = 0: must be >= 1"),
    ('[data]\nuse = "points"\nmean = [1]', "data.mean = [1] has 1 element, expected an array of 2 numbers"),
    ('[data]\nuse = "points"\nmean = [1, 2, 3]', "data.mean = [1, 2, 3] has 3 elements, expected an array of 2 numbers"),
    ('[data]\nuse = "points"\nmean = [1, [2]]', "data.mean[1] = [2] is an array, expected a number"),
    ('[sampling]\n\ndenoise = "men"', 'sampling.denoise = "men": must be one of false, "mean", "tweedie", "flow", "reverse_diffusion".'
     " Did you mean mean?"),
    ("[sampling]\n\ndenoise = 0", 'sampling.denoise = 0: must be one of false, "mean", "tweedie", "flow", "reverse_diffusion"'),
    ("[sampling]\n\nstps = 3", 'sampling.stps = 3: unknown option of [sampling] and its sampler "predictor_corrector" (scoresde).'
     " Did you mean steps? Valid: count, steps, evaluations, denoise, start, grid, predictor, corrector"),
    ('[sampling]\n\npredictor = "euler"', 'sampling.predictor = "euler" is a string, expected a predictor: { use = "euler" }'),
    ("[sampling]\n\npredictor = 3", "sampling.predictor = 3 is an integer, expected a predictor: { use = ... }"),
    ("[sampling]\n\npredictor = { use = 3 }", "sampling.predictor.use = 3 is an integer, expected a string"),
    ('[sampling]\n\npredictor = { use = "eulr" }', 'sampling.predictor.use = "eulr": unknown predictor "eulr".'
     " Did you mean euler? Registered: euler, exact"),
    ("[sampling]\n\ncorrector = { snr = 0.2 }", "sampling.corrector.use: missing, expected the name of a corrector: langevin"),
    ('[sampling]\n\ncorrector = { use = "langevin", snr = 2 }', "sampling.corrector.snr = 2: must be > 0 and < 1"),
    ("[sampling.grid]\n\nends = 3", 'sampling.grid.ends = 3: unknown option of grid "uniform" (scoresde). It has none'),
    ('[sampling]\nuse = "chain"\ncorrectors = [{ use = "langevin" }, { use = "langevin", snr = "x" }]',
     'sampling.correctors[1].snr = "x" is a string, expected a number'),
    ("[training]\nsteps = 3\nobjective.weighting = 1", "training.objective.weighting = 1 is an integer, expected true or false"),
    ("[training]\nsteps = 3\nsteps_ = 3", "training.steps_ = 3: unknown option of [training]. Did you mean steps? Valid: " + TRAINING),
    ("[training]\nsteps = 3\n\"a b\" = 3", 'training."a b" = 3: unknown option of [training]. Valid: ' + TRAINING),
]  # fmt: skip


@pytest.mark.parametrize(("table", "problem"), TYPES)
def test_one_wrong_value(table: str, problem: str, base: str, refused: Refusals) -> None:
    """Each wrong value stands in the third line of its table."""
    Path("base.toml").write_text(base)
    assert refused(f'extends = "base.toml"\n{table}\n') == [f"exp.toml:4: {problem}"]


def test_a_long_value_is_cut(base: str, refused: Refusals) -> None:
    assert refused(base + f'[run]\nchunk = "{"x" * 200}"\n') == [
        f'exp.toml:13: run.chunk = "{"x" * 76}... is a string, expected an integer',
    ]


def test_what_is_missing_is_asked_for_at_the_header(base: str, refused: Refusals) -> None:
    assert refused("\n[experiment]\nseed = 1\n[data]\n[model]\nuse = 'constant'\n[training]\n[conditioning]\n") == [
        "exp.toml:1: [sde]: missing, every experiment has this table",
        "exp.toml:2: experiment.name: missing, expected a string",
        "exp.toml:4: data.use: missing, expected the name of a dataset: points",
        "exp.toml:7: training.steps: missing, expected an integer",
        "exp.toml:8: conditioning.use: missing, expected the name of a conditioner: mask",
    ]


def test_top_level(base: str, refused: Refusals) -> None:
    assert refused('seed = 3\nexperiments.name = "x"\n' + base) == [
        f"exp.toml:1: seed = 3: unknown key outside the tables. Valid: {TABLES}",
        f"exp.toml:2: [experiments]: unknown table. Did you mean experiment? Valid: {TABLES}",
    ]
    assert refused("sde = 3\ntraining = 4\n" + base.replace('[sde]\nuse = "vp"', "")) == [
        "exp.toml:1: sde = 3 is an integer, expected an sde: { use = ... }",
        "exp.toml:2: training = 4 is an integer, expected a table",
    ]


def test_parts_that_contradict_each_other_are_reported_at_the_header(base: str, refused: Refusals) -> None:
    text = base.replace('"vp"', '"vp"\nbeta_min = 20.0') + '[training]\nsteps = 1\nkeep = "best"\n'
    assert refused(text + '[sampling]\ncount = 1\nuse = "chain"\nlow = 2.0\n') == [
        "exp.toml:7: sde: beta_min = 20.0 must be less than beta_max = 20.0",
        'exp.toml:13: training: keep = "best" chooses by the validation loss: it needs validation > 0',
        "exp.toml:16: sampling: low = 2.0 must be less than high = 1.0",
    ]


def test_all_errors_come_at_once_in_the_order_of_the_file(refused: Refusals) -> None:
    text = """\
[experiment]
name = 3
[training]
steps = 0
betas = [
  0.9,
  "x",
]
[sde]
use = "vp"
beta_mn = 0.2
levels = 1
[run]
chunk = 0
[data]
use = "pints"
[sampling]
grid = { use = "uniform", end = 0.1 }
[model]
use = "constant"
dropout = 1.0
"""
    assert refused(text, "run.device=3") == [
        "exp.toml:2: experiment.name = 3 is an integer, expected a string",
        "exp.toml:4: training.steps = 0: must be >= 1",
        'exp.toml:5: training.betas[1] = "x" is a string, expected a number',
        'exp.toml:11: sde.beta_mn = 0.2: unknown option of sde "vp" (scoresde).'
        " Did you mean beta_min? Valid: beta_min, beta_max, levels, t_min",
        "exp.toml:12: sde.levels = 1: must be >= 2",
        "exp.toml:14: run.chunk = 0: must be >= 1",
        'exp.toml:16: data.use = "pints": unknown dataset "pints". Did you mean points? Registered: points',
        'exp.toml:18: sampling.grid.end = 0.1: unknown option of grid "uniform" (scoresde). It has none',
        "exp.toml:21: model.dropout = 1.0: must be >= 0 and < 1",
        "--set run.device=3: run.device = 3 is an integer, expected a string",
    ]


def test_a_correct_file_is_parsed_once(base: str, loaded: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    parse = tomli.loads
    monkeypatch.setattr(tomli, "loads", lambda text: texts.append(text) or parse(text))
    loaded(base)
    assert texts == [base]


def test_core_does_not_import_the_built_in_components() -> None:
    code = "import sys, scoresde.core.experiment; print([name for name in sys.modules if name.startswith('scoresde.plugins')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
