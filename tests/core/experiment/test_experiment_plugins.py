"""Components of third parties: their options, their files, and whose component a name means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, final

import attrs
import pytest

from scoresde.core import Likelihood, Objective, Predictor, option
from scoresde.core.experiment import ExperimentError, load
from scoresde.registry import Registry

Refusals = Callable[..., list[str]]


@final
@attrs.frozen(kw_only=True)
class Odd(Objective):
    """Options as a third party may write them."""

    name = "odd"
    count: ClassVar[int] = 3

    table: dict[str, int] = attrs.field(factory=dict)
    rule: str = attrs.field(default="a", validator=attrs.validators.in_(["a", "b"]))
    _hidden: int = option(0, at_least=0)
    late: "int | None" = option(None, at_least=0)
    pairs: tuple[tuple[int, str], ...] = option(())

    def loss(self, score: Any, x0: Any, noise: Any) -> Any:
        return x0


@final
class Bare(Objective):
    name = "bare"

    def loss(self, score: Any, x0: Any, noise: Any) -> Any:
        return x0


def test_options_of_third_parties(base: str, registry: Registry) -> None:
    registry = registry.adding(Odd, Bare, distribution="theirs")
    before = base + "[training]\nsteps = 1\n"

    def outcome(objective: str) -> Any:
        Path("exp.toml").write_text(f"{before}objective = {{ {objective} }}\n")
        try:
            return load(Path("exp.toml"), registry).experiment.training.objective
        except ExperimentError as error:
            return list(error.problems)

    assert outcome('use = "odd", late = 3, hidden = 4, pairs = [[1, "a"]], rule = "b"') == Odd(
        late=3, hidden=4, pairs=((1, "a"),), rule="b"
    )
    assert outcome('use = "odd", pairs = [[1, "a"], [1]], late = -1, hidden = "x", table = { a = 1 }, count = 3') == [
        "exp.toml:14: training.objective.table is declared as dict, which an experiment file cannot hold",
        'exp.toml:14: training.objective.hidden = "x" is a string, expected an integer',
        "exp.toml:14: training.objective.late = -1: must be >= 0",
        "exp.toml:14: training.objective.pairs[1] = [1] has 1 element, expected an array of an integer and a string",
        'exp.toml:14: training.objective.count = 3: unknown option of objective "odd" (theirs). Valid: table, rule, hidden, late, pairs',
    ]
    assert outcome('use = "odd", rule = "c"') == [
        "exp.toml:14: training.objective.rule = \"c\": 'rule' must be in ['a', 'b'] (got 'c')",
    ]
    assert outcome('use = "bare"') == [
        'exp.toml:14: training.objective.use = "bare": the class Bare has no options: it lacks @attrs.frozen(kw_only=True)'
    ]


def test_an_option_cannot_hide_behind_a_setting(base: str, registry: Registry) -> None:
    @final
    @attrs.frozen(kw_only=True)
    class Twice(Likelihood):
        name = "twice"
        count: int = option(1)

        def log_prob(self, reverse: Any, x: Any, noise: Any) -> Any:
            return x

        def encode(self, reverse: Any, x: Any) -> Any:
            return x

        def decode(self, reverse: Any, z: Any) -> Any:
            return z

    Path("exp.toml").write_text(base + '[likelihood]\ncount = 3\nuse = "twice"\n')
    with pytest.raises(ExperimentError) as refusal:
        load(Path("exp.toml"), registry.adding(Twice, distribution="theirs"))
    assert refusal.value.problems == (
        'exp.toml:12: likelihood: likelihood "twice" (theirs) has an option count that [likelihood] has too: rename it',
    )


PLUGIN = """
import attrs
from scoresde.core import Predictor, Step, option
from scoresde.registry import hookimpl

scoresde_api = 1

@attrs.frozen(kw_only=True)
class Mine(Predictor):
    name = "mine"
    speed: float = option(1.0, above=0)

    def step(self, reverse, x, interval, state, noise):
        return Step(x, x)

@hookimpl
def components():
    return [Mine]
"""


def test_plugin_files_of_the_experiment(base: str, registry: Registry, folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/my_sampler.py").write_text(PLUGIN)
    Path("sub/exp.toml").write_text(
        base.replace("[data]", 'plugins = ["./my_sampler.py"]\n[data]') + '[sampling]\npredictor = { use = "mine", speed = 2 }\n'
    )
    experiment, extended = load(Path("sub/exp.toml"), registry)
    assert experiment.experiment.plugins == (folder / "sub/my_sampler.py",)
    assert experiment.sampling is not None
    predictor: Any = experiment.sampling.sampler
    assert (predictor.predictor.name, predictor.predictor.speed) == ("mine", 2.0)
    assert extended.names("predictor") == ["euler", "exact", "mine"]
    assert registry.names("predictor") == ["euler", "exact"]


def test_plugin_files_that_are_wrong(base: str, refused: Refusals, folder: Path) -> None:
    Path("empty.py").write_text("")
    entries = 'plugins = [\n"./empty.py",\n"absent.py",\n]\n[plugins]\nprefer = ["scoresde", "nobody"]\n[data]'
    problems = refused(base.replace("[data]", entries) + "[run]\nchunk = 0\n")
    assert [problem.split(": ")[:2] for problem in problems] == [
        ["exp.toml:4", 'experiment.plugins[0] = "./empty.py"'],
        ["exp.toml:4", 'experiment.plugins[1] = "absent.py"'],
        ["exp.toml:9", 'plugins.prefer[1] = "nobody"'],
        ["exp.toml:19", "run.chunk = 0"],
    ]
    assert refused(base.replace("[data]", "plugins = [3]\n[data]")) == [
        "exp.toml:4: experiment.plugins[0] = 3 is an integer, expected a path"
    ]


@final
@attrs.frozen(kw_only=True)
class OtherEuler(Predictor):
    name = "euler"
    other: bool = option(True)

    def step(self, reverse: Any, x: Any, interval: Any, state: Any, noise: Any) -> Any:
        return x


def test_preferred_distributions(base: str, registry: Registry) -> None:
    registry = registry.adding(OtherEuler, distribution="theirs")
    text = base + '[sampling]\npredictor.use = "euler"\n'
    Path("exp.toml").write_text(text)
    with pytest.raises(ExperimentError) as refusal:
        load(Path("exp.toml"), registry)
    (problem,) = refusal.value.problems
    assert problem.startswith('exp.toml:13: sampling.predictor.use = "euler": several plugins claim predictor "euler"')
    Path("exp.toml").write_text(text + '[plugins]\nprefer = ["theirs"]\n')
    experiment, chosen = load(Path("exp.toml"), registry)
    sampler: Any = experiment.sampling
    assert type(sampler.sampler.predictor) is OtherEuler
    assert chosen.prefer == ("theirs",)
