"""What is written reads back as an equal experiment, and options are told in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from scoresde.core.experiment import (
    ClassifierTable,
    Conditioning,
    Description,
    Evaluation,
    Identity,
    LikelihoodTable,
    Plugins,
    Run,
    Sampling,
    Training,
    describe,
    dumps,
    load,
)
from scoresde.plugins.sde.vp import VP
from scoresde.registry import Registry

Loads = Callable[..., Any]

FULL = r"""
[experiment]
name = "a \"full\" one"
seed = 9223372036854775807
plugins = []

[plugins]
prefer = ["scoresde"]

[data]
use = "points"
root = "~/points"
shape = [3, 4]
mean = [1, -2.5e-7]

[sde]
use = "ve"
sigma_max = 378

[model]
use = "constant"
dropout = 0.1

[training]
steps = 3
betas = [0.9, 0.99]
keep = "best"
validation = 0.1
objective = { reduce = "sum" }

[sampling]
use = "chain"
denoise = false
grid = { use = "uniform" }
correctors = [{ use = "langevin" }, { use = "langevin", snr = 0.3 }]

[likelihood]
count = 3
rtol = 1e-3

[conditioning]
use = "mask"
known = "right"

[evaluation]
classifier = true

[run]
device = "cuda:1"
precision = "bf16"
"""


def test_what_is_written(base: str, registry: Registry) -> None:
    Path("exp.toml").write_text(base + "[sampling]\nsteps = 3\n")
    experiment, _ = load(Path("exp.toml"), registry)
    assert (
        dumps(experiment, registry)
        == """\
[experiment]
name = "points"
seed = 0
plugins = []

[plugins]
prefer = []

[data]
use = "scoresde:points"
shape = [
    2,
]
mean = [
    0.0,
    0.0,
]

[sde]
use = "scoresde:vp"
beta_min = 0.1
beta_max = 20.0
levels = 1000
t_min = 1e-05

[model]
use = "scoresde:constant"
channels = 8

[sampling]
count = 64
steps = 3
denoise = "mean"
start = "prior"
use = "scoresde:predictor_corrector"

[sampling.predictor]
use = "scoresde:euler"
probability_flow = false
shift = 0.5

[run]
device = "auto"
precision = "float32"
chunk = 64
trackers = []
"""
    )


@pytest.mark.parametrize("tables", ["", "[sampling]\n", "[training]\nsteps = 2\n[likelihood]\n", None])
def test_round_trip(tables: str | None, base: str, registry: Registry) -> None:
    Path("exp.toml").write_text(FULL if tables is None else base + tables)
    experiment, _ = load(Path("exp.toml"), registry)
    written = dumps(experiment, registry)
    Path("elsewhere").mkdir()
    Path("elsewhere/resolved.toml").write_text(written)
    again, _ = load(Path("elsewhere/resolved.toml"), registry)
    assert again == experiment
    assert dumps(again, registry) == written


def test_a_resolved_experiment_can_be_changed_by_plain_names(base: str, registry: Registry) -> None:
    Path("exp.toml").write_text(base.replace('"vp"', '"vp"\nbeta_max = 15.0'))
    Path("resolved.toml").write_text(dumps(load(Path("exp.toml"), registry).experiment, registry))
    assert load(Path("resolved.toml"), registry, ["sde.use=vp", "sde.beta_min=0.2"]).experiment.sde == VP(beta_min=0.2, beta_max=15.0)


def test_a_none_that_no_file_can_say(base: str, registry: Registry, loaded: Loads) -> None:
    experiment = loaded(base + "[training]\nsteps = 1\n")
    experiment = attrs.evolve(experiment, training=attrs.evolve(experiment.training, ema_ramp=None))
    with pytest.raises(ValueError, match=r"^ema_ramp of Training is None, which TOML cannot say, and its default is True$"):
        dumps(experiment, registry)


def test_options_in_words() -> None:
    assert describe(VP) == [
        Description("beta_min", "a number", "0.1", "> 0", "beta at t = 0"),
        Description("beta_max", "a number", "20.0", "> 0", "beta at t = 1"),
        Description("levels", "an integer", "1000", ">= 2", "N of the published discrete chain"),
        Description("t_min", "a number", "1e-05", "> 0 and < 1", "smallest time of training and likelihoods"),
    ]


def test_settings_in_words(registry: Registry) -> None:
    described = {row.name: row[1:4] for cls in (Identity, Training, Sampling, LikelihoodTable) for row in describe(cls) if row.help}
    assert described["name"] == ("a string", "required", "")
    assert described["plugins"] == ("an array of paths", "[]", "")
    assert described["betas"] == ("an array of 2 numbers", "[0.9, 0.999]", ">= 0 and < 1")
    assert described["clip"] == ("a number", "1.0", ">= 0")
    assert described["dequantise"] == ("true or false", "true", "")
    assert described["keep"] == ('"best", "last"', '"last"', "")
    assert described["objective"] == ("an objective", '{ use = "score_matching" }', "")
    assert described["denoise"] == ('false, "mean", "tweedie", "flow", "reverse_diffusion"', '"mean"', "")
    assert described["use"] == ("a likelihood", '"probability_flow"', "")
    assert described["count"] == ("an integer", "none", ">= 1")
    walk, chain = (registry.get("sampler", name) for name in ("predictor_corrector", "chain"))
    assert [row[1:3] for row in describe(walk)] == [("a predictor", '{ use = "euler" }'), ("a corrector", "none")]
    assert describe(chain)[0] == Description("correctors", "an array of correctors", "[]", "", "what acts in turn")


def test_every_setting_has_a_line_of_help() -> None:
    for cls in (Identity, Plugins, Training, ClassifierTable, Sampling, LikelihoodTable, Conditioning, Evaluation, Run):
        assert [row.name for row in describe(cls) if not row.help] == []
