"""scoresde likelihood: bounds of known probabilities, figures with their interval, chunks that are kept, and what is refused."""

import json
import math
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from scipy import stats

from scoresde.core.stages import densities

Command = Callable[..., Result]
Refused = Callable[..., list[str]]
Process = Callable[..., "subprocess.CompletedProcess[str]"]
Tree = Callable[[Path], dict[str, bytes]]

# A law on five levels whose density at t_min is known: normal around the middle of each bin, of which it fills three standard deviations.
LEVELS = """\
[experiment]
name = "levels"

[data]
use = "arrays"
file = "levels.npy"
levels = 5
test_share = 0.5
layout = "channels_first"

[sde]
use = "vp"
t_min = 0.0166

[model]
use = "gaussian_mixture"
weights = [1.0, 2.0, 4.0, 2.0, 1.0]
means = [[-0.8], [-0.4], [0.0], [0.4], [0.8]]
covariances = [[[0.0]], [[0.0]], [[0.0]], [[0.0]], [[0.0]]]

[likelihood]
divergence = "exact"

[run]
chunk = 4
"""
WEIGHTS = np.array([1.0, 2.0, 4.0, 2.0, 1.0]) / 10
MIDDLES = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])

NOISY = """\
import attrs
import torch
from scoresde.core import Likelihood, LogProb
from scoresde.registry import hookimpl

scoresde_api = 1


@attrs.frozen(kw_only=True)
class Noisy(Likelihood):
    name = "noisy"
    at_zero: bool = attrs.field(default=False)

    @property
    def corrects_start(self):
        return self.at_zero

    def log_prob(self, reverse, x, noise):
        value = noise.normal_like(x).double().flatten(1).sum(1)
        return LogProb(value, torch.full_like(value, 0.5), x, torch.full((len(x),), 300), torch.zeros(len(x)))

    def check(self, sde, dtype):
        if dtype != torch.float64:
            raise ValueError(f"needs float64, and {sde.name}'s score has {dtype}")

    def encode(self, reverse, x):
        raise ArithmeticError("gave up")

    def decode(self, reverse, z):
        return z


@hookimpl
def components():
    return [Noisy]
"""


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    generator = np.random.RandomState(0)
    np.save("levels.npy", generator.choice(5, size=(36, 1), p=WEIGHTS).astype(np.uint8))
    Path("levels.toml").write_text(LEVELS, "utf-8")
    Path("noisy.py").write_text(NOISY, "utf-8")


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def arrays(folder: str) -> dict[str, np.ndarray]:
    with np.load(Path(folder, "likelihood.npz")) as stored:
        return dict(stored)


def figures(folder: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads(Path(folder, "results.json").read_text())["figures"]}


def items() -> np.ndarray:
    """The held-out items."""
    stored = np.load("levels.npy")[:, 0]
    return stored[np.random.RandomState(0).permutation(36)[18:]]


B = 0.1 * 0.0166 + 0.5 * 19.9 * 0.0166**2
ALPHA, SIGMA = math.exp(-B / 2), math.sqrt(-math.expm1(-B))


def probabilities(scale: float) -> np.ndarray:
    """P(k) of each level at t_min, for bins that are ``scale`` times those of the data."""
    ends = stats.norm.cdf((scale * (MIDDLES[:, None, None] + np.array([-0.2, 0.2])) - ALPHA * MIDDLES[:, None]) / SIGMA)
    return ((ends[..., 1] - ends[..., 0]) * WEIGHTS).sum(1)


def test_the_truncated_normal_bound_of_data_on_levels_is_their_probability(done: Command) -> None:
    """Its slack is what the neighbours' tails bring; that of uniform noise is 0.6 nats, and importance weights take most of it away."""
    kinds = {
        "normal": ("likelihood.dequantisation=truncated_normal",),
        "uniform": ("likelihood.dequantisations=8",),
        "importance": ("likelihood.dequantisations=8", "likelihood.bound=importance"),
    }
    found = {}
    for name, values in kinds.items():
        done("likelihood", "levels.toml", "--out", name, *settings(*values))
        found[name] = arrays(name)["log_density"]
    scales = {"normal": ALPHA, "uniform": 1.0, "importance": 1.0}
    slack = {name: np.log(probabilities(scale)[items()] / (0.4 * scale)) - found[name] for name, scale in scales.items()}
    assert np.abs(slack["normal"]).max() < 0.06
    assert abs(slack["normal"].mean()) < 0.01
    tau = 0.2 / SIGMA
    divergence = -math.log(2 * tau) + 0.5 * math.log(2 * math.pi) + math.log(math.erf(tau / math.sqrt(2))) + tau**2 / 6
    error = slack["uniform"].std() / 18**0.5
    assert slack["uniform"].mean() == pytest.approx(divergence, abs=4 * error)
    assert (found["importance"] > found["uniform"]).all()
    assert 0 < slack["importance"].mean() < 0.4 * slack["uniform"].mean()


def test_figures_have_their_interval_and_protocol(done: Command) -> None:
    more = ("likelihood.dequantisation=truncated_normal", "likelihood.dequantisations=2", "likelihood.bound=importance")
    result = done("likelihood", "levels.toml", *settings(*more))
    bits, nats = (figures("runs/levels")[name] for name in ("bits_per_dim", "log_density_nats"))
    values = arrays("runs/levels")["bits_per_dim"]
    expected = stats.t.interval(0.95, 17, loc=values.mean(), scale=stats.sem(values))
    assert bits["value"] == pytest.approx(values.mean())
    assert bits["protocol"]["interval_95"] == pytest.approx(list(expected))
    within = f"(95 %: {expected[0]:.4g} to {expected[1]:.4g})"
    assert f"bits_per_dim = {bits['value']:.4g} ± {bits['std_error']:.2g} {within}" in result.stdout.splitlines()
    protocol = nats["protocol"]
    assert [protocol[key] for key in ("n", "dequantisation", "dequantisations", "bound", "levels")] == [
        18, "truncated_normal", 2, "importance", 5,
    ]  # fmt: skip


def test_data_without_levels_get_nats(done: Command) -> None:
    done("run", "tiny.toml")
    assert list(figures("runs/tiny")) == ["evaluations_per_sample", "log_density_nats"]
    protocol = figures("runs/tiny")["log_density_nats"]["protocol"]
    assert (protocol["dequantisation"], protocol["levels"]) == ("none", None)
    found = arrays("runs/tiny")
    assert sorted(found) == ["evaluations", "latent", "log_density", "status", "std_error"]
    assert np.isnan(found["std_error"]).all()  # of a single probe


def test_an_item_s_values_do_not_depend_on_how_many_there_are(done: Command) -> None:
    using = ("--plugin", "noisy.py", *settings("likelihood.use=noisy", "likelihood.dequantisations=3"))
    source = Path("levels.toml").read_text().replace('divergence = "exact"\n', "")
    Path("levels.toml").write_text(source, "utf-8")
    done("likelihood", "levels.toml", "--out", "all", *using)
    done("likelihood", "levels.toml", "--out", "some", *using, *settings("likelihood.count=7"))
    done(
        "likelihood", "levels.toml", "--out", "one", *using, *settings("likelihood.count=7", "likelihood.dequantisations=1", "run.chunk=3")
    )
    everything, some, one = (arrays(name) for name in ("all", "some", "one"))
    for name in ("log_density", "log_weights", "latent", "std_error"):
        assert (some[name] == everything[name][:7]).all(), name
    assert (one["log_weights"] == everything["log_weights"][:7, :1]).all()
    assert everything["evaluations"].tolist() == [900] * 18
    assert len(np.unique(everything["log_weights"])) == 3 * 18


def test_the_draws_of_an_importance_weighted_bound_share_the_noise_of_the_density(done: Command) -> None:
    source = Path("levels.toml").read_text().replace('divergence = "exact"\n', "")
    Path("levels.toml").write_text(source, "utf-8")
    using = ("--plugin", "noisy.py", *settings("likelihood.use=noisy", "likelihood.dequantisations=3", "likelihood.bound=importance"))
    done("likelihood", "levels.toml", *using)
    found = arrays("runs/levels")
    np.testing.assert_allclose(found["log_weights"], found["log_weights"][:, :1].repeat(3, 1), atol=1e-12)
    assert len(np.unique(found["log_weights"][:, 0])) == 18
    np.testing.assert_allclose(found["log_density"], found["log_weights"][:, 0] - math.log(0.4))
    np.testing.assert_allclose(found["std_error"], 0.5)


DRAWS = settings("likelihood.dequantisations=2", "likelihood.count=10")  # two draws of three chunks


def same(one: str, other: str) -> None:
    first, second = arrays(one), arrays(other)
    assert list(first) == list(second)
    assert all((first[key] == second[key]).all() for key in first)
    assert figures(one) == figures(other)


def test_an_evaluation_that_was_cut_goes_on_bit_for_bit_and_repeats_nothing(
    done: Command, scoresde: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("likelihood", "levels.toml", "--out", "straight", *DRAWS)
    calls, evaluate = [], densities.Evaluator.__call__

    def counted(self: Any, x: Any, noise: Any, chunk: Any) -> Any:
        calls.append(chunk.places[0])
        if len(calls) == 5:
            raise RuntimeError("cut short")
        return evaluate(self, x, noise, chunk)

    monkeypatch.setattr(densities.Evaluator, "__call__", counted)
    with pytest.raises(RuntimeError, match=r"^cut short$"):
        scoresde("likelihood", "levels.toml", "--out", "cut", *DRAWS)
    assert len(list(Path("cut/partial/likelihood").rglob("*.safetensors"))) == 4
    result = scoresde("likelihood", "cut", "--resume")
    assert calls == [0, 4, 8, 0, 4, 4, 8]
    assert result.stderr.splitlines()[-1].startswith("likelihood: item 20/20 (100 %), done in ")
    same("straight", "cut")
    assert not Path("cut/partial").exists()


KILLED_WHILE_WRITING = """\
import os, signal, torch
from pathlib import Path
torch.set_num_threads({threads})
replace = os.replace
def kill(source, target):
    if Path(target).name == "draw-001-chunk-000000.safetensors":
        os.kill(os.getpid(), signal.{signal})
    replace(source, target)
os.replace = kill
"""


def test_an_evaluation_killed_while_it_writes_a_chunk_goes_on_bit_for_bit(done: Command, process: Process) -> None:
    done("likelihood", "levels.toml", "--out", "straight", *DRAWS)
    before = KILLED_WHILE_WRITING.format(threads=torch.get_num_threads(), signal="SIGKILL")
    assert process(before, "likelihood", "levels.toml", "--out", "killed", *DRAWS).returncode == -signal.SIGKILL
    assert len(list(Path("killed/partial/likelihood").rglob("draw-*"))) == 3
    done("likelihood", "killed", "--resume")
    same("straight", "killed")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_stopped_evaluation_keeps_its_chunks_and_leaves_with_143(number: str, done: Command, process: Process) -> None:
    done("likelihood", "levels.toml", "--out", "straight", *DRAWS)
    before = KILLED_WHILE_WRITING.format(threads=torch.get_num_threads(), signal=number)
    stopped = process(before, "likelihood", "levels.toml", "--out", "stopped", "--quiet", *DRAWS)
    assert (stopped.returncode, stopped.stdout) == (143, "")
    assert stopped.stderr == "stopped with 3 of 6 chunks finished and saved: --resume goes on from there\n"
    assert all(path.name.startswith("draw-") for path in Path("stopped/partial/likelihood").rglob("*.safetensors"))
    done("likelihood", "stopped", "--resume")
    same("straight", "stopped")


def test_a_damaged_chunk_is_one_line(scoresde: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("scoresde.core.stages.likelihood.joined", lambda *all: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scoresde("likelihood", "levels.toml", *DRAWS)
    path = sorted(Path("runs/levels/partial/likelihood").rglob("*.safetensors"))[1]
    path.write_bytes(path.read_bytes()[:-9])
    result = scoresde("likelihood", "runs/levels", "--resume", "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    words = rf"{path}: cannot be read: .*; remove it, and --resume makes it again\n"
    assert re.fullmatch(words, result.stderr)


def test_settings_that_do_not_fit_the_data_are_refused(refused: Refused, done: Command) -> None:
    done("train", "tiny.toml")
    for setting, value in (("dequantisation=truncated_normal", "'truncated_normal'"), ("dequantisations=3", "3")):
        assert refused("likelihood", "runs/tiny", *settings(f"likelihood.{setting}")) == [
            f"likelihood.{setting.split('=')[0]} = {value}: data 'gaussian_mixture' have no levels to dequantise: leave it out"
        ]
    (line,) = refused("likelihood", "levels.toml", *settings("likelihood.bound=importance"))
    assert line.endswith('likelihood: bound = "importance" is of several draws: it needs dequantisations >= 2')


def test_a_method_that_asks_for_more_than_the_network_holds_is_refused(refused: Refused, done: Command) -> None:
    done("train", "tiny.toml")
    text = Path("tiny.toml").read_text().replace("rtol = 1e-2\natol = 1e-2\n", 'use = "noisy"\n')
    Path("noisy.toml").write_text(text, "utf-8")
    (line,) = refused("run", "noisy.toml", "--plugin", "noisy.py", "--out", "there")
    assert line == "likelihood 'noisy': needs float64, and vp's score has torch.float32"
    (line,) = refused("run", "noisy.toml", "--plugin", "noisy.py", "--out", "there", *settings("run.precision=bf16"))
    assert line == "likelihood 'noisy': needs float64, and vp's score has torch.bfloat16"


def test_a_tolerance_below_the_dtype_s_is_refused_before_any_work(refused: Refused, done: Command) -> None:
    done("train", "tiny.toml")
    for command in (("likelihood",), ("encode",)):
        lines = refused(*command, "runs/tiny", *settings("likelihood.rtol=1e-8"))
        assert lines == ["likelihood 'probability_flow': rtol = 1e-08 is less than float32 holds: take 1.2e-07 or more"]
    (line,) = refused("run", "tiny.toml", "--out", "there", *settings("run.precision=bf16", "likelihood.rtol=1e-4"))
    assert line == "likelihood 'probability_flow': rtol = 0.0001 is less than bfloat16 holds: take 7.8e-03 or more"
    done("likelihood", "levels.toml", *settings("likelihood.rtol=1e-8"))  # an exact score is computed in float64


def test_codes_at_the_limit_of_evaluations_are_one_line_with_status_3(scoresde: Command) -> None:
    result = scoresde("encode", "levels.toml", "--quiet", *settings("likelihood.max_nfe=8"))
    assert (result.exit_code, result.stdout) == (3, "")
    words = "4 of 4 stopped at max_nfe = 8 evaluations: raise it or the tolerances"
    assert result.stderr == f"encode by 'probability_flow', items 0 to 3: {words}\n"


def test_truncated_normal_points_are_not_corrected_at_the_start(refused: Refused) -> None:
    (line,) = refused("likelihood", "levels.toml", *settings("likelihood.dequantisation=truncated_normal", "likelihood.ends=corrected"))
    assert line.endswith('and probability_flow is set to take points at time 0: take "uniform", or the other setting')


def test_points_at_t_min_are_not_given_to_a_method_that_takes_them_at_0(refused: Refused) -> None:
    text = (
        Path("levels.toml")
        .read_text()
        .replace('divergence = "exact"', 'use = "noisy"\nat_zero = true\ndequantisation = "truncated_normal"')
    )
    Path("levels.toml").write_text(text, "utf-8")
    (line,) = refused("likelihood", "levels.toml", "--plugin", "noisy.py")
    assert line == (
        'levels.toml:24: likelihood.dequantisation = "truncated_normal": gives points as they stand at t_min, and noisy is set to take'
        ' points at time 0: take "uniform", or the other setting'
    )


def test_codes_that_the_method_gives_up_are_one_line_with_status_3(scoresde: Command) -> None:
    text = Path("levels.toml").read_text().replace('divergence = "exact"', 'use = "noisy"')
    Path("levels.toml").write_text(text, "utf-8")
    result = scoresde("encode", "levels.toml", "--plugin", "noisy.py", "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "encode by 'noisy', items 0 to 3: gave up\n"


@pytest.mark.parametrize(
    ("value", "declared", "error"),
    [
        (7, "levels=5, range=(0.0, 1.0)", "item 1 holds 7.0 at (0, 2); expected one of the levels 0, ..., 4"),
        (2.5, "levels=5, range=(0.0, 1.0)", "item 1 holds 2.5 at (0, 2); expected one of the levels 0, ..., 4"),
        (-3, "range=(-2.0, 4.0)", "item 1 holds -3.0 at (0, 2); expected a number in the range -2 to 4"),
        (math.inf, "", "item 1 holds inf at (0, 2); expected a finite number"),
    ],
)
def test_data_outside_what_they_declare_are_refused_before_any_work(refused: Refused, value: float, declared: str, error: str) -> None:
    Path("mine.py").write_text(
        f"""\
import attrs
import torch
from scoresde.core import DataSpec, Dataset, TensorItems
from scoresde.registry import hookimpl

scoresde_api = 1


@attrs.frozen(kw_only=True)
class Mine(Dataset):
    name = "mine"

    def open(self, split):
        x = torch.ones(3, 1, 3)
        x[1, 0, 2] = float("{value}")
        return TensorItems(DataSpec(shape=(1, 3), {declared}), {{"x": x}})


@hookimpl
def components():
    return [Mine]
""",
        "utf-8",
    )
    Path("mine.toml").write_text(
        '[experiment]\nname = "mine"\n[data]\nuse = "mine"\n[sde]\nuse = "ve"\n[likelihood]\n[model]\nuse = "gaussian_mixture"\n'
        "weights = [1.0]\nmeans = [[0.0, 0.0, 0.0]]\ncovariances = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]\n",
        "utf-8",
    )
    assert refused("likelihood", "mine.toml", "--plugin", "mine.py") == [f"data 'mine', test split: {error}"]


def test_the_map_of_a_single_item(done: Command) -> None:
    few = settings("data.count=1", "sampling.count=4", "sampling.steps=4", "likelihood.rtol=0.1", "likelihood.atol=0.1")
    done("run", "mixture-2d", *few)
    assert Path("runs/mixture-2d/likelihood.png").stat().st_size > 10_000
    assert "likelihood" in json.loads(Path("runs/mixture-2d/run.json").read_text())["stages"]
